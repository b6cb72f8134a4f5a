"""A cascade of parts that reach another server, through the checks that any engine must pass."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest

from tests.engines.contract import CHECKS, Subject
from tests.engines.upstream_server import UpstreamServer, upstream_thread, well
from vivavoce.engine_api import Engine
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.openai_chat import OpenAIChat
from vivavoce.engines.openai_speech import OpenAISpeech
from vivavoce.engines.openai_transcriptions import OpenAITranscriptions


@pytest.fixture(scope="module")
def server() -> Iterator[UpstreamServer]:
    with upstream_thread(well) as server:
        yield server


@pytest.fixture(scope="module")
def subject(server: UpstreamServer) -> Subject:
    where = {"base_url": server.url}
    return Subject(
        name="upstream",
        make=lambda: Cascade.of(OpenAITranscriptions(where), OpenAIChat(where), OpenAISpeech(where)),
        long="Tell me about the sea. " * 4,
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
