"""Cascades whose transcriber is a model in this process, through the checks that any engine must pass."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest

from tests.engines.contract import CHECKS, Subject
from tests.engines.fakes import FakeChatModel, FakeSynthesizer
from tests.engines.tiny_models import sherpa, whisper
from vivavoce.engine_api import Engine
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.faster_whisper import FasterWhisper
from vivavoce.engines.sherpa_onnx import SherpaOnnx

MAKERS: dict[str, tuple[Callable, Callable, bytes]] = {
    "faster_whisper": (whisper.make_whisper, FasterWhisper, whisper.speech("two green mice")),
    "sherpa_onnx": (sherpa.make_sherpa, SherpaOnnx, sherpa.speech("three pears please")),
}
"""How to make a tiny model, the part that loads it, and something that it understands."""


@pytest.fixture(scope="module", params=MAKERS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    make_model, part, speech = MAKERS[request.param]
    folder = make_model(tmp_path_factory.mktemp(request.param))
    return Subject(
        name=request.param,
        make=lambda: Cascade.of(part({"model": str(folder), "threads": 1}), FakeChatModel(), FakeSynthesizer()),
        calls="get_weather in Paris",
        fails="FALL down",
        speech=lambda words: speech,
        turns=80,
    )


@pytest.fixture(scope="module")
def running(subject: Subject) -> Iterator[tuple[asyncio.Runner, Engine]]:
    with asyncio.Runner() as runner:
        engine = subject.make()
        runner.run(engine.start())
        yield runner, engine
        runner.run(engine.close())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_engine(
    check: Callable, subject: Subject, running: tuple[asyncio.Runner, Engine], caplog: pytest.LogCaptureFixture
) -> None:
    runner, engine = running
    complaints: list[str] = []
    runner.get_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    runner.run(check(engine, subject))
    assert complaints == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
