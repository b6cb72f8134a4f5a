"""The three parts of a cascade: a transcriber hears, a chat model thinks, a synthesizer speaks.

Each is started once and shared by all sessions. All of it runs on the event loop but for the work itself, which a part
hands to threads, processes or another server. A part reports its own failure by raising `EngineError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol

from msgspec import Struct

from vivavoce.engine_api import Generate, Mark
from vivavoce.engines.tone import Tone
from vivavoce.protocol.objects import AudioFormat, LogProb, Usage

# --- transcriber ---


class Hints(Struct, frozen=True):
    """What helps a recogniser: the words that are likely to come."""

    language: str = ""
    """ISO-639-1, or empty: guess."""
    prompt: str = ""
    """As the client wrote it in `transcription.prompt`."""
    phrases: tuple[str, ...] = ()
    """Words and phrases from tools (their enums above all) and instructions."""


class Transcript(Struct, frozen=True):
    """What was said. `logprobs` is empty where the recogniser has none."""

    text: str
    logprobs: tuple[LogProb, ...] = ()


class Recognition(Protocol):
    """One turn being recognised."""

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """The next audio. Never blocks; a chunk may end in the middle of a sample."""

    async def finish(self) -> Transcript:
        """The turn is over: wait for the words. Called once. Raises `EngineError`."""

    def cancel(self) -> None:
        """Nobody wants the words. Idempotent; also after `finish`."""


class Transcriber(Protocol):
    """Speech to text.

    An attribute `drafts = False` says that hearing a turn again from its beginning takes too long for draft responses: where
    a speaker goes on after one, that is what it takes. Without the attribute they are made.
    """

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError`."""

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> Recognition:
        """Begin a turn. `on_delta` gets words that will not change any more, on the event loop; they need not come."""

    async def close(self) -> None:
        """Free everything."""


# --- chat model ---


class TextDelta(Struct, frozen=True):
    """More of the answer, tone tags (`<whisper>`) included."""

    text: str


class ToolCallStarted(Struct, frozen=True):
    """The model calls a tool."""

    call_id: str
    name: str


class ToolCallArguments(Struct, frozen=True):
    """More JSON of its arguments."""

    call_id: str
    delta: str


class ChatDone(Struct, frozen=True):
    """The answer is whole. Last of every reply; without it the reply counts as completed."""

    reason: Literal["completed", "max_output_tokens", "content_filter"] = "completed"
    usage: Usage | None = None
    """What an upstream counted. The client is told something else: what the core counts, by the API's rules."""


ChatEvent = TextDelta | ToolCallStarted | ToolCallArguments | ChatDone


class ChatModel(Protocol):
    """Text to text, with tools."""

    context_tokens: int

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError`."""

    def reply(self, request: Generate) -> AsyncIterator[ChatEvent]:
        """Answer. The user's audio parts in `request.items` have their `transcript` filled in.

        Closing the iterator (`aclose`) stops the work at once. Raises `EngineError`.
        """

    async def close(self) -> None:
        """Free everything."""


# --- synthesizer ---


class Utterance(Struct, frozen=True, kw_only=True):
    """A clause to speak: plain text without tags, never empty."""

    text: str
    voice: str = "alloy"
    speed: float = 1.0
    tone: Tone = Tone()


class Speech(Struct, frozen=True):
    """A stretch of the utterance: PCM16 mono at 24,000 Hz, and the marks that became known, counted from its beginning."""

    pcm: bytes
    marks: tuple[Mark, ...] = ()


class Synthesizer(Protocol):
    """Text to speech."""

    voices: tuple[str, ...]

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError`."""

    def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        """Speak a clause, first samples as early as possible. Closing the iterator stops the work. Raises `EngineError`."""

    async def close(self) -> None:
        """Free everything."""
