"""What the server says, in GA names. A class is a wire name: `ResponseDone` is `response.done`.

Base64 exists on the wire only: the `delta` of `ResponseOutputAudioDelta` is bytes. One name is shortened: the four
`InputAudioTranscription…` classes are `conversation.item.input_audio_transcription.…`.
"""

from __future__ import annotations

from typing import Final, get_args

from msgspec import UNSET, Struct, UnsetType

from vivavoce.protocol.config import SessionObject
from vivavoce.protocol.objects import (
    Conversation,
    DurationUsage,
    ErrorDetails,
    Item,
    LogProb,
    RateLimit,
    Response,
    SpokenPart,
    TranscriptionError,
    WrittenPart,
)


class ServerEventBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every server event carries."""

    event_id: str = ""
    """Unique in the session. The session's single outlet fills it in."""


class SessionCreated(ServerEventBase, frozen=True, kw_only=True, tag="session.created"):
    """The first event of every session."""

    session: SessionObject


class SessionUpdated(ServerEventBase, frozen=True, kw_only=True, tag="session.updated"):
    """The full effective configuration after an update."""

    session: SessionObject


class ConversationCreated(ServerEventBase, frozen=True, kw_only=True, tag="conversation.created"):
    """Beta only: the second event of a session."""

    conversation: Conversation


class InputAudioBufferCommitted(ServerEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.committed"):
    """The buffered audio became the item `item_id`."""

    previous_item_id: str | None
    item_id: str


class InputAudioBufferCleared(ServerEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"):
    """The buffer is empty."""


class InputAudioBufferSpeechStarted(ServerEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"):
    """A turn opened. `audio_start_ms` counts from the first audio of the session and includes the prefix padding."""

    audio_start_ms: int
    item_id: str


class InputAudioBufferSpeechStopped(ServerEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"):
    """The turn closed. `audio_end_ms` is where the committed audio ends."""

    audio_end_ms: int
    item_id: str


class InputAudioBufferTimeoutTriggered(
    ServerEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.timeout_triggered"
):
    """Nobody spoke for `idle_timeout_ms`: the silence is committed and the model speaks."""

    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class ConversationItemAdded(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.added"):
    """An item stands in the conversation; its content may still be growing."""

    previous_item_id: str | None
    item: Item


class ConversationItemDone(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.done"):
    """The item is whole."""

    previous_item_id: str | None
    item: Item


class ConversationItemRetrieved(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.retrieved"):
    """The item, audio included."""

    item: Item


class ConversationItemTruncated(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.truncated"):
    """The item keeps only what was heard."""

    item_id: str
    content_index: int
    audio_end_ms: int


class ConversationItemDeleted(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.deleted"):
    """The item is gone."""

    item_id: str


class InputAudioTranscriptionDelta(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.delta"
):
    """More words of the user."""

    item_id: str
    content_index: int = 0
    delta: str
    logprobs: tuple[LogProb, ...] | UnsetType = UNSET


class InputAudioTranscriptionCompleted(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.completed"
):
    """All words of the user."""

    item_id: str
    content_index: int = 0
    transcript: str
    usage: DurationUsage
    logprobs: tuple[LogProb, ...] | UnsetType = UNSET


class InputAudioTranscriptionFailed(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.failed"
):
    """The words could not be had; the conversation goes on without."""

    item_id: str
    content_index: int = 0
    error: TranscriptionError


class InputAudioTranscriptionSegment(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.segment"
):
    """A stretch of speech by one speaker. For transcribers that tell speakers apart."""

    item_id: str
    content_index: int = 0
    text: str
    id: str
    speaker: str
    start: float
    end: float


class ResponseCreated(ServerEventBase, frozen=True, kw_only=True, tag="response.created"):
    """A response began."""

    response: Response


class ResponseDone(ServerEventBase, frozen=True, kw_only=True, tag="response.done"):
    """A response ended, in whatever way."""

    response: Response


class ResponseOutputItemAdded(ServerEventBase, frozen=True, kw_only=True, tag="response.output_item.added"):
    """The response began an item."""

    response_id: str
    output_index: int
    item: Item


class ResponseOutputItemDone(ServerEventBase, frozen=True, kw_only=True, tag="response.output_item.done"):
    """The response finished an item."""

    response_id: str
    output_index: int
    item: Item


class ResponseContentPartAdded(ServerEventBase, frozen=True, kw_only=True, tag="response.content_part.added"):
    """The item began a part."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    part: SpokenPart | WrittenPart


class ResponseContentPartDone(ServerEventBase, frozen=True, kw_only=True, tag="response.content_part.done"):
    """The item finished a part."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    part: SpokenPart | WrittenPart


class ResponseOutputTextDelta(ServerEventBase, frozen=True, kw_only=True, tag="response.output_text.delta"):
    """More text."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class ResponseOutputTextDone(ServerEventBase, frozen=True, kw_only=True, tag="response.output_text.done"):
    """All the text."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    text: str


class ResponseOutputAudioTranscriptDelta(
    ServerEventBase, frozen=True, kw_only=True, tag="response.output_audio_transcript.delta"
):
    """More words of the speech."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class ResponseOutputAudioTranscriptDone(
    ServerEventBase, frozen=True, kw_only=True, tag="response.output_audio_transcript.done"
):
    """All words of the speech."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    transcript: str


class ResponseOutputAudioDelta(ServerEventBase, frozen=True, kw_only=True, tag="response.output_audio.delta"):
    """More speech: whole samples in the output format."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: bytes


class ResponseOutputAudioDone(ServerEventBase, frozen=True, kw_only=True, tag="response.output_audio.done"):
    """All speech was sent."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


class ResponseFunctionCallArgumentsDelta(
    ServerEventBase, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"
):
    """More JSON of the arguments."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(
    ServerEventBase, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """All JSON of the arguments."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class RateLimitsUpdated(ServerEventBase, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """What is left of the limits of this key."""

    rate_limits: tuple[RateLimit, ...]


class Error(ServerEventBase, frozen=True, kw_only=True, tag="error"):
    """Something was refused or broke; the session goes on."""

    error: ErrorDetails


ServerEvent = (
    SessionCreated
    | SessionUpdated
    | ConversationCreated
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemRetrieved
    | ConversationItemTruncated
    | ConversationItemDeleted
    | InputAudioTranscriptionDelta
    | InputAudioTranscriptionCompleted
    | InputAudioTranscriptionFailed
    | InputAudioTranscriptionSegment
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | RateLimitsUpdated
    | Error
)

SERVER_EVENTS: Final[tuple[type[ServerEventBase], ...]] = get_args(ServerEvent)


def wire_name(event: type[Struct]) -> str:
    """The `type` of an event class: `wire_name(ResponseDone) == "response.done"`."""
    return str(event.__struct_config__.tag)
