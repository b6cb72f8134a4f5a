"""What a client of a Realtime server says and hears, in either dialect. Pure.

Inside, names are GA's. `beta` is the dialect of 2024: flat sessions, `response.audio.…`, `text` where GA says `output_text`.
Bytes in an event become base64 when it is encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct

from vivavoce.audio import SAMPLE_HZ, to_pcm
from vivavoce.engine_api import Generate
from vivavoce.engines.chat_messages import call_id
from vivavoce.protocol.objects import (
    PCM,
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputImagePart,
    Item,
    Message,
    OutputAudioPart,
    OutputTextPart,
    Usage,
)

Dialect = Literal["ga", "beta"]
Event = dict[str, Any]

METADATA_KEY: Final = "vivavoce_response"
"""In a response's metadata: our name for it, so that answers asked for at the same time are told apart."""

_GA_NAMES: Final = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.text.delta": "response.output_text.delta",
}


# --- what the server says ---


class ServerItem(Struct):
    """An item of the server's, as far as it matters here."""

    id: str = ""
    type: str = "message"
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class ServerResponse(Struct):
    """A response of the server's."""

    id: str = ""
    status: str | None = None
    status_details: Any = None
    usage: Any = None
    metadata: Any = None


class Received(Struct):
    """Any event of the server's. Fields that it does not have are empty."""

    type: str
    response_id: str = ""
    item_id: str = ""
    call_id: str | None = None
    content_index: int = 0
    delta: str | None = None
    transcript: str | None = None
    arguments: str | None = None
    name: str | None = None
    item: ServerItem | None = None
    response: ServerResponse | None = None
    error: Any = None


_decoder: Final = msgspec.json.Decoder(Received)


def received(frame: str | bytes) -> Received:
    """The event in a frame, under GA's name. Raises `ValueError`."""
    event = _decoder.decode(frame)
    event.type = _GA_NAMES.get(event.type, event.type)
    return event


def usage_of(counted: Any) -> Usage | None:
    """What the server counted, if that is to be read."""
    if not isinstance(counted, dict):
        return None
    try:
        return msgspec.convert(_without_null(counted), Usage, strict=False)
    except msgspec.ValidationError:
        return None


def reason_of(response: ServerResponse) -> str:
    """Why a response is incomplete, or the code of its failure."""
    details = response.status_details if isinstance(response.status_details, dict) else {}
    error = details.get("error")
    error = error if isinstance(error, dict) else {}
    return str(error.get("code") or error.get("type") or details.get("reason") or "")


def message_of(response: ServerResponse) -> str:
    """What a failed response says for people."""
    details = response.status_details if isinstance(response.status_details, dict) else {}
    error = details.get("error")
    return str(error.get("message") or "") if isinstance(error, dict) else ""


def _without_null(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_null(inner) for name, inner in value.items() if inner is not None}


# --- what we say ---


class SessionWish(Struct, frozen=True, kw_only=True):
    """The session as we want it. Turn detection is always off: turns are our own affair."""

    transcription: dict[str, Any] | None = None
    input_rate_hz: int = SAMPLE_HZ


def session_start(wish: SessionWish, dialect: Dialect) -> Event:
    """The first event of a connection."""
    if dialect == "beta":
        session: Event = {
            "turn_detection": None,
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "input_audio_transcription": wish.transcription,
        }
        return {"type": "session.update", "session": session}
    heard = {
        "format": {"type": "audio/pcm", "rate": wish.input_rate_hz},
        "turn_detection": None,
        "transcription": wish.transcription,
    }
    audio = {"input": heard, "output": {"format": msgspec.to_builtins(PCM)}}
    return {"type": "session.update", "session": {"type": "realtime", "audio": audio}}


def session_change(changes: Event, dialect: Dialect) -> Event:
    """A later `session.update`: `instructions`, `tools`, `voice`, `speed`, `transcription`, whichever changed."""
    session = {name: changes[name] for name in ("instructions", "tools") if name in changes}
    output = {name: changes[name] for name in ("voice", "speed") if name in changes}
    if dialect == "beta":
        heard = {"input_audio_transcription": changes["transcription"]} if "transcription" in changes else {}
        return {"type": "session.update", "session": {**session, **output, **heard}}
    audio: Event = {"output": output} if output else {}
    if "transcription" in changes:
        audio["input"] = {"transcription": changes["transcription"]}
    return {"type": "session.update", "session": {"type": "realtime", **session, **({"audio": audio} if audio else {})}}


def tools_of(request: Generate) -> list[Event]:
    """Its functions."""
    found: list[Event] = msgspec.to_builtins(request.tools)
    return list(found)


def response_create(
    request: Generate, voice: str, dialect: Dialect, items: Sequence[Item] | None = None, extra: Event | None = None
) -> Event:
    """Let it answer: the conversation, or `items` and nothing else, out of band."""
    spoken = "audio" in request.modalities
    response: Event = {
        "instructions": request.instructions,
        "tools": tools_of(request),
        "tool_choice": msgspec.to_builtins(request.tool_choice),
        "metadata": {METADATA_KEY: request.response_id[:512]},
    }
    if items is not None:
        response |= {"conversation": "none", "input": [item_fields(item, "", dialect) for item in items]}
    if dialect == "beta":
        response["modalities"] = ["text", "audio"] if spoken else ["text"]
        response |= {"voice": voice, "output_audio_format": "pcm16"} if spoken else {}
        response |= {"temperature": request.temperature} if request.temperature is not None else {}
        response |= {"max_response_output_tokens": request.max_output_tokens} if request.max_output_tokens else {}
        return {"type": "response.create", "response": response | (extra or {})}
    response["output_modalities"] = ["audio"] if spoken else ["text"]
    if spoken:
        response["audio"] = {"output": {"format": msgspec.to_builtins(PCM), "voice": voice}}
    response |= {"max_output_tokens": request.max_output_tokens} if request.max_output_tokens else {}
    response |= {"reasoning": {"effort": request.reasoning_effort}} if request.reasoning_effort else {}
    response |= {} if request.parallel_tool_calls else {"parallel_tool_calls": False}
    return {"type": "response.create", "response": response | (extra or {})}


def item_create(item: Item, item_id: str, after: str | None, dialect: Dialect) -> Event:
    """Insert an item under this id: behind another, at the head (`root`), or at the end (`None`). Sound takes a while."""
    event: Event = {"type": "conversation.item.create", "item": item_fields(item, item_id, dialect)}
    return event if after is None else {**event, "previous_item_id": after}


def item_fields(item: Item, item_id: str, dialect: Dialect) -> Event:
    """An item as clients send it. The assistant's speech goes as its words: no server takes a voice that is not its own."""
    named: Event = {"id": item_id} if item_id else {}
    fields: Event
    match item:
        case FunctionCall():
            fields = {"type": "function_call", "call_id": call_id(item), "name": item.name, "arguments": item.arguments}
        case FunctionCallOutput():
            fields = {"type": "function_call_output", "call_id": item.call_id, "output": item.output}
        case Message():
            content = [field for part in item.content if (field := _part_fields(part, dialect)) is not None]
            fields = {"type": "message", "role": item.role, "content": content}
    return {**named, **fields}


def is_sayable(item: Item) -> bool:
    """Whether there is anything of the item to send: of an answer that nobody heard there is not."""
    return not isinstance(item, Message) or bool(item_fields(item, "", "ga")["content"])


def _part_fields(part: Any, dialect: Dialect) -> Event | None:
    match part:
        case InputAudioPart():
            if part.audio is UNSET:
                return {"type": "input_text", "text": part.transcript} if part.transcript else None
            encoding = (PCM if part.format is UNSET else part.format).type
            return {"type": "input_audio", "audio": to_pcm(part.audio, encoding)}
        case OutputAudioPart() | OutputTextPart():
            words = part.transcript if isinstance(part, OutputAudioPart) else part.text
            return {"type": "text" if dialect == "beta" else "output_text", "text": words} if words.strip() else None
        case InputImagePart():
            if dialect == "beta":
                return None  # It knew no pictures.
            return {"type": "input_image", "image_url": part.image_url, "detail": part.detail}
    return {"type": "input_text", "text": part.text}
