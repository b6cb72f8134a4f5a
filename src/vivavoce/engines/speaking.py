"""What a chat model writes → what the client hears.

    chat events ─ tone tags out ─▶ spans ─ clauses ─▶ ┊ queue ┊ ─ synthesizer ─▶ transcript, audio, marks

The model writes on while a clause is spoken, at most `CLAUSES_AHEAD` clauses ahead. A clause's words leave when its sound
begins. Calls keep their place in the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from vivavoce.audio import PCM_SAMPLE_BYTES
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
)
from vivavoce.engines.clauses import Clauses
from vivavoce.engines.parts import (
    ChatDone,
    ChatEvent,
    Synthesizer,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
    Utterance,
)
from vivavoce.engines.streaming import GenerationEvent, closing
from vivavoce.engines.tone import Span, TagReader, Tone, tone_of

CLAUSES_AHEAD: Final = 32
"""Bounds what a fast model piles up before a slow voice."""

T = TypeVar("T")
Rest = ToolCallStarted | ToolCallArguments | ChatDone
"""What is not text."""


class Clause(Struct, frozen=True):
    """Words to speak at once; blank space before them belongs to them. Without words it is a laugh, and nothing else."""

    text: str
    tone: Tone


async def write(reply: AsyncIterator[ChatEvent], request: Generate) -> AsyncIterator[GenerationEvent]:
    """The reply as text."""
    async with closing(_spans(reply, Tone())) as pieces:
        async for piece in pieces:
            if not isinstance(piece, Span):
                yield _passed_on(piece, request)
            elif piece.text:
                yield OutputText(request.response_id, piece.text)


async def speak(
    reply: AsyncIterator[ChatEvent], request: Generate, synthesizer: Synthesizer
) -> AsyncIterator[GenerationEvent]:
    """The reply as speech."""
    voice = _Voice(synthesizer, request)
    clauses = _clauses(_spans(reply, tone_of(request.instructions)))
    async with closing(_ahead(clauses, CLAUSES_AHEAD)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Clause):
                async with closing(voice.say(piece)) as outputs:
                    async for output in outputs:
                        yield output
            else:
                if isinstance(piece, ToolCallStarted):
                    voice.begin_item()
                yield _passed_on(piece, request)


class _Voice:
    """Speaks clauses one after another, and knows where in the item it is."""

    def __init__(self, synthesizer: Synthesizer, request: Generate) -> None:
        self._synthesizer = synthesizer
        self._request = request
        self._characters = 0
        self._samples = 0

    def begin_item(self) -> None:
        """A call ends the message: words after it are a new item, whose marks count from zero."""
        self._characters = self._samples = 0

    async def say(self, clause: Clause) -> AsyncIterator[GenerationEvent]:
        """The clause's transcript as its audio begins, its audio, its marks; last a mark at the end of both."""
        response_id = self._request.response_id
        text = clause.text if self._characters else clause.text.lstrip()
        words = text.strip()
        first_character = self._characters + text.index(words)
        first_sample = self._samples
        self._characters += len(text)
        utterance = Utterance(text=words, voice=self._request.voice, speed=self._request.speed, tone=clause.tone)
        async with closing(self._synthesizer.speak(utterance)) as speeches:
            async for speech in speeches:
                marks = tuple(Mark(first_character + m.characters, first_sample + m.samples) for m in speech.marks)
                yield OutputTranscript(response_id, text, marks)
                text = ""
                yield OutputAudio(response_id, speech.pcm)
                self._samples += len(speech.pcm) // PCM_SAMPLE_BYTES
        yield OutputTranscript(response_id, text, (Mark(self._characters, self._samples),))


async def _spans(reply: AsyncIterator[ChatEvent], tone: Tone) -> AsyncIterator[Span | Rest]:
    """Text without its tone tags; everything else as it is, in its place."""
    reader = TagReader(tone)
    async with closing(reply) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                for span in reader.feed(event.text):
                    yield span
                continue
            for span in reader.flush():
                yield span
            yield event
    for span in reader.flush():
        yield span


async def _clauses(pieces: AsyncIterator[Span | Rest]) -> AsyncIterator[Clause | Rest]:
    """Spans cut into clauses. A clause never crosses a change of tone, nor a call. Blank space at the end is dropped."""
    splitter = _Splitter()
    async with closing(pieces):
        async for piece in pieces:
            if isinstance(piece, Span):
                for clause in splitter.feed(piece):
                    yield clause
                continue
            for clause in splitter.flush():
                yield clause
            yield piece
    for clause in splitter.flush():
        yield clause


class _Splitter:
    """Spans in, clauses of one tone out."""

    def __init__(self) -> None:
        self._clauses = Clauses()
        self._tone = Tone()
        self._blank = ""
        self._laugh = False

    def feed(self, span: Span) -> list[Clause]:
        """Take a span; return the clauses that are whole."""
        found = []
        if span.tone != self._tone:
            found = self.flush()
            self._tone = msgspec.structs.replace(span.tone, laugh=False)
            self._laugh = self._laugh or span.tone.laugh
        return found + self._toned(self._clauses.feed(span.text))

    def flush(self) -> list[Clause]:
        """Return the rest. A laugh that no words follow stands alone."""
        found = self._toned(self._clauses.flush())
        if self._laugh:
            found.append(Clause("", msgspec.structs.replace(self._tone, laugh=True)))
            self._laugh = False
        return found

    def _toned(self, texts: list[str]) -> list[Clause]:
        """Blank text, and a laugh, wait for the words that follow them."""
        found = []
        for text in texts:
            self._blank += text
            if text.strip():
                found.append(Clause(self._blank, msgspec.structs.replace(self._tone, laugh=self._laugh)))
                self._blank, self._laugh = "", False
        return found


async def _ahead(source: AsyncIterator[T], most: int) -> AsyncIterator[T]:
    """Let `source` run up to `most` items ahead of whoever reads this."""
    queue: asyncio.Queue[tuple[T] | Exception | None] = asyncio.Queue(most)

    async def read() -> None:
        try:
            async with closing(source):
                async for item in source:
                    await queue.put((item,))
                    await asyncio.sleep(0)  # a source that never waits must not keep the loop from others
        except Exception as error:
            await queue.put(error)
        else:
            await queue.put(None)

    reading = asyncio.create_task(read())
    try:
        while (entry := await queue.get()) is not None:
            if isinstance(entry, Exception):
                raise entry
            yield entry[0]
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _passed_on(event: Rest, request: Generate) -> GenerationEvent:
    """A call, or the end, in the engine's words."""
    match event:
        case ToolCallStarted(call_id, name):
            return FunctionCallStarted(request.response_id, call_id, name)
        case ToolCallArguments(call_id, delta):
            return FunctionCallArguments(request.response_id, call_id, delta)
        case ChatDone(reason):
            # No usage: the core counts what crosses the API by the API's rules, speech and cache included. What an upstream
            # charged for the text alone would be another number in the same field.
            return GenerationDone(request.response_id, reason)
