"""Three parts of a cascade that need no models. Audio is text: each character is one 16-bit sample."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable

import numpy as np

from vivavoce.engine_api import Generate, Mark
from vivavoce.engines.history import last_said
from vivavoce.engines.parts import (
    ChatDone,
    ChatEvent,
    Hints,
    Recognition,
    Speech,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
    Transcript,
    Utterance,
)
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat

CHARACTER_SAMPLES = 240
"""The fake voice says a character in 10 ms."""
REMEMBERED = 20
"""Of what passed, the fakes remember the last few."""


def speech(text: str) -> bytes:
    """What the fake transcriber hears as `text`."""
    return text.encode("utf-16-le")


class FakeTranscriber:
    """Hears what `speech` says. FAIL fails, BUG crashes; nothing finishes while `ready` is cleared."""

    def __init__(self) -> None:
        self.hints: deque[Hints] = deque(maxlen=REMEMBERED)
        self.finished: deque[str] = deque(maxlen=REMEMBERED)
        self.cancelled = 0
        self.ready = asyncio.Event()
        self.ready.set()

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> Recognition:
        self.hints.append(hints)
        return _FakeRecognition(self, on_delta)


class _FakeRecognition:
    def __init__(self, transcriber: FakeTranscriber, on_delta: Callable[[Transcript], None]) -> None:
        self._transcriber = transcriber
        self._on_delta = on_delta
        self._audio = b""
        self._told = 0

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        self._audio += audio
        *certain, _ = self._text.split(" ")
        words = "".join(word + " " for word in certain)
        if words[self._told :]:
            self._on_delta(Transcript(words[self._told :]))
            self._told = len(words)

    @property
    def _text(self) -> str:
        return self._audio[: len(self._audio) // 2 * 2].decode("utf-16-le")

    async def finish(self) -> Transcript:
        await self._transcriber.ready.wait()
        self._transcriber.finished.append(self._text)
        if "FAIL" in self._text:
            raise EngineError("deaf", "The transcriber is deaf.")
        if "BUG" in self._text:
            raise ZeroDivisionError
        return Transcript(self._text)

    def cancel(self) -> None:
        self._transcriber.cancelled += 1


class FakeChatModel:
    """Says back what it was told, letter by letter; calls a tool where the words hold its name.

    FALL breaks off with an error, CRASH with a bug, WAIT never goes on.
    """

    context_tokens = 1000

    def __init__(self) -> None:
        self.requests: deque[Generate] = deque(maxlen=REMEMBERED)
        self.open = 0
        """Replies that are being written."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def reply(self, request: Generate) -> AsyncIterator[ChatEvent]:
        self.requests.append(request)
        self.open += 1
        try:
            async for event in self._reply(request):
                yield event
        finally:
            self.open -= 1

    async def _reply(self, request: Generate) -> AsyncIterator[ChatEvent]:
        said = last_said(request.items)
        for tool in request.tools:
            if tool.name in said:
                arguments = json.dumps({"said": said})
                yield ToolCallStarted("call_1", tool.name)
                yield ToolCallArguments("call_1", arguments[:5])
                yield ToolCallArguments("call_1", arguments[5:])
                return
        for letter in f"You said: {said}":
            await asyncio.sleep(0)
            yield TextDelta(letter)
        if "FALL" in said:
            raise EngineError("lost", "The model fell over.")
        if "CRASH" in said:
            raise ZeroDivisionError
        if "WAIT" in said:
            await asyncio.Event().wait()
        yield ChatDone()


class FakeSynthesizer:
    """Hums 10 ms for each character, a word at a time."""

    voices = ("alloy", "echo")

    def __init__(self) -> None:
        self.utterances: deque[Utterance] = deque(maxlen=REMEMBERED)
        self.open = 0
        """Utterances that are being spoken."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        self.utterances.append(utterance)
        self.open += 1
        try:
            characters = samples = 0
            for word in utterance.text.split(" "):
                await asyncio.sleep(0)
                characters += len(word)
                samples += (len(word) + 1) * CHARACTER_SAMPLES
                level = np.full((len(word) + 1) * CHARACTER_SAMPLES, 1000 + len(word), "<i2")
                yield Speech(level.tobytes(), (Mark(characters, samples),))
                characters += 1
        finally:
            self.open -= 1
