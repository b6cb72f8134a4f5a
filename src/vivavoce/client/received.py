"""Server events as a client needs them: few fields, all optional, unknown ones ignored.

The server's own Structs say exactly what *we* send. A client meets other servers too, and both dialects, so it reads
leniently: one Struct for all events, in GA names.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from vivavoce.client.errors import ClientError


class Problem(Struct, frozen=True):
    """What an `error` event, a failed transcription or a failed response says."""

    message: str = "no reason given"
    code: str | None = None
    event_id: str | None = None
    """The client's event that caused it."""

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" if self.code else self.message


class SeenItem(Struct, frozen=True):
    """An item, as far as a client acts on it: function calls."""

    id: str = ""
    type: str = ""
    name: str = ""
    call_id: str = ""
    arguments: str = ""


class SeenStatus(Struct, frozen=True):
    """Why a response ended as it did."""

    reason: str | None = None
    error: Problem | None = None


class SeenResponse(Struct, frozen=True):
    """A response."""

    id: str = ""
    status: str = ""
    status_details: SeenStatus | None = None
    output: list[SeenItem] = []


class Received(Struct, frozen=True):
    """A server event. Fields that the event does not have are empty."""

    type: str
    item_id: str = ""
    response_id: str = ""
    content_index: int = 0
    delta: str = ""
    """Text, or audio in base64."""
    transcript: str = ""
    audio_start_ms: int = 0
    audio_end_ms: int = 0
    item: SeenItem | None = None
    response: SeenResponse | None = None
    session: dict[str, Any] | None = None
    error: Problem | None = None


_BETA_TO_GA: Final = {
    f"response.{name}.{edge}": f"response.output_{name}.{edge}"
    for name in ("audio", "audio_transcript", "text")
    for edge in ("delta", "done")
} | {"conversation.item.created": "conversation.item.added"}

_decode: Final = msgspec.json.Decoder(Received).decode


def received(frame: str | bytes) -> Received:
    """The event in a frame, beta's name put into GA's. Raises `ClientError` for what is no event."""
    try:
        event = _decode(frame)
    except ValueError as error:
        raise ClientError(f"The server sent something that is no Realtime event: {error}.") from None
    name = _BETA_TO_GA.get(event.type)
    return msgspec.structs.replace(event, type=name) if name else event


# --- what a client reads in `session.updated` ---


def silence_ms(session: dict[str, Any]) -> int | None:
    """How much silence ends a turn by `server_vad`; `None` where another detector decides. Either dialect."""
    detection = _hears(session).get("turn_detection")
    if isinstance(detection, dict) and detection.get("type") == "server_vad":
        value = detection.get("silence_duration_ms")
        return value if isinstance(value, int) else None
    return None


def transcribes(session: dict[str, Any]) -> bool:
    """The server was asked for the user's words and agreed. Either dialect."""
    hears = _hears(session)
    return bool(hears.get("transcription") or hears.get("input_audio_transcription"))


def _hears(session: dict[str, Any]) -> dict[str, Any]:
    """GA's `audio.input`; the session itself in beta, which is flat."""
    audio = session.get("audio")
    inner = audio.get("input") if isinstance(audio, dict) else session
    return inner if isinstance(inner, dict) else {}
