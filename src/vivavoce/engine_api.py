"""What the core and an engine say to each other.

Commands are imperatives and go to the engine; events are facts and come back. Both are plain data, so a trace can hold
them. An engine never sees the wire: no base64, no dialects, no event ids.

    core ── EngineCommand ──▶ EngineSession.submit        never blocks, called on the event loop
    core ◀── EngineEvent ──── emit(event)                 callable from any thread

Audio goes in as the client sent it (`AudioFormat` says how to read it; `vivavoce.audio.to_pcm` reads it) and comes out as
PCM16 mono at 24,000 Hz. Positions and lengths named `*_samples` count samples at 24,000 Hz, whatever the format.

An engine answers each `Generate` with any number of `Output…` and `FunctionCall…` events and then exactly one
`GenerationDone` or `GenerationFailed`. After `StopGenerating` it may go silent: the core has closed the response already
and drops what still arrives.

A `Generate` may carry an item that is still being listened to (`Capabilities.drafts`). What is listened to afterwards under
the same id is silence; if the speaker goes on, `StopListening` takes the item back and the turn is told anew from its start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from msgspec import Struct

from vivavoce.protocol.objects import AudioFormat, FunctionTool, Item, LogProb, Modality, ToolChoice, Usage


class Capabilities(Struct, frozen=True, kw_only=True):
    """What an engine can do. The core decides by these flags, never by an engine's name."""

    speaks: bool = True
    """It can produce `OutputAudio`. Else every response is text."""
    listens: bool = False
    """It wants `Listen`: the audio of a turn while it is still being spoken."""
    transcribes: bool = False
    """It answers `Transcribe`."""
    scores_turns: bool = False
    """It answers `ScoreTurn`."""
    native_audio: bool = False
    """It hears audio itself, no text between. For people and for the docs; the core treats both kinds alike."""
    drafts: bool = False
    """It may be asked to answer before the turn is over: what it would say is held back, or thrown away if the speaker goes
    on. So it must forget a `Generate` that is stopped, and know an item by its id while silence makes it longer."""
    voices: tuple[str, ...] = ()
    """Voice names it knows, best first. An unknown name gets its default."""
    context_tokens: int = 128_000
    """How much context fits, instructions included."""


# --- commands ---


class DetectSpeech(Struct, frozen=True, tag=True):
    """Score this audio. Answered by one `SpeechScore` per window of 32 ms, in order."""

    start_samples: int
    """Position of the first sample. Where it does not follow the previous command's end, the detector forgets its state."""
    audio: bytes
    format: AudioFormat


class ScoreTurn(Struct, frozen=True, tag=True):
    """The speaker paused: is the turn over? Answered by one `TurnScore` with the same `end_samples`."""

    item_id: str
    end_samples: int
    audio: bytes
    """The turn so far, the last 8 s at most."""
    format: AudioFormat


class Listen(Struct, frozen=True, tag=True):
    """The next audio of a turn that is not over. Its chunks, joined, are exactly the audio of item `item_id`. Where a
    turn-end model was slow to say that the turn is over, they are some silence more.

    After a `Generate` that carries this item (a draft), all that follows is silence: nothing more has to be recognised.
    """

    item_id: str
    audio: bytes
    format: AudioFormat
    final: bool = False
    """The turn is over and this is its last audio (perhaps none)."""
    words: bool = False
    """Tell words as soon as they are certain (`WordsHeard`), if that can be done: they may interrupt an answer."""


class StopListening(Struct, frozen=True, tag=True):
    """The turn came to nothing (cleared, or deleted), or it went on after a draft: forget item `item_id`.

    In the latter case `Listen` follows under the same id, from the turn's first sample.
    """

    item_id: str


class Transcribe(Struct, frozen=True, tag=True, kw_only=True):
    """Tell the client what was said. Answered by `TranscriptDelta`s and one `TranscriptDone` or `TranscriptFailed`."""

    item_id: str
    audio: bytes
    format: AudioFormat
    model: str = ""
    """As the client named it; an engine with one model ignores it."""
    language: str = ""
    """ISO-639-1, or empty."""
    prompt: str = ""
    logprobs: bool = False


class Generate(Struct, frozen=True, tag=True, kw_only=True):
    """Answer. A snapshot: nothing that happens later changes it.

    Its newest item may still be listened to, if the engine drafts: then it carries the audio that `Listen` has brought so
    far. Later commands carry the whole item, longer by some silence, under the same id.
    """

    response_id: str
    model: str = ""
    instructions: str = ""
    items: tuple[Item, ...] = ()
    """The conversation, oldest first, already cut to what was heard and to what fits. Audio parts carry their bytes."""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    modalities: tuple[Modality, ...] = ("audio",)
    voice: str = "alloy"
    speed: float = 1.0
    temperature: float | None = None
    max_output_tokens: int | None = None
    """Text and audio together. The engine stops there with reason `max_output_tokens`."""
    parallel_tool_calls: bool = True
    reasoning_effort: str | None = None
    unprompted: bool = False
    """Not the user's words ask for it: it breaks a silence (the idle time-out), or has instructions of its own
    (`response.create`). Else an engine that understood nothing of what it has to answer ends without an output."""
    metadata: dict[str, Any] = {}


class StopGenerating(Struct, frozen=True, tag=True):
    """Nobody wants the rest of this response: stop working, free its resources."""

    response_id: str


EngineCommand = DetectSpeech | ScoreTurn | Listen | StopListening | Transcribe | Generate | StopGenerating


# --- events ---


class SpeechScore(Struct, frozen=True, tag=True):
    """The window that ends at `end_samples` is speech with this probability."""

    end_samples: int
    probability: float


class TurnScore(Struct, frozen=True, tag=True):
    """The turn that pauses at `end_samples` is over with this probability."""

    item_id: str
    end_samples: int
    probability: float


class WordsHeard(Struct, frozen=True, tag=True):
    """More words of a turn that is still listened to. The client does not get them: the transcript will bring them again."""

    item_id: str
    text: str


class TranscriptDelta(Struct, frozen=True, tag=True):
    """More of the user's words. Deltas, joined, are the final transcript; words that may still change are not sent."""

    item_id: str
    text: str
    logprobs: tuple[LogProb, ...] = ()


class TranscriptDone(Struct, frozen=True, tag=True):
    """All of the user's words."""

    item_id: str
    text: str
    logprobs: tuple[LogProb, ...] = ()


class TranscriptFailed(Struct, frozen=True, tag=True):
    """The user's words could not be had."""

    item_id: str
    code: str
    message: str


class OutputText(Struct, frozen=True, tag=True):
    """More text of a text answer. Never spoken."""

    response_id: str
    text: str


class OutputAudio(Struct, frozen=True, tag=True):
    """More speech: PCM16 mono at 24,000 Hz, any whole number of samples."""

    response_id: str
    pcm: bytes


class Mark(Struct, frozen=True):
    """When `samples` of the item's audio were heard, so were the first `characters` of its transcript.

    Both count from the beginning of the item, not of the event that brings the mark. A mark stands at the end of a word.
    """

    characters: int
    samples: int


class OutputTranscript(Struct, frozen=True, tag=True):
    """More words of the speech, with the marks known so far. A mark may come later than its words, never earlier."""

    response_id: str
    text: str
    marks: tuple[Mark, ...] = ()


class FunctionCallStarted(Struct, frozen=True, tag=True):
    """The model calls a function. Several calls in one response differ by `call_id`."""

    response_id: str
    call_id: str
    name: str


class FunctionCallArguments(Struct, frozen=True, tag=True):
    """More JSON of a call's arguments."""

    response_id: str
    call_id: str
    delta: str


class GenerationDone(Struct, frozen=True, tag=True):
    """The response is whole, or stops for `reason`."""

    response_id: str
    reason: Literal["completed", "max_output_tokens", "content_filter"] = "completed"
    usage: Usage | None = None
    """What the engine counted. Without it the core counts by the hosted API's rules."""


class GenerationFailed(Struct, frozen=True, tag=True):
    """The response broke off. `message` reaches the client: nothing secret in it."""

    response_id: str
    code: str
    message: str


GenerationEvent = (
    OutputText
    | OutputAudio
    | OutputTranscript
    | FunctionCallStarted
    | FunctionCallArguments
    | GenerationDone
    | GenerationFailed
)
"""What comes of a `Generate`. Each names its response."""

EngineEvent = SpeechScore | TurnScore | WordsHeard | TranscriptDelta | TranscriptDone | TranscriptFailed | GenerationEvent

Emit = Callable[[EngineEvent], None]
"""How an engine reports. Callable from any thread; never blocks; does nothing once the session is closed."""


class EngineSession(Protocol):
    """One conversation's side of an engine. Sessions share weights and nothing else."""

    def submit(self, command: EngineCommand) -> None:
        """Take a command. Called on the event loop: hand it to a thread or a task and return within microseconds.

        A command that the engine's capabilities do not cover is ignored.
        """

    def close(self) -> None:
        """The client is gone: stop everything and free everything. Called once; `emit` does nothing from now on."""


class Engine(Protocol):
    """What hears and speaks: one for the process, shared by all sessions."""

    capabilities: Capabilities

    async def start(self) -> None:
        """Load weights, start threads, warm up. The server is ready when this returns. Raises `EngineError`."""

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session. Called on the event loop; cheap."""

    async def close(self) -> None:
        """Stop threads, free weights. All sessions are closed by then."""
