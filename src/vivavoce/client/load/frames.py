"""Client events as finished WebSocket frames, made once and sent many times.

A client must mask each frame with a fresh key, so that a page cannot make a proxy see what it likes. These frames keep one
key: the generator shows no one's content to anyone, and masking 50 frames a second a session would be most of its work.
"""

from __future__ import annotations

from typing import Any

import msgspec
from websockets.frames import Frame, Opcode


def text_frame(event: dict[str, Any]) -> bytes:
    """The masked text frame of a client event; `bytes` in it become base64."""
    return Frame(Opcode.TEXT, msgspec.json.encode(event)).serialize(mask=True)


def append_frame(audio: bytes) -> bytes:
    """The masked text frame that appends audio."""
    return text_frame({"type": "input_audio_buffer.append", "audio": audio})
