"""WebSocket frames (RFC 6455), the server's side, without a socket: bytes in, messages out.

    reader.feed(data)
    while (message := reader.next()) is not None: …

Memory and time stay small whatever a client sends: a payload is unmasked as it arrives and moved once at most. A message of
24 MiB is a list of pieces, none longer than two reads from the socket. Binary messages are counted and forgotten.

Extensions are not negotiated, compression included: see `docs/decisions/websocket.md`.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # A platform without a compiled wheel.
    from websockets.utils import apply_mask

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_MOST_CONTROL_BYTES: Final = 125
_SMALL_PIECE_BYTES: Final = 64 * 1024


class Text(Struct, frozen=True, gc=False):
    """A text message: its pieces, joined, are its bytes. They need not be UTF-8: the codec refuses what is not."""

    pieces: list[bytes | bytearray]
    size: int


class Binary(Struct, frozen=True, gc=False):
    """A binary message. Nobody wants its bytes."""


class Oversized(Struct, frozen=True, gc=False):
    """A message above the limit. The rest of it will be skipped."""


class Ping(Struct, frozen=True, gc=False):
    """To be answered with a `PONG` of the same payload."""

    payload: bytes


class Pong(Struct, frozen=True, gc=False):
    """The client lives."""


class Closing(Struct, frozen=True, gc=False):
    """The client closes. `code` is 1005 if it gave none."""

    code: int
    reason: str


Message = Text | Binary | Oversized | Ping | Pong | Closing


class FrameError(Exception):
    """The client broke the protocol: the connection fails with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code: Final = code
        self.reason: Final = reason


class FrameReader:
    """Reads one client's frames. `max_bytes` is the longest message."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes: Final = max_bytes
        self._data = b""
        self._position = 0
        self._frame: _Frame | None = None
        self._message: _Message | None = None

    def feed(self, data: bytes) -> None:
        """More bytes of the stream."""
        self._data = self._data[self._position :] + data if self._position < len(self._data) else data
        self._position = 0

    @property
    def has_more(self) -> bool:
        """There are bytes that `next` has not taken yet."""
        return self._position < len(self._data)

    def next(self) -> Message | None:
        """The next message, or `None` until more is fed. Raises `FrameError`, after which nothing can be read any more."""
        if self._position == len(self._data):
            return None
        if self._frame is None and self._message is None and (text := self._read_small_text()) is not None:
            return text
        while True:
            if self._frame is None:
                self._frame = self._read_header()
                if self._frame is None:
                    return None
                if self._begins_oversized(self._frame):
                    return Oversized()
            if not self._read_payload(self._frame):
                return None
            frame, self._frame = self._frame, None
            if (message := self._finish(frame)) is not None:
                return message

    def _read_small_text(self) -> Text | None:
        """A text message of less than 64 KiB in one frame that is there already: nearly all of them. Else `None`."""
        data, at = self._data, self._position
        if len(data) - at < 6 or data[at] != _FIN | TEXT or data[at + 1] < _MASKED | 1:
            return None
        length, start = data[at + 1] & 0x7F, at + 6
        if length == 126:
            length, start = data[at + 2] << 8 | data[at + 3], at + 8
        end = start + length
        if data[at + 1] == _MASKED | 127 or end > len(data) or length > self._max_bytes:
            return None
        if end == len(data):  # Let go of what was read: it may be 256 KiB.
            self._data, self._position = b"", 0
        else:
            self._position = end
        return Text([apply_mask(data[start:end], data[start - 4 : start])], length)

    # --- header ---

    def _read_header(self) -> _Frame | None:
        data, at = self._data, self._position
        if len(data) - at < 2:
            return None
        first, second = data[at], data[at + 1]
        length = second & 0x7F
        size = 6 if length < 126 else 8 if length == 126 else 14  # "Payload length: 7 bits, 7+16 bits, or 7+64 bits"
        if len(data) - at < size:
            return None
        if length == 126:
            (length,) = struct.unpack_from("!H", data, at + 2)
        elif length == 127:
            (length,) = struct.unpack_from("!Q", data, at + 2)
        self._position = at + size
        frame = _Frame(first & 0x0F, bool(first & _FIN), length, data[at + size - 4 : at + size])
        self._check(frame, first, second)
        return frame

    def _check(self, frame: _Frame, first: int, second: int) -> None:
        if first & _RESERVED:
            raise FrameError(1002, "reserved bits are set")  # "MUST be 0 unless an extension is negotiated"
        if not second & _MASKED:
            raise FrameError(1002, "the frame is not masked")  # "a server MUST close the connection"
        if frame.opcode in (CLOSE, PING, PONG):
            if not frame.fin or frame.remaining > _MOST_CONTROL_BYTES:
                raise FrameError(1002, "a control frame is fragmented or too long")
        elif frame.opcode == CONTINUATION:
            if self._message is None:
                raise FrameError(1002, "a continuation of nothing")
        elif frame.opcode not in (TEXT, BINARY):
            raise FrameError(1002, "unknown opcode")
        elif self._message is not None:
            raise FrameError(1002, "a message within a message")

    def _begins_oversized(self, frame: _Frame) -> bool:
        """Account for a frame's length before its payload arrives; true where it makes the message too long."""
        if frame.opcode in (CLOSE, PING, PONG):
            return False
        if self._message is None:
            self._message = _Message(frame.opcode)
        message = self._message
        message.size += frame.remaining
        if message.size <= self._max_bytes or message.dropped:
            return False
        message.dropped = True
        message.pieces.clear()
        return True

    # --- payload ---

    def _read_payload(self, frame: _Frame) -> bool:
        """Take what has arrived of the payload; true when it is whole."""
        taken = min(frame.remaining, len(self._data) - self._position)
        if taken:
            end = self._position + taken
            arrived = memoryview(self._data)[self._position : end]
            if frame.opcode >= CLOSE:
                frame.control += apply_mask(arrived, frame.rotated_mask())
            elif self._message is not None and self._message.kept:
                self._message.add(apply_mask(arrived, frame.rotated_mask()))
            self._position = end
            frame.received += taken
            frame.remaining -= taken
        return not frame.remaining

    def _finish(self, frame: _Frame) -> Message | None:
        if frame.opcode == PING:
            return Ping(frame.control)
        if frame.opcode == PONG:
            return Pong()
        if frame.opcode == CLOSE:
            return _closing(frame.control)
        if not frame.fin:
            return None
        message, self._message = self._message, None
        assert message is not None
        if message.dropped:
            return None
        return Text(message.pieces, message.size) if message.opcode == TEXT else Binary()


class _Frame:
    """A frame whose payload is arriving."""

    __slots__ = ("control", "fin", "mask", "opcode", "received", "remaining")

    def __init__(self, opcode: int, fin: bool, length: int, mask: bytes) -> None:
        self.opcode = opcode
        self.fin = fin
        self.mask = mask
        self.remaining = length
        self.received = 0
        self.control = b""

    def rotated_mask(self) -> bytes:
        """The mask as it falls on the next byte of the payload."""
        turn = self.received % 4
        return self.mask[turn:] + self.mask[:turn] if turn else self.mask


class _Message:
    """A message whose frames are arriving."""

    __slots__ = ("dropped", "opcode", "pieces", "size")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.size = 0
        self.pieces: list[bytes | bytearray] = []
        self.dropped = False

    def add(self, piece: bytes) -> None:
        """Small pieces are joined: a client may send a message byte by byte."""
        if not self.pieces or len(self.pieces[-1]) >= _SMALL_PIECE_BYTES:
            self.pieces.append(piece)
        else:
            if isinstance(self.pieces[-1], bytes):
                self.pieces[-1] = bytearray(self.pieces[-1])
            self.pieces[-1] += piece

    @property
    def kept(self) -> bool:
        return self.opcode == TEXT and not self.dropped


def _closing(payload: bytes) -> Closing:
    if not payload:
        return Closing(1005, "")
    if len(payload) == 1:
        raise FrameError(1002, "a close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    # "Status codes in the range 0-999 are not used"; 1004-1006 and 1015 "MUST NOT be set in a Close control frame".
    if code not in (1000, 1001, 1002, 1003, *range(1007, 1015)) and not 3000 <= code < 5000:
        raise FrameError(1002, "an invalid close code")
    try:
        return Closing(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise FrameError(1007, "a close reason that is not UTF-8") from None


# --- writing ---


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame, as a server sends it: not masked."""
    length = len(payload)
    if length < 126:
        return bytes((_FIN | opcode, length)) + payload
    if length < 2**16:
        return struct.pack("!BBH", _FIN | opcode, 126, length) + payload
    return struct.pack("!BBQ", _FIN | opcode, 127, length) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame. The reason is cut to the 123 bytes that fit. 1005 stands for no code and is never sent."""
    if code == 1005:
        return frame(CLOSE, b"")
    text = reason.encode()[: _MOST_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + text)
