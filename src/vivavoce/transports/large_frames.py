"""Large `input_audio_buffer.append` frames, read without holding the event loop.

A decoder works on a whole frame, and meanwhile nothing else runs, not even in other threads: 20 MiB take some 100 ms. So
audio is decoded a second of it at a time, other sessions in between, and reaches the session as several appends. Any other
large frame is decoded whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from vivavoce.protocol.client_events import InputAudioBufferAppend
from vivavoce.protocol.codec import Dialect
from vivavoce.protocol.errors import RequestError

LARGE_FRAME_BYTES: Final = 256 * 1024
"""Smaller frames are decoded in one go: that takes a millisecond at most."""
_STEP_BYTES: Final = 64 * 1024
"""Of base64 at a time: one second of PCM16, a third of a millisecond."""
_MOST_TAIL_BYTES: Final = 4096
_HEAD: Final = re.compile(rb'\s*\{\s*(?:"(?:type|event_id)"\s*:\s*"[^"\\]{0,512}"\s*,\s*)*"audio"\s*:\s*"')

_decode_base64: Final = msgspec.json.Decoder(bytes).decode


class NotAnAppend(Exception):
    """The frame is something else, or wrong: decode it whole to find out."""


def steps(pieces: Sequence[bytes | bytearray], dialect: Dialect) -> Iterator[InputAudioBufferAppend | None]:
    """The appends in a frame: first `None`s, one after each step of the decoding, then the events. Raises `NotAnAppend`."""
    start = _HEAD.match(bytes(pieces[0][:_MOST_TAIL_BYTES]))
    if start is None:
        raise NotAnAppend
    audio: list[bytes] = []
    tail, carry = bytearray(), b""
    for text in _audio_text(pieces, start.end(), tail):
        if audio and audio[-1] and len(audio[-1]) % 3:
            raise NotAnAppend  # Padding, and then more.
        whole = len(carry) + len(text) & ~3
        joined = carry + text
        audio.append(_decoded(joined[:whole]))
        carry = joined[whole:]
        yield None
    audio.append(_decoded(carry))
    event = _empty_append(start[0] + tail, dialect)
    audio.reverse()
    while audio:
        if chunk := audio.pop():
            yield msgspec.structs.replace(event, audio=chunk)


def _audio_text(pieces: Sequence[bytes | bytearray], begin: int, tail: bytearray) -> Iterator[bytes]:
    """The base64 in steps. What stands behind it, from the closing quote on, goes to `tail`."""
    for piece in pieces:
        if tail:
            tail += piece
        else:
            end = piece.find(b'"', begin)
            stop = len(piece) if end < 0 else end
            for at in range(begin, stop, _STEP_BYTES):
                yield bytes(piece[at : min(at + _STEP_BYTES, stop)])
            tail += piece[stop:]
            begin = 0
        if len(tail) > _MOST_TAIL_BYTES:
            raise NotAnAppend


def _decoded(text: bytes) -> bytes:
    try:
        return _decode_base64(b'"' + text + b'"')
    except msgspec.MsgspecError:
        raise NotAnAppend from None


def _empty_append(frame: bytes, dialect: Dialect) -> InputAudioBufferAppend:
    try:
        event = dialect.decode(frame)
    except RequestError:
        raise NotAnAppend from None
    if not isinstance(event, InputAudioBufferAppend) or event.audio:
        raise NotAnAppend
    return event
