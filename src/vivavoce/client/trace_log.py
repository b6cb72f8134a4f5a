"""A trace as a person reads a conversation: who did what, when. What comes in pieces is one line, where it began."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from vivavoce.protocol.client_events import CLIENT_EVENTS
from vivavoce.protocol.server_events import SERVER_EVENTS, wire_name
from vivavoce.trace import Step

_CLIENT = frozenset(wire_name(event) for event in CLIENT_EVENTS)
_SERVER = frozenset(wire_name(event) for event in SERVER_EVENTS)
_RUNNER = frozenset({"Tick", "Rejected", "Admitted", "Refused", "Disconnected", "Drain", "Admit", "Spend", "Close"})
_BACKGROUND = frozenset({"input_audio_buffer.append", "DetectSpeech", "SpeechScore", "Listen", "Tick"})
"""What happens fifty times a second: one line for all of it between two things that matter."""
_PIECES = frozenset({"TranscriptDelta", "OutputText", "OutputAudio", "OutputTranscript", "FunctionCallArguments"})


class Row(Struct):
    """One line: a thing that happened, or all pieces of one thing."""

    now: float
    who: str
    name: str
    detail: str = ""
    count: int = 1
    pieces_of: str | None = None
    """The response or item that it is a piece of."""


def log_lines(steps: Iterable[Step]) -> Iterator[str]:
    """The log, in seconds since the session was opened. `client` and `engine` speak to the session, `server` is its answer
    to the client, `asks` its commands to the engine, `runner` the rest.
    """
    yield from row_lines(_rows(steps))


def row_lines(rows: Iterable[Row]) -> Iterator[str]:
    """The same, of rows."""
    began: float | None = None
    for row in _merged(rows):
        began = row.now if began is None else began
        times = f" ×{row.count}" if row.count > 1 else ""
        yield f"{row.now - began:9.3f}  {row.who:<7}{row.name}{times}{'  ' + row.detail if row.detail else ''}"


def _rows(steps: Iterable[Step]) -> Iterator[Row]:
    for step in steps:
        if step.input is not None:
            yield row(step.now, msgspec.to_builtins(step.input, builtin_types=(bytes,)), is_input=True)
        for output in json.loads(bytes(step.outputs)):
            yield row(step.now, output, is_input=False)


def row(now: float, thing: dict[str, Any], is_input: bool) -> Row:
    """The row of one input or output. `is_input`: the session was told it; else it said it."""
    name = thing["type"]
    if name in _BACKGROUND:
        return Row(now, "client", "input audio", count=int(name == "input_audio_buffer.append"))
    if name in _RUNNER:
        who = "runner"
    elif is_input:
        who = "client" if name in _CLIENT else "engine"
    else:
        who = "server" if name in _SERVER else "asks"
    is_piece = name.endswith(".delta") or name in _PIECES
    pieces_of = (thing.get("response_id") or thing.get("item_id")) if is_piece else None
    return Row(now, who, name, _detail(thing), pieces_of=pieces_of)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """Pieces joined, and input audio between two things that matter."""
    merged: list[Row] = []
    begun: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        first = merged[-1] if merged and merged[-1].name == row.name == "input audio" else None
        if row.pieces_of is not None:
            first = begun.setdefault((row.who, row.name, row.pieces_of), row)
        if first is None or first is row:
            merged.append(row)
        else:
            first.count += row.count
            first.detail += row.detail
    return merged


# --- what matters in an event ---


def _detail(thing: dict[str, Any]) -> str:
    if error := thing.get("error"):
        return str(error.get("message", ""))
    if isinstance(response := thing.get("response"), dict):
        return _response(response)
    if isinstance(item := thing.get("item"), dict):
        return _item(item)
    if "name" in thing and "arguments" in thing:
        return f"{thing['name']}({thing['arguments']})"
    for key in ("delta", "text", "transcript", "message", "name", "output", "reason"):
        value = thing.get(key)
        if isinstance(value, str) and value and not _is_digest(value):
            return value
    times = [f"{key} {thing[key]}" for key in ("audio_start_ms", "audio_end_ms") if key in thing]
    return ", ".join(times)


def _response(response: dict[str, Any]) -> str:
    details = response.get("status_details") or {}
    why = (details.get("error") or {}).get("message") or details.get("reason")
    return " ".join(part for part in (response.get("status"), f"({why})" if why else None) if part)


def _item(item: dict[str, Any]) -> str:
    if item.get("type") == "function_call":
        return f"{item.get('name')}({item.get('arguments', '')})"
    said = [part.get("text") or part.get("transcript") for part in item.get("content", ())]
    words = " ".join(text for text in said if text)
    return " ".join(part for part in (item.get("role") or item.get("type"), words or item.get("output")) if part)


def _is_digest(value: str) -> bool:
    """Audio stands as `4800 bytes, sha256 …` in a trace."""
    return " bytes, sha256 " in value
