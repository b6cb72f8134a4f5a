"""What clients say, in GA names. A class is a wire name: `InputAudioBufferAppend` is `input_audio_buffer.append`.

Events that only WebRTC, SIP or MCP cause are not here. Base64 exists on the wire only: `audio` is bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from vivavoce.protocol.config import MaxTokens
from vivavoce.protocol.objects import AudioFormat, FunctionTool, Item, ItemReference, Modality, ToolChoice

Id = Annotated[str, Meta(max_length=512)]
"""The API's own limit. Errors and items repeat what the client chose; no frame of ours may grow with it."""


class ClientEventBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every client event may carry."""

    event_id: Id | UnsetType = UNSET
    """The client's own name for the event; an `error` that it causes repeats it."""


class SessionUpdate(ClientEventBase, frozen=True, kw_only=True, tag="session.update"):
    """Change the configuration. `session` stays raw JSON: absent, present and `null` mean three things (see `config`)."""

    session: dict[str, Any]


class InputAudioBufferAppend(ClientEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.append"):
    """More of the user's speech: any number of bytes in the session's input format, also half a sample."""

    audio: bytes


class InputAudioBufferCommit(ClientEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.commit"):
    """Make the buffered audio a user message. Creates no response."""


class InputAudioBufferClear(ClientEventBase, frozen=True, kw_only=True, tag="input_audio_buffer.clear"):
    """Forget the buffered audio."""


class ConversationItemCreate(ClientEventBase, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Insert an item: at the end, at the head (`root`), or after `previous_item_id`."""

    item: Item
    previous_item_id: Id | UnsetType | None = UNSET


class ConversationItemRetrieve(ClientEventBase, frozen=True, kw_only=True, tag="conversation.item.retrieve"):
    """Ask for an item as the server holds it, audio included."""

    item_id: Id


class ConversationItemTruncate(ClientEventBase, frozen=True, kw_only=True, tag="conversation.item.truncate"):
    """Say how much of an answer was heard."""

    item_id: Id
    content_index: int
    audio_end_ms: int


class ConversationItemDelete(ClientEventBase, frozen=True, kw_only=True, tag="conversation.item.delete"):
    """Remove an item."""

    item_id: Id


class ResponseAudioOutputParams(Struct, frozen=True):
    """Format and voice for one response."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | dict[str, Any] | UnsetType = UNSET


class ResponseAudioParams(Struct, frozen=True):
    """The nesting that GA asks for."""

    output: ResponseAudioOutputParams | UnsetType = UNSET


class ResponseCreateParams(Struct, frozen=True, kw_only=True):
    """What one response does differently from the session."""

    output_modalities: tuple[Modality, ...] | UnsetType = UNSET
    instructions: str | UnsetType | None = UNSET
    audio: ResponseAudioParams | UnsetType = UNSET
    tools: tuple[FunctionTool, ...] | UnsetType | None = UNSET
    tool_choice: ToolChoice | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    reasoning: dict[str, Any] | UnsetType | None = UNSET
    max_output_tokens: MaxTokens | UnsetType | None = UNSET
    conversation: str | UnsetType | None = UNSET
    """`auto` (default) or `none`: out of band."""
    metadata: dict[str, str] | UnsetType | None = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET
    input: tuple[Item | ItemReference, ...] | UnsetType | None = UNSET
    """The context instead of the conversation; `[]` is an empty context."""
    temperature: float | UnsetType | None = UNSET
    """Beta only."""


class ResponseCreate(ClientEventBase, frozen=True, kw_only=True, tag="response.create"):
    """Let the model answer."""

    response: ResponseCreateParams | UnsetType | None = UNSET


class ResponseCancel(ClientEventBase, frozen=True, kw_only=True, tag="response.cancel"):
    """Stop a response: the one named, else the one in progress."""

    response_id: Id | UnsetType | None = UNSET


class OutputAudioBufferClear(ClientEventBase, frozen=True, kw_only=True, tag="output_audio_buffer.clear"):
    """Cut the server's playout off. Only a transport that owns the loudspeaker can; over a WebSocket it is an error."""


ClientEvent = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
)

CLIENT_EVENTS: Final[tuple[type[ClientEventBase], ...]] = get_args(ClientEvent)
