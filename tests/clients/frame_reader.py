"""WebSocket frames out of bytes: just enough to look on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TEXT: Final = 1
CLOSE: Final = 8
_CONTROL: Final = 8
"""Opcodes from here on are control frames, and may stand between the fragments of a message."""
_PINGS: Final = (9, 10)


class FrameReader:
    """One direction of a connection. Pings and pongs are passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._message = bytearray()
        self._opcode = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of each message that is whole now."""
        self._buffer += data
        while frame := self._next_frame():
            opcode, is_final, payload = frame
            if opcode >= _CONTROL:
                if opcode not in _PINGS:
                    yield opcode, payload
                continue
            self._opcode = opcode or self._opcode
            self._message += payload
            if is_final:
                message, self._message = bytes(self._message), bytearray()
                yield self._opcode, message

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        """RFC 6455, 5.2."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1] & 0x7F, 2
        extended = {126: 2, 127: 8}.get(length, 0)
        if extended:
            length, start = int.from_bytes(buffer[2 : 2 + extended], "big"), 2 + extended
        mask_bytes = 4 if buffer[1] & 0x80 else 0
        end = start + mask_bytes + length
        if len(buffer) < max(end, start):
            return None
        payload = _unmasked(bytes(buffer[start + mask_bytes : end]), bytes(buffer[start : start + mask_bytes]))
        opcode, is_final = buffer[0] & 0x0F, bool(buffer[0] & 0x80)
        del buffer[:end]
        return opcode, is_final, payload


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    if not mask:
        return payload
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")
