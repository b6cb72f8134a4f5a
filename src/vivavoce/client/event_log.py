"""A client's event log, as the console exports it: what went over the wire, without what the engine said.

    {"version":"0.1.0","log":{"client":"console","url":"http://…","began":"…","dropped":0}}     the first line
    {"now":1.2,"from":"client","event":{"type":"…",…}}                                          one line for each event
    {"now":1.4,"from":"server","event":{…},"count":9,"until":1.9,"text":"…","bytes":43200}      or for pieces of one thing

Audio stands as its length. So a log can be read as a trace can, but not run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from vivavoce.client.trace_log import Row, row


class About(Struct, frozen=True):
    """Where a log comes from."""

    client: str
    url: str
    began: str
    """The wall clock's time at 0, ISO 8601."""
    dropped: int = 0
    """How many of the oldest rows the client had forgotten."""


class Head(Struct, frozen=True):
    """The first line."""

    version: str
    log: About


class Entry(Struct, frozen=True, rename={"sender": "from"}):
    """Every other line."""

    now: float
    sender: Literal["client", "server"]
    event: dict[str, Any]
    count: int = 1
    until: float | None = None
    text: str = ""
    """What the pieces say together."""
    bytes: int = 0
    """Audio in all pieces."""


def read_log(path: Path) -> tuple[About, list[Row]] | None:
    """An event log, or `None` if the file is none. Raises `OSError`, and `ValueError` for a log with a broken line."""
    with path.open("rb") as file:
        try:
            head = msgspec.json.decode(file.readline(), type=Head)
        except msgspec.MsgspecError:
            return None
        return head.log, [_row(line) for line in file if line.strip()]


def _row(line: bytes) -> Row:
    entry = msgspec.json.decode(line, type=Entry)
    told = row(entry.now, entry.event, is_input=entry.sender == "client")
    told.count = entry.count
    if entry.text or entry.bytes:
        told.detail = entry.text
    return told
