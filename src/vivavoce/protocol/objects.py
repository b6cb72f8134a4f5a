"""What events carry: items, content parts, tools, responses, usage. GA names; `beta.py` knows the others.

Absent and `null` differ on this wire. A field typed `X | UnsetType = UNSET` is left out when it has no value; clients
break on `null` there. A field typed `X | None` is always sent.

Audio is `bytes` here and base64 on the wire (msgspec does both ways). Which encoding the bytes have stands beside them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Status = Literal["in_progress", "completed", "incomplete"]
Modality = Literal["text", "audio"]


class AudioFormat(Struct, frozen=True, omit_defaults=False):
    """An audio encoding. PCM is 16-bit little-endian mono at 24,000 Hz; G.711 is one byte a sample at 8,000 Hz."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Literal[24000, 8000] | UnsetType = UNSET
    """24000 with `audio/pcm`, absent with G.711."""


PCM = AudioFormat("audio/pcm", 24000)
PCMU = AudioFormat("audio/pcmu")
PCMA = AudioFormat("audio/pcma")


# --- content parts ---


class InputTextPart(Struct, frozen=True, tag_field="type", tag="input_text"):
    """Text that a user typed, or a system message."""

    text: str


class InputAudioPart(Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Speech of the user."""

    audio: bytes | UnsetType = UNSET
    """Encoded as `format` says. Left out of every event but `conversation.item.retrieved`."""
    transcript: str | None = None
    """`null` until a transcriber has spoken: clients look for the key."""
    format: AudioFormat | UnsetType = UNSET
    """Our extension: absent means PCM16 at 24 kHz. Set where the session's input was G.711."""


class InputImagePart(Struct, frozen=True, tag_field="type", tag="input_image"):
    """A picture, as a data URL. Passed through to engines that can see."""

    image_url: str
    detail: Literal["auto", "low", "high"] = "auto"


class OutputTextPart(Struct, frozen=True, tag_field="type", tag="output_text"):
    """Text that the assistant wrote."""

    text: str


class OutputAudioPart(Struct, frozen=True, tag_field="type", tag="output_audio"):
    """Speech of the assistant, with its words."""

    transcript: str = ""
    audio: bytes | UnsetType = UNSET
    """As `InputAudioPart.audio`."""
    format: AudioFormat | UnsetType = UNSET
    """As `InputAudioPart.format`."""


ContentPart = InputTextPart | InputAudioPart | InputImagePart | OutputTextPart | OutputAudioPart


class SpokenPart(Struct, frozen=True, tag_field="type", tag="audio"):
    """A spoken part as `response.content_part.*` names it: there, and only there, the type is `audio`."""

    transcript: str = ""


class WrittenPart(Struct, frozen=True, tag_field="type", tag="text"):
    """A written part as `response.content_part.*` names it."""

    text: str = ""


# --- items ---


class Message(Struct, frozen=True, tag_field="type", tag="message", kw_only=True):
    """What somebody said. One Struct for all roles: msgspec tells Structs apart by `type` alone."""

    id: str | UnsetType = UNSET
    object: Literal["realtime.item"] = "realtime.item"
    status: Status | UnsetType = UNSET
    role: Literal["user", "assistant", "system"]
    content: tuple[ContentPart, ...]


class FunctionCall(Struct, frozen=True, tag_field="type", tag="function_call", kw_only=True):
    """The model asks the client to run a function. `arguments` is JSON text, as the model wrote it."""

    id: str | UnsetType = UNSET
    object: Literal["realtime.item"] = "realtime.item"
    status: Status | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    name: str
    arguments: str


class FunctionCallOutput(Struct, frozen=True, tag_field="type", tag="function_call_output", kw_only=True):
    """What the client's function returned, as free text (mostly JSON)."""

    id: str | UnsetType = UNSET
    object: Literal["realtime.item"] = "realtime.item"
    status: Status | UnsetType = UNSET
    call_id: str
    output: str


class ItemReference(Struct, frozen=True, tag_field="type", tag="item_reference", kw_only=True):
    """In `response.create` only: an item of the default conversation, by its id."""

    id: str


Item = Message | FunctionCall | FunctionCallOutput


# --- tools ---


class FunctionTool(Struct, frozen=True, kw_only=True):
    """A function that the client can run. `parameters` is a JSON schema of an object."""

    type: Literal["function"] = "function"
    name: str
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET


class FunctionChoice(Struct, frozen=True, kw_only=True):
    """`tool_choice` that forces one function."""

    type: Literal["function"] = "function"
    name: str


ToolChoice = Literal["auto", "none", "required"] | FunctionChoice


# --- responses ---


class CachedTokens(Struct, frozen=True):
    """Input tokens that the model did not have to read again."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


class InputTokens(Struct, frozen=True):
    """Input tokens by modality; audio counts 1 token per 100 ms, as the hosted API does."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: CachedTokens = CachedTokens()


class OutputTokens(Struct, frozen=True):
    """Output tokens by modality; audio counts 1 token per 50 ms."""

    text_tokens: int = 0
    audio_tokens: int = 0


class Usage(Struct, frozen=True):
    """What a response cost. Every field is always there: clients add them up without looking."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokens = InputTokens()
    output_token_details: OutputTokens = OutputTokens()


class ResponseError(Struct, frozen=True):
    """Why a response failed."""

    type: str
    code: str
    message: str


class StatusDetails(Struct, frozen=True, kw_only=True):
    """How a response ended. Clients accept only these reasons."""

    type: Literal["completed", "cancelled", "incomplete", "failed"]
    reason: Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"] | UnsetType = UNSET
    error: ResponseError | UnsetType = UNSET


class ResponseAudioOutput(Struct, frozen=True):
    """Format and voice of a response."""

    format: AudioFormat
    voice: str | dict[str, Any]


class ResponseAudio(Struct, frozen=True):
    """The nesting that GA asks for."""

    output: ResponseAudioOutput


class Response(Struct, frozen=True, kw_only=True):
    """A response as `response.created` and `response.done` show it."""

    object: Literal["realtime.response"] = "realtime.response"
    id: str
    conversation_id: str | UnsetType = UNSET
    """Absent for out-of-band responses."""
    status: Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]
    status_details: StatusDetails | None = None
    output: tuple[Item, ...] = ()
    output_modalities: tuple[Modality, ...]
    audio: ResponseAudio
    max_output_tokens: int | Literal["inf"]
    metadata: dict[str, str] | None = None
    usage: Usage = Usage()
    temperature: float | UnsetType = UNSET
    """Only where a beta client set it."""


# --- small objects of events ---


class Conversation(Struct, frozen=True, kw_only=True):
    """What beta's `conversation.created` carries."""

    id: str
    object: Literal["realtime.conversation"] = "realtime.conversation"


class LogProb(Struct, frozen=True):
    """How sure a transcriber is of one token."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class DurationUsage(Struct, frozen=True, kw_only=True):
    """What a transcription cost: seconds of audio."""

    type: Literal["duration"] = "duration"
    seconds: float


class TranscriptionError(Struct, frozen=True, kw_only=True):
    """Why a transcription failed. No `param`: clients reject the key."""

    type: str
    code: str
    message: str


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """The inside of an `error` event. `event_id` is the client's event that caused it, else `null`."""

    type: Literal["invalid_request_error", "server_error", "rate_limit_error"]
    code: str | None
    message: str
    param: str | None = None
    event_id: str | None = None


class RateLimit(Struct, frozen=True):
    """One limit of a key: what is left of it, and in how many seconds it is whole again."""

    name: Literal["requests", "tokens"]
    limit: int
    remaining: int
    reset_seconds: float
