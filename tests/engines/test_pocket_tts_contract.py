"""A cascade that speaks through Pocket TTS, through the checks that any engine must pass."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines.contract import CHECKS, Subject
from tests.engines.fakes import FakeChatModel, FakeTranscriber
from tests.engines.tiny_models.pocket_tts import write_pocket_tts
from vivavoce.engine_api import Engine
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.pocket_tts import PocketTTS


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder: Path = write_pocket_tts(tmp_path_factory.mktemp("pocket") / "tiny")
    return Subject(
        name="cascade with pocket_tts",
        make=lambda: Cascade.of(FakeTranscriber(), FakeChatModel(), PocketTTS({"model": str(folder)})),
        calls="get_weather in Paris",
        fails="FALL down",
        turns=40,
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
