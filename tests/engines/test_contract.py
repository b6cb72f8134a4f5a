"""Every engine of ours, through the checks that any engine must pass."""

import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.engines import probe
from tests.engines.contract import CHECKS
from tests.engines.fakes import FakeChatModel, FakeSynthesizer, FakeTranscriber
from tests.engines.probe import Subject, with_speech
from tests.engines.suite import Running, every_check, put_through
from vivavoce.engine_api import Emit, EngineEvent, EngineSession, Generate, GenerationDone, Mark, OutputTranscript
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.echo import Echo
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.history import last_said
from vivavoce.engines.scripted import Scripted
from vivavoce.engines.sine_voice import say
from vivavoce.engines.streaming import Output, StreamingEngine

SCRIPT = {
    "turns": [
        {"when": "call it", "call": "get_weather", "arguments": {"city": "Paris"}},
        {"when": "fail", "do": [{"say": "I was about to say"}, {"fail": "upstream_lost"}]},
        {"when": "recall", "say": "I said {so_far}"},
        {"say": "You said: {said}."},
    ],
    "transcripts": ["Hello there."],
}


def hummed(text: str) -> bytes:
    return b"".join(word.pcm for word in say(text))


def recorded() -> bytes:
    """A voice that says "hello world", as PCM."""
    with wave.open(str(Path(__file__).parents[3] / "shared" / "audio" / "hello-world.wav")) as file:
        return file.readframes(file.getnframes())


SUBJECTS = [
    Subject(
        name="scripted",
        make=lambda: Scripted({"script": SCRIPT}),
        calls="call it, please",
        fails="fail now",
        recalls="recall",
        speech=hummed,
    ),
    Subject(name="echo", make=Echo, ask=lambda text: (with_speech(hummed(text)),), has_words=False, speech=hummed),
    Subject(
        name="cascade of fakes",
        make=lambda: Cascade.of(FakeTranscriber(), FakeChatModel(), FakeSynthesizer()),
        calls="get_weather in Paris",
        fails="FALL down",
    ),
    Subject(
        name="cascade with espeak",
        make=lambda: Cascade.of(FakeTranscriber(), FakeChatModel(), Espeak({})),
        calls="get_weather in Paris",
        fails="FALL down",
        repeats=False,
        turns=40,
    ),
    Subject(
        name="offline cascade",
        make=lambda: Cascade({}),
        long="Say exactly: The sea is deep and blue, and it never sleeps. " + "The tide comes in, the tide goes out. " * 5,
        calls="What is the weather in Paris?",
        speech=lambda words: recorded() if words == "hello there" else recorded()[:14_400],
        repeats=False,
        turns=40,
    ),
]


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)


# --- the checks themselves ---


class Broken(StreamingEngine):
    """An engine that keeps the contract, for the engines below to break it in one way each."""

    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        if "text" in request.modalities:
            yield "Three words, written."
            return
        for n, (word, end) in enumerate([("one ", 3), ("two ", 7), ("three", 13)]):
            yield word
            yield bytes(4800)
            yield OutputTranscript(request.response_id, "", (Mark(end, 2400 * (n + 1)),))


class AllAtOnce(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        yield "one two three"
        yield bytes(4800)


class MarksAhead(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        yield OutputTranscript(request.response_id, "one", (Mark(7, 4800),))
        yield bytes(4800)
        yield OutputTranscript(request.response_id, " two", (Mark(7, 4800),))
        yield bytes(4800)


class MarksShort(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        yield OutputTranscript(request.response_id, "one two", (Mark(3, 2400), Mark(7, 4000)))
        yield bytes(9600)


class SpeaksInText(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        yield "one"
        yield bytes(4800)


class Blocks(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        sum(range(3_000_000))
        yield "one"


class Mixes(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        self.said = last_said(request.items)
        await asyncio.sleep(0.001)
        yield self.said
        yield self.said.encode() * 2


class Leaks(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        leaked.append(bytes(10_000))
        yield "one"


class LeavesATask(Broken):
    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        leaked.append(asyncio.create_task(asyncio.sleep(3600)))
        yield bytes(4800)
        await asyncio.sleep(3600)


class EndsTwice(Broken):
    def open(self, emit: Emit) -> EngineSession:
        def twice(event: EngineEvent) -> None:
            emit(event)
            if isinstance(event, GenerationDone):
                emit(event)

        return super().open(twice)


leaked: list[object] = []


@pytest.mark.parametrize(
    ("engine", "check"),
    [
        (AllAtOnce, "speech_streams"),
        (MarksAhead, "marks_tie_words_to_samples"),
        (MarksShort, "marks_tie_words_to_samples"),
        (SpeaksInText, "text_is_text"),
        (Blocks, "the_event_loop_stays_free"),
        (Mixes, "sessions_do_not_mix"),
        (Leaks, "nothing_is_left_behind"),
        (LeavesATask, "stops_in_time"),
        (LeavesATask, "close_stops_everything"),
        (EndsTwice, "one_end_and_nothing_after_it"),
    ],
)
def test_a_broken_engine_is_caught(engine: type[Broken], check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE_SECONDS", 0.2)
    by_name = {check.__name__: check for check in CHECKS}
    subject = Subject(name="broken", make=engine)
    with pytest.raises((AssertionError, TimeoutError)):
        asyncio.run(by_name[f"check_{check}"](engine(), subject))
    leaked.clear()


def test_the_engine_that_they_break_is_whole() -> None:
    for check in CHECKS:
        if check.__name__ not in ("check_sessions_do_not_mix", "check_a_limit_is_kept", "check_nothing_is_left_behind"):
            asyncio.run(check(Broken(), Subject(name="whole", make=Broken)))
