"""A session of an engine under test: what to ask of it, and all that it answers, in order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from vivavoce.engine_api import (
    Engine,
    EngineEvent,
    Generate,
    GenerationDone,
    GenerationFailed,
    OutputAudio,
    OutputText,
    OutputTranscript,
)
from vivavoce.protocol.objects import FunctionTool, InputTextPart, Item, Message

PATIENCE_SECONDS = 20.0
"""No answer takes this long, even on a busy machine."""
Part = TypeVar("Part", bound=Any)


@asynccontextmanager
async def in_use(part: Part) -> AsyncIterator[Part]:
    """An engine, or a part of a cascade: started here, closed where the block is left."""
    await part.start()
    try:
        yield part
    finally:
        await part.close()


class Subject(Struct, frozen=True, kw_only=True):
    """An engine under test, and how to get something out of it."""

    name: str
    make: Callable[[], Engine]
    ask: Callable[[str], tuple[Item, ...]] = lambda text: (user_text(text),)
    """The conversation that ends in these words of the user's."""
    long: str = "Tell me about the sea. " * 8
    """Words that get an answer of many seconds."""
    has_words: bool = True
    """Its speech has a transcript."""
    repeats: bool = True
    """The same words sound the same to the sample. Else they are as long within 2 %."""
    writes: bool = True
    """It can answer in text."""
    calls: str = ""
    """Words that make it call the function `get_weather`. Empty: it calls none."""
    fails: str = ""
    """Words that make it fail. Empty: it cannot be made to."""
    recalls: str = ""
    """Words that make it say again all that it has said. Empty: it cannot be made to."""
    speech: Callable[[str], bytes] = lambda text: text.encode("utf-16-le") * 400
    """Audio of these words, PCM."""
    turns: int = 200
    """How many turns to look for leaks in."""


WEATHER = FunctionTool(
    name="get_weather",
    description="Tells the weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def user_text(text: str) -> Message:
    """A user's message of words."""
    return Message(id="item_user", role="user", content=(InputTextPart(text),))


class Probe:
    """One open session: what it emitted, in order."""

    def __init__(self, engine: Engine) -> None:
        self.events: list[EngineEvent] = []
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._asked = 0
        self.session = engine.open(lambda event: self._loop.call_soon_threadsafe(self._take, event))

    def _take(self, event: EngineEvent) -> None:
        self.events.append(event)
        self._arrived.set()

    async def until(self, wanted: Callable[[EngineEvent], bool], start: int = 0) -> EngineEvent:
        """The first event from `start` on that is wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for event in self.events[start:]:
                    if wanted(event):
                        return event
                start = len(self.events)
                self._arrived.clear()
                await self._arrived.wait()

    async def ask(self, *items: Item, **fields: Any) -> "Answer":
        """Everything that comes of these items. The requests are `resp_1`, `resp_2` and so on."""
        self._asked += 1
        return await self.answer(Generate(response_id=f"resp_{self._asked}", items=items, **fields))

    async def answer(self, request: Generate) -> "Answer":
        """Everything that comes of a request, up to its end."""
        self.session.submit(request)
        await self.until(lambda event: ends(event) and event.response_id == request.response_id)
        return Answer([event for event in self.events if getattr(event, "response_id", "") == request.response_id])


class Answer:
    """The events of one response."""

    def __init__(self, events: list[EngineEvent]) -> None:
        self.events = events
        self.text = "".join(event.text for event in events if isinstance(event, OutputText))
        self.transcript = "".join(event.text for event in events if isinstance(event, OutputTranscript))
        self.pcm = b"".join(event.pcm for event in events if isinstance(event, OutputAudio))
        self.marks = [mark for event in events if isinstance(event, OutputTranscript) for mark in event.marks]
        self.end = events[-1]


def ends(event: EngineEvent) -> bool:
    """Is it the last event of a response?"""
    return isinstance(event, GenerationDone | GenerationFailed)


def request(subject: Subject, words: str, response_id: str = "resp_1", **fields: object) -> Generate:
    """Ask for an answer to these words."""
    return Generate(response_id=response_id, items=subject.ask(words), **fields)


async def settle(before: set[asyncio.Task[object]]) -> None:
    """Let the tasks go that were not there before. Fails if one stays."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while new := asyncio.all_tasks() - before:
            await asyncio.wait(new)


def with_speech(audio: bytes, item_id: str = "item_user") -> Message:
    """A user's message of audio."""
    return msgspec.convert(
        {"type": "message", "id": item_id, "role": "user", "content": [{"type": "input_audio", "audio": audio}]}, Message
    )
