"""Every engine of ours, through the checks that any engine must pass."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest

from tests.engines.contract import CHECKS, Subject, with_speech
from tests.engines.fakes import FakeChatModel, FakeSynthesizer, FakeTranscriber
from vivavoce.engine_api import Engine
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.echo import Echo
from vivavoce.engines.scripted import Scripted
from vivavoce.engines.sine_voice import say

SCRIPT = {
    "turns": [
        {"when": "call it", "call": "get_weather", "arguments": {"city": "Paris"}},
        {"when": "fail", "do": [{"say": "I was about to say"}, {"fail": "upstream_lost"}]},
        {"say": "You said: {said}."},
    ],
    "transcripts": ["Hello there."],
}


def hummed(text: str) -> bytes:
    return b"".join(word.pcm for word in say(text))


SUBJECTS = [
    Subject(
        name="scripted", make=lambda: Scripted({"script": SCRIPT}), calls="call it, please", fails="fail now", speech=hummed
    ),
    Subject(name="echo", make=Echo, ask=lambda text: (with_speech(hummed(text)),), has_words=False, speech=hummed),
    Subject(
        name="cascade of fakes",
        make=lambda: Cascade.of(FakeTranscriber(), FakeChatModel(), FakeSynthesizer()),
        calls="get_weather in Paris",
        fails="FALL down",
    ),
]


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


@pytest.fixture(scope="module")
def running(subject: Subject) -> Iterator[tuple[asyncio.Runner, Engine]]:
    """One engine, started once, for all checks: what a check leaves behind, the next one would find."""
    with asyncio.Runner() as runner:

        async def start() -> Engine:
            engine = subject.make()
            await engine.start()
            return engine

        engine = runner.run(start())
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
