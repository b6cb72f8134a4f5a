"""`chat_audio` in front of each kind of server, through the checks that any engine must pass."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.engines.audio_upstream import DIALECTS, speaking
from tests.engines.contract import CHECKS, Subject
from tests.engines.fakes import FakeTranscriber, speech
from tests.engines.upstream_server import upstream_thread
from vivavoce.engine_api import Engine
from vivavoce.engines.chat_audio import ChatAudio


class SideTranscriber(FakeTranscriber):
    """By its path in the settings."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = options


@pytest.fixture(scope="module", params=DIALECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with upstream_thread(speaking(request.param)) as server:
        options = {"server": request.param, "base_url": server.url}
        if request.param == "openai":
            options["transcriber"] = "tests.engines.test_chat_audio_contract:SideTranscriber"
        yield Subject(
            name=request.param,
            make=lambda: ChatAudio(options),
            long="Tell me about the sea. " * 4,
            calls="" if request.param == "sglang_omni" else "get_weather in Paris",
            fails="FALL down",
            recalls="RECALL all",
            speech=speech,
            turns=200 if request.param == "openai" else 40,
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
