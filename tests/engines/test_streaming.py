"""An engine from one async generator: what its author does not have to write."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.engines.probe import WEATHER, Probe, settle, user_text
from vivavoce.engine_api import (
    Capabilities,
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    GenerationFailed,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
    StopGenerating,
    StopListening,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.streaming import Output, StreamingEngine, Words
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import PCM, Usage

PCM_100_MS = bytes(4800)


def engine_of(generate: Callable[[Generate], AsyncIterator[Output]]) -> StreamingEngine:
    """An engine that answers with this generator."""
    engine = StreamingEngine()
    engine.generate = generate
    return engine


def outputs(*events: Output | Exception) -> StreamingEngine:
    """An engine that answers with these outputs."""

    async def generate(request: Generate) -> AsyncIterator[Output]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return engine_of(generate)


def events_of(engine: StreamingEngine, **fields: object) -> list[object]:
    async def scene() -> list[object]:
        return (await Probe(engine).answer(Generate(response_id="r", items=(user_text("hi"),), **fields))).events

    return asyncio.run(scene())


def test_a_str_is_the_transcript_of_a_spoken_answer() -> None:
    assert events_of(outputs("Hello. ", PCM_100_MS)) == [
        OutputTranscript("r", "Hello. "),
        OutputAudio("r", PCM_100_MS),
        GenerationDone("r"),
    ]


def test_a_str_is_the_text_of_a_written_answer() -> None:
    assert events_of(outputs("Hello. ", "You."), modalities=("text",)) == [
        OutputText("r", "Hello. "),
        OutputText("r", "You."),
        GenerationDone("r"),
    ]


def test_events_pass_as_they_are() -> None:
    events = [
        OutputTranscript("r", "Hm", (Mark(2, 10),)),
        FunctionCallStarted("r", "call_1", WEATHER.name),
        FunctionCallArguments("r", "call_1", "{}"),
        GenerationDone("r", "content_filter", Usage(total_tokens=3)),
    ]
    assert events_of(outputs(*events)) == events


def test_nothing_follows_the_end() -> None:
    assert events_of(outputs("a", GenerationDone("r"), "b"))[1:] == [GenerationDone("r")]


def test_empty_outputs_say_nothing() -> None:
    assert events_of(outputs("", b"", OutputTranscript("r", "", (Mark(0, 1),)))) == [
        OutputTranscript("r", "", (Mark(0, 1),)),
        GenerationDone("r"),
    ]


def test_an_engine_error_reaches_the_client() -> None:
    events = events_of(outputs("a", EngineError("upstream_timeout", "The model did not answer.")))
    assert events[1:] == [GenerationFailed("r", "upstream_timeout", "The model did not answer.")]


@pytest.mark.parametrize("bug", [ZeroDivisionError("secret"), asyncio.CancelledError("secret"), TimeoutError("secret")])
def test_a_bug_reaches_the_log_and_not_the_client(bug: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def generate(request: Generate) -> AsyncIterator[Output]:
        yield "a"
        raise bug

    events = events_of(engine_of(generate))
    assert events[1:] == [GenerationFailed("r", "server_error", "The engine failed. The server's log says why.")]
    if not isinstance(bug, asyncio.CancelledError):
        assert "secret" in caplog.text
        assert "Traceback" in caplog.text


def test_what_may_not_be_yielded_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(events_of(outputs(None))[-1], GenerationFailed)
    assert "generate() may not yield NoneType" in caplog.text


def test_a_generator_that_is_a_coroutine_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    async def generate(request: Generate) -> str:
        return "forgot to yield"

    events = events_of(engine_of(generate))
    assert [type(event) for event in events] == [GenerationFailed]
    assert "has to be an async generator: it never yields" in caplog.text


def test_the_limit_counts_text_and_audio_together() -> None:
    # 10 tokens: 12 characters cost 3, so 7 tokens of audio are left, 350 ms.
    events = events_of(outputs("Hello there.", PCM_100_MS, PCM_100_MS, PCM_100_MS, PCM_100_MS), max_output_tokens=10)
    assert sum(len(event.pcm) for event in events if isinstance(event, OutputAudio)) == 350 * 48
    assert events[-1] == GenerationDone("r", "max_output_tokens")


def test_what_just_fits_is_complete() -> None:
    assert events_of(outputs("Hello there."), max_output_tokens=3)[-1] == GenerationDone("r")
    assert events_of(outputs("Hello there.."), max_output_tokens=3)[-2:] == [
        OutputTranscript("r", "Hello there."),
        GenerationDone("r", "max_output_tokens"),
    ]


class Gated(StreamingEngine):
    """Says one word and then waits. Notes when its generator was closed."""

    capabilities = Capabilities(transcribes=True)

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        async for word in self._wait():
            yield word

    async def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        async for word in self._wait():
            yield word

    async def _wait(self) -> AsyncIterator[str]:
        try:
            yield "word"
            await asyncio.Event().wait()
        finally:
            self.closed.set()


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (Generate(response_id="r"), StopGenerating("r")),
        (Transcribe(item_id="i", audio=b"", format=PCM), StopListening("i")),
        (Generate(response_id="r"), None),
        (Transcribe(item_id="i", audio=b"", format=PCM), None),
    ],
)
def test_a_generator_is_closed_at_once_when_nobody_wants_the_rest(start: Generate, stop: StopGenerating | None) -> None:
    async def scene() -> None:
        engine = Gated()
        probe = Probe(engine)
        before = asyncio.all_tasks()
        probe.session.submit(start)
        await probe.until(lambda event: True)
        probe.session.submit(stop) if stop else probe.session.close()
        await settle(before)
        assert engine.closed.is_set()
        assert len(probe.events) == 1

    asyncio.run(scene())


def test_a_generator_that_never_waits_can_still_be_stopped() -> None:
    async def scene() -> None:
        async def generate(request: Generate) -> AsyncIterator[Output]:
            while True:
                yield "on and "

        before = asyncio.all_tasks()
        probe = Probe(engine_of(generate))
        probe.session.submit(Generate(response_id="r"))
        await probe.until(lambda event: True)
        probe.session.submit(StopGenerating("r"))
        await settle(before)

    asyncio.run(scene())


def test_a_generator_that_will_not_be_stopped_is_not_heard_any_more() -> None:
    async def scene() -> None:
        async def generate(request: Generate) -> AsyncIterator[Output]:
            yield "one"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield "two"

        before = asyncio.all_tasks()
        probe = Probe(engine_of(generate))
        probe.session.submit(Generate(response_id="r"))
        await probe.until(lambda event: True)
        probe.session.submit(StopGenerating("r"))
        await settle(before)
        assert probe.events == [OutputTranscript("r", "one")]

    asyncio.run(scene())


class Listener(StreamingEngine):
    """Hears what it is told to hear."""

    capabilities = Capabilities(transcribes=True)

    def __init__(self, *words: Words | Exception) -> None:
        super().__init__()
        self.words = words

    async def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        for word in self.words:
            if isinstance(word, Exception):
                raise word
            yield word


@pytest.mark.parametrize(
    ("words", "events"),
    [
        (
            ["Hello ", "there"],
            [TranscriptDelta("i", "Hello "), TranscriptDelta("i", "there"), TranscriptDone("i", "Hello there")],
        ),
        ([], [TranscriptDone("i", "")]),
        ([TranscriptDone("i", "Hello"), "more"], [TranscriptDone("i", "Hello")]),
        (["a", EngineError("deaf", "No.")], [TranscriptDelta("i", "a"), TranscriptFailed("i", "deaf", "No.")]),
        ([ZeroDivisionError()], [TranscriptFailed("i", "server_error", "The engine failed. The server's log says why.")]),
    ],
)
def test_a_transcription_has_one_end(words: list[Words | Exception], events: list[object]) -> None:
    async def scene() -> list[object]:
        probe = Probe(Listener(*words))
        probe.session.submit(Transcribe(item_id="i", audio=b"", format=PCM))
        await probe.until(lambda event: isinstance(event, TranscriptDone | TranscriptFailed))
        await asyncio.sleep(0)
        return probe.events

    assert asyncio.run(scene()) == events


def test_an_engine_that_does_not_transcribe_ignores_the_command() -> None:
    async def scene() -> None:
        probe = Probe(outputs("Hello."))
        before = asyncio.all_tasks()
        probe.session.submit(Transcribe(item_id="i", audio=b"", format=PCM))
        assert asyncio.all_tasks() == before

    asyncio.run(scene())
