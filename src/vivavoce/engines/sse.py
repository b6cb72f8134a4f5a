"""Server-sent events: bytes as they arrive → the data of each event. Pure."""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 4 * 2**20
"""A server that sends more without ending the event is broken, or worse. Far above any token and any stretch of sound."""


class EventStream:
    """Reads one stream, cut anywhere. Comments, ids and event names are skipped: the JSON inside says what it is."""

    def __init__(self, longest_bytes: int = MAX_EVENT_BYTES) -> None:
        self._longest_bytes = longest_bytes
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take more bytes; return the data of the events that are whole. Raises `ValueError` for one that never ends."""
        first, *rest = chunk.split(b"\n")
        self._line += first
        found = []
        for piece in rest:
            found += self._take(bytes(self._line).removesuffix(b"\r"))
            self._line = bytearray(piece)
        if len(self._line) + self._data_bytes > self._longest_bytes:
            raise ValueError(f"an event of more than {self._longest_bytes} bytes")
        return found

    def flush(self) -> list[bytes]:
        """The stream is over: an event that lacks only its closing blank line still counts."""
        found = self._take(bytes(self._line).removesuffix(b"\r")) + self._take(b"")
        self._line.clear()
        return found

    def _take(self, line: bytes) -> list[bytes]:
        if line:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._data_bytes += len(line)
            return []
        data, self._data, self._data_bytes = self._data, [], 0
        return [b"\n".join(data)] if data else []
