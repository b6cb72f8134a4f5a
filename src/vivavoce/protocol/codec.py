"""Frames to client events, server events to frames: the GA dialect, and what both dialects have in common.

Most events look the same in either dialect, audio above all: those are decoded in one go. Three are not that simple
(`session.update`, `conversation.item.create`, `response.create`): clients write them in several ways, so they are read as
plain JSON, put into GA's form, and only then converted.

Whatever the bytes are, `decode` returns an event or raises `RequestError` with the client's `event_id`; nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Struct

from vivavoce.protocol.beta_shapes import FLAT_SESSION, upgrade_response, upgrade_session
from vivavoce.protocol.client_events import (
    CLIENT_EVENTS,
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseCancel,
    ResponseCreate,
    ResponseCreateParams,
    SessionUpdate,
)
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.leniency import GA_CONTENT, ContentTypes, tidy_item
from vivavoce.protocol.refusals import clipped, kind_of, refusal, unsupported, wrong_type
from vivavoce.protocol.server_events import ConversationCreated, ServerEvent, wire_name

MAX_FRAME_BYTES: Final = 2**20
"""Every frame that we send is smaller: some clients close above it."""

MAX_CONFIG_BYTES: Final = 2**18
"""A `session.update` or `response.create` (but for its input) comes back, merged with others: three must fit a frame."""

MAX_ITEM_BYTES: Final = 7 * 2**17
"""An item comes back whole, but for its audio."""


class Dialect(Protocol):
    """One vocabulary of the wire. Stateless: one object serves all sessions."""

    @property
    def name(self) -> Literal["ga", "beta"]:
        """Which vocabulary."""

    def decode(self, frame: str | bytes) -> ClientEvent:
        """The event in a text frame, in GA names. Raises `RequestError` and nothing else, whatever the frame holds."""

    def encode(self, event: ServerEvent) -> bytes | None:
        """The text frame of an event, as UTF-8; None if this dialect has no such event."""


# --- decoding, for both dialects ---

_Plain = (
    InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCancel
    | OutputAudioBufferClear
)
"""The events that everybody writes in the same way."""

JsonObject = dict[str, Any]
Upgrade = Callable[[JsonObject], JsonObject]
"""From a client's JSON to GA's. Raises `RequestError`."""


class _Envelope(Struct):
    """What is left of a frame that did not become an event."""

    type: Any = UNSET
    event_id: Any = UNSET


_decode_plain: Final = msgspec.json.Decoder(_Plain).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_object: Final = msgspec.json.Decoder(JsonObject).decode
_encode: Final = msgspec.json.Encoder().encode
_PLAIN: Final = frozenset(wire_name(event) for event in CLIENT_EVENTS if event in _Plain.__args__)
_GA_NAMES: Final = tuple(wire_name(event) for event in CLIENT_EVENTS)


class Vocabulary(NamedTuple):
    """What `decode_frame` has to know of a dialect."""

    upgrades: Mapping[str, Upgrade]
    """The types that are read as plain JSON first, and how they become GA. Their errors speak the client's words."""
    said_by_client: Callable[[RequestError], RequestError] = lambda error: error
    """An error about the upgraded JSON, in the client's words."""


def decode_frame(frame: str | bytes, vocabulary: Vocabulary) -> ClientEvent:
    """The event in `frame`. Raises `RequestError` and nothing else."""
    try:
        event: ClientEvent = _decode_plain(frame)
        return event
    except (ValueError, RecursionError) as error:  # msgspec's errors and the Unicode errors are ValueErrors
        return _decode_carefully(frame, vocabulary, error)


def _decode_carefully(frame: str | bytes, vocabulary: Vocabulary, first_error: Exception) -> ClientEvent:
    """A frame that is no plain event: one of the `upgrades`, or an error that names the client's event."""
    try:
        envelope = _decode_envelope(frame)
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from None
    event_id = envelope.event_id if isinstance(envelope.event_id, str) and len(envelope.event_id) <= 512 else None
    try:
        return _read(frame, envelope, vocabulary, first_error)
    except (ValueError, RecursionError, RequestError) as error:
        refused = error if isinstance(error, RequestError) else _not_json(error)
        raise RequestError(refused.code, refused.message, refused.param, event_id) from None


def _read(frame: str | bytes, envelope: _Envelope, vocabulary: Vocabulary, first_error: Exception) -> ClientEvent:
    kind = _known_type(envelope.type, vocabulary.upgrades)
    if kind.endswith("session.update"):
        _check_size(len(frame), MAX_CONFIG_BYTES, "session")
    upgrade = vocabulary.upgrades.get(kind)
    if upgrade is None and envelope.event_id is not None:
        raise refusal(first_error, ClientEvent) if isinstance(first_error, msgspec.ValidationError) else first_error
    value = _decode_object(frame)
    if value.get("event_id", UNSET) is None:  # how some languages write: absent
        del value["event_id"]
    return _convert(upgrade(value) if upgrade else value, vocabulary)


def _known_type(kind: object, upgrades: Mapping[str, Upgrade]) -> str:
    if kind is UNSET:
        raise RequestError("missing_required_parameter", "Missing required parameter: 'type'.", "type")
    if not isinstance(kind, str):
        raise RequestError("invalid_type", wrong_type("type", ("a string",), kind_of(kind)), "type")
    if kind not in _PLAIN and kind not in upgrades:
        names = (*_GA_NAMES, *(name for name in upgrades if name not in _GA_NAMES))
        raise RequestError("invalid_value", unsupported(kind, names), "type")
    return kind


def _convert(value: JsonObject, vocabulary: Vocabulary) -> ClientEvent:
    try:
        event: ClientEvent = msgspec.convert(value, ClientEvent)
    except msgspec.ValidationError as error:
        raise vocabulary.said_by_client(refusal(error, ClientEvent, value)) from None
    return event


def _not_json(error: Exception) -> RequestError:
    """Not JSON, or JSON that is no object, or too deep: there is no event to speak of."""
    if isinstance(error, msgspec.ValidationError) and str(error).startswith("Expected `object`"):
        return RequestError("invalid_event", "Invalid event: expected a JSON object.")
    why = "It is nested too deeply" if isinstance(error, RecursionError) else str(error).partition(" - at ")[0]
    return RequestError("invalid_json", f"Invalid event: failed to parse JSON value. {clipped(why)}.")


def _check_size(size: int, largest: int, param: str) -> None:
    if size > largest:
        message = f"Invalid '{param}': too long. Expected at most {largest} bytes, but got {size} instead."
        raise RequestError("invalid_value", message, param)


def binary_frame() -> RequestError:
    """What a binary frame is answered with. Events travel in text frames."""
    return RequestError("invalid_event", "Expected a text WebSocket message; binary frames are not supported.")


# --- the upgrades that the dialects share ---


def item_create(event: JsonObject, words: ContentTypes) -> JsonObject:
    """A `conversation.item.create` whose item fits the Structs."""
    if "item" in event:
        event["item"] = tidy_item(event["item"], "item", words)
        _check_size(_echoed_bytes(event["item"]), MAX_ITEM_BYTES, "item")
    return event


def _echoed_bytes(item: Any) -> int:
    """How long the item is in the frames that show it, where audio is left out."""
    if isinstance(item, dict) and isinstance(content := item.get("content"), list):
        item = item | {"content": [part | {"audio": ""} if isinstance(part, dict) else part for part in content]}
    return len(_encode(item))


def response_create(event: JsonObject, words: ContentTypes) -> JsonObject:
    """A `response.create` in GA names. Beta's names are understood on a GA connection too."""
    response = event.get("response")
    if not isinstance(response, dict):
        return event
    response = upgrade_response(response)
    for name in response:
        if name not in ResponseCreateParams.__struct_fields__:
            param = f"response.{clipped(name)}"
            raise RequestError("unknown_parameter", f"Unknown parameter: '{param}'.", param)
    _check_size(len(_encode(response | {"input": None})), MAX_CONFIG_BYTES, "response")
    if isinstance(response.get("input"), list):
        response["input"] = [
            tidy_item(item, f"response.input[{index}]", words) for index, item in enumerate(response["input"])
        ]
    event["response"] = {name: value for name, value in response.items() if value is not None or name not in _NEVER_NULL}
    return event


_NEVER_NULL: Final = frozenset({"output_modalities", "audio"})
"""In `response.create`: null means absent here."""


# --- GA ---


def _session_update(event: JsonObject) -> JsonObject:
    """Clients of the beta that lost their header still say `{"session": {"voice": …}}`."""
    session = event.get("session")
    if isinstance(session, dict) and "type" not in session and not FLAT_SESSION.isdisjoint(session):
        event["session"] = upgrade_session(session)
    return event


_VOCABULARY: Final = Vocabulary(
    {
        wire_name(SessionUpdate): _session_update,
        wire_name(ConversationItemCreate): lambda event: item_create(event, GA_CONTENT),
        wire_name(ResponseCreate): lambda event: response_create(event, GA_CONTENT),
    }
)


class _Ga:
    """The vocabulary of today."""

    name: Final = "ga"

    def decode(self, frame: str | bytes) -> ClientEvent:
        return decode_frame(frame, _VOCABULARY)

    def encode(self, event: ServerEvent) -> bytes | None:
        return None if type(event) is ConversationCreated else _encode(event)


GA: Final[Dialect] = _Ga()
