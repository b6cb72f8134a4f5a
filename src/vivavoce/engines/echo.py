"""Answers with the audio that it heard, as telephone echo tests do. Native: no text on the way.

It plays back the newest audio of the user's, whatever was written since, as PCM16 at 24,000 Hz. There are no words, so the
transcript is empty. Where there is nothing to play (no audio yet, or a text response is wanted) it says so in text.

Option: `delay_ms`, how long it thinks before it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from msgspec import UNSET, Struct

from vivavoce.audio import PCM_SAMPLE_BYTES, Decoder, ms_to_samples
from vivavoce.engine_api import Capabilities, Generate, OutputText
from vivavoce.engines.streaming import Output, StreamingEngine
from vivavoce.protocol.objects import PCM, InputAudioPart, Message
from vivavoce.registry import read_options

CHUNK_BYTES: Final = ms_to_samples(100) * PCM_SAMPLE_BYTES
"""The audio leaves in chunks of 100 ms."""
SLICE_BYTES: Final = 8_000
"""Decoded at once: 1 s of G.711, about half a millisecond of work."""
NOTHING_HEARD: Final = "I am an echo: I answer with the audio that I heard, and I have heard none."
ONLY_AUDIO: Final = "I am an echo: I answer with the audio that I heard, and this response is to be text."


class EchoOptions(Struct, frozen=True):
    """The operator's options."""

    delay_ms: int = 0


class Echo(StreamingEngine):
    """The engine."""

    capabilities = Capabilities(native_audio=True)

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._delay_ms = read_options(self.options, EchoOptions, "echo").delay_ms

    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        """Play back what was heard last."""
        await asyncio.sleep(self._delay_ms / 1000)
        part = _newest_audio(request)
        if part is None or "audio" not in request.modalities:
            yield OutputText(request.response_id, NOTHING_HEARD if part is None else ONLY_AUDIO)
            return
        async for chunk in _chunks(part):
            yield chunk


def _newest_audio(request: Generate) -> InputAudioPart | None:
    for item in reversed(request.items):
        if isinstance(item, Message) and item.role == "user":
            for part in reversed(item.content):
                if isinstance(part, InputAudioPart) and part.audio is not UNSET:
                    return part
    return None


async def _chunks(part: InputAudioPart) -> AsyncIterator[bytes]:
    """The audio as PCM, decoded as it leaves: a long one keeps the loop from nobody."""
    assert part.audio is not UNSET
    decoder = Decoder((PCM if part.format is UNSET else part.format).type)
    pcm = b""
    for start in range(0, len(part.audio) + 1, SLICE_BYTES):
        slice_ = part.audio[start : start + SLICE_BYTES]
        pcm += decoder.feed(slice_).astype("<i2", copy=False).tobytes()
        if start + SLICE_BYTES > len(part.audio):
            pcm += decoder.flush().astype("<i2", copy=False).tobytes()
        while len(pcm) >= CHUNK_BYTES:
            yield pcm[:CHUNK_BYTES]
            pcm = pcm[CHUNK_BYTES:]
        await asyncio.sleep(0)
    yield pcm
