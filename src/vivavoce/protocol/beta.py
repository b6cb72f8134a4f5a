"""The beta dialect of 2024, spoken at the edge: `upgrade` what the client says, `downgrade` what we say.

| beta | GA |
|---|---|
| response.audio.…, .audio_transcript.…, .text.… | response.output_audio.…, .output_audio_transcript.…, .output_text.… |
| conversation.item.created | conversation.item.added; and nothing for conversation.item.done |
| transcription_session.update, .created, .updated | session.… with type `transcription` |
| flat sessions and responses (`beta_shapes`) | nested ones |
| function_call_arguments.done without `name` | with |

This module and `beta_shapes` are the only ones that know a beta name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from vivavoce.protocol.beta_shapes import (
    GA_SESSION,
    downgrade_item,
    downgrade_param,
    downgrade_response,
    downgrade_session,
    upgrade_session,
)
from vivavoce.protocol.client_events import ClientEvent, ConversationItemCreate, ResponseCreate, SessionUpdate
from vivavoce.protocol.codec import Dialect, JsonObject, Vocabulary, decode_frame, item_create, response_create
from vivavoce.protocol.config import TranscriptionSession
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.leniency import ContentTypes
from vivavoce.protocol.server_events import (
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemRetrieved,
    Error,
    InputAudioBufferTimeoutTriggered,
    InputAudioTranscriptionSegment,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    wire_name,
)

__all__ = ["BETA", "downgrade", "downgrade_session", "upgrade", "upgrade_session"]

_encode: Final = msgspec.json.Encoder().encode

_CONTENT: Final[ContentTypes] = {
    "user": ("input_text", "input_audio"),
    "assistant": ("text", "audio"),
    "system": ("input_text",),
}


# --- upgrade ---


def upgrade(frame: str | bytes) -> ClientEvent:
    """The event in a beta client's frame, in GA names. Raises `RequestError`, with beta's path in `param`."""
    return decode_frame(frame, _VOCABULARY)


def _session_update(event: JsonObject) -> JsonObject:
    session = event.get("session")
    if not isinstance(session, dict):
        return event
    for name in session:
        if name in GA_SESSION:
            raise RequestError("unknown_parameter", f"Unknown parameter: 'session.{name}'.", f"session.{name}")
    return event | {"session": upgrade_session(session)}


def _transcription_session_update(event: JsonObject) -> JsonObject:
    session = event.get("session")
    session = upgrade_session(session, transcription=True) if isinstance(session, dict) else session
    given = {"session": session} if "session" in event else {}
    return event | {"type": wire_name(SessionUpdate)} | given


def _said_by_client(error: RequestError) -> RequestError:
    param = downgrade_param(error.param) if error.param else None
    return RequestError(error.code, _downgraded_message(error.message, error.param, param), param, error.event_id)


def _downgraded_message(message: str, ga: str | None, beta: str | None) -> str:
    return message.replace(f"'{ga}'", f"'{beta}'") if ga and ga != beta else message


_VOCABULARY: Final = Vocabulary(
    {
        wire_name(SessionUpdate): _session_update,
        "transcription_session.update": _transcription_session_update,
        wire_name(ConversationItemCreate): lambda event: item_create(event, _CONTENT),
        wire_name(ResponseCreate): lambda event: response_create(event, _CONTENT),
    },
    _said_by_client,
)


# --- downgrade ---


def downgrade(event: ServerEvent) -> bytes | None:
    """The beta frame of an event; None if beta has no such event."""
    kind = type(event)
    if renamed := _RENAMED.get(kind):
        old, new = renamed
        return new + _encode(event)[len(old) :]
    if reshape := _RESHAPED.get(kind):
        return _encode(reshape(event))
    return None if kind in _ABSENT else _encode(event)


def _rename(event: type[msgspec.Struct], name: str) -> tuple[bytes, bytes]:
    """The beginning of the frame in GA and in beta: msgspec writes the tag first, so only these bytes differ."""
    return f'{{"type":"{wire_name(event)}"'.encode(), f'{{"type":"{name}"'.encode()


_RENAMED: Final[dict[type, tuple[bytes, bytes]]] = {
    event: _rename(event, wire_name(event).replace("output_", ""))
    for event in (
        ResponseOutputAudioDelta,
        ResponseOutputAudioDone,
        ResponseOutputAudioTranscriptDelta,
        ResponseOutputAudioTranscriptDone,
        ResponseOutputTextDelta,
        ResponseOutputTextDone,
    )
}
_ABSENT: Final = frozenset({ConversationItemDone, InputAudioBufferTimeoutTriggered, InputAudioTranscriptionSegment})


def _session_event(event: SessionCreated | SessionUpdated) -> JsonObject:
    name = wire_name(type(event))
    if isinstance(event.session, TranscriptionSession):
        name = f"transcription_{name}"
    return {"type": name, "event_id": event.event_id, "session": downgrade_session(event.session)}


def _item_event(event: ServerEvent) -> JsonObject:
    beta: JsonObject = msgspec.to_builtins(event)
    if type(event) is ConversationItemAdded:
        beta["type"] = "conversation.item.created"
    beta["item"] = downgrade_item(beta["item"])
    return beta


def _response_event(event: ResponseCreated | ResponseDone) -> JsonObject:
    beta: JsonObject = msgspec.to_builtins(event)
    beta["response"] = downgrade_response(beta["response"])
    return beta


def _arguments_done(event: ResponseFunctionCallArgumentsDone) -> JsonObject:
    beta: JsonObject = msgspec.to_builtins(event)
    del beta["name"]
    return beta


def _error(event: Error) -> JsonObject:
    beta: JsonObject = msgspec.to_builtins(event)
    error = beta["error"]
    if param := error["param"]:
        error["param"] = downgrade_param(param)
        error["message"] = _downgraded_message(error["message"], param, error["param"])
    return beta


_RESHAPED: Final[dict[type, Callable[[Any], JsonObject]]] = {
    SessionCreated: _session_event,
    SessionUpdated: _session_event,
    ConversationItemAdded: _item_event,
    ConversationItemRetrieved: _item_event,
    ResponseOutputItemAdded: _item_event,
    ResponseOutputItemDone: _item_event,
    ResponseCreated: _response_event,
    ResponseDone: _response_event,
    ResponseFunctionCallArgumentsDone: _arguments_done,
    Error: _error,
}


def beta_name(event: type[msgspec.Struct]) -> str | None:
    """What beta calls an event class: `response.audio.delta` for `ResponseOutputAudioDelta`. `None`: nothing."""
    if event in _ABSENT:
        return None
    if renamed := _RENAMED.get(event):
        return renamed[1].decode().rpartition(':"')[2].rstrip('"')
    return "conversation.item.created" if event is ConversationItemAdded else wire_name(event)


class _Beta:
    """The vocabulary of 2024."""

    name: Final = "beta"

    def decode(self, frame: str | bytes) -> ClientEvent:
        return upgrade(frame)

    def encode(self, event: ServerEvent) -> bytes | None:
        return downgrade(event)


BETA: Final[Dialect] = _Beta()
