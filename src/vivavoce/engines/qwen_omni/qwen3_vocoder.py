"""Codec frames → sound, in chunks: first 4 frames, then 25, each with 25 frames of left context.

    frames    0 1 2 3 | 4 … 28 | 29 … 53 | …
    decoded   └─────┘   └──────┘   └─────┘      the new frames of a chunk
                └───────────────┘               and before them up to 25 that were decoded before
    samples   ├────────┤555┤                    a window loses its last 555: they come with the next chunk

The vocoder is causal. Its transposed convolutions drop what would reach past the end of a window: in a window of n frames
the last 555 of n x 1,920 samples are missing. So the first chunk emits all it has, and each later one begins 555 samples
before its own frames: `wav[context * 1920 - 555:]`. Joined, the chunks are one gapless recording, as long as a whole decode.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

FIRST_CHUNK_FRAMES: Final = 4
CHUNK_FRAMES: Final = 25
CONTEXT_FRAMES: Final = 25
HURRIED_FRAMES: Final = 4
"""The least that is worth a window when the listener is about to run dry."""


def frame_samples(code2wav: Any) -> int:
    """Samples that a frame stands for: 1,920 at 24,000 Hz, which is 80 ms."""
    return int(code2wav.total_upsample)


def lost_samples(code2wav: Any) -> int:
    """Samples that a window lacks at its end: 555 with the published configuration.

    A transposed convolution of kernel 2s and stride s is cut by s on either side, so it makes s fewer than it might have;
    every later layer multiplies that by its own stride. The upsampling blocks in front have kernel = stride and lose none.
    """
    lost = 0
    for rate in code2wav.config.upsample_rates:
        lost = (lost + 1) * int(rate)
    return lost


class Vocoder:
    """The sound of one answer. Frames go in one at a time; PCM comes out when a chunk is full."""

    def __init__(self, code2wav: Any) -> None:
        self._code2wav = code2wav
        self._frame_samples = frame_samples(code2wav)
        self._lost_samples = lost_samples(code2wav)
        self._frames: list[Tensor] = []
        """Context and what waits, each [1, groups]."""
        self._context = 0
        """How many of them are context."""
        self._begun = False

    def push(self, codes: Tensor, *, hurry: bool = False) -> bytes:
        """One more frame, codes [1, groups]. PCM16 of a chunk that it fills, or nothing."""
        self._frames.append(codes)
        waiting = len(self._frames) - self._context
        wanted = CHUNK_FRAMES if self._begun else FIRST_CHUNK_FRAMES
        return self._decode() if waiting >= wanted or (hurry and waiting >= HURRIED_FRAMES) else b""

    def flush(self) -> bytes:
        """PCM16 of the frames that wait for their chunk to fill. The answer is over."""
        return self._decode() if len(self._frames) > self._context else b""

    def _decode(self) -> bytes:
        codes = torch.stack(self._frames, dim=-1)
        wav = self._code2wav(codes)[0, 0]
        start = self._context * self._frame_samples - self._lost_samples if self._begun else 0
        self._begun = True
        self._frames = self._frames[-CONTEXT_FRAMES:]
        self._context = len(self._frames)
        return pcm16(wav[start:])


def pcm16(wav: Tensor) -> bytes:
    """Samples of -1 … 1 as PCM16, little-endian."""
    samples = (wav.float().clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy()
    return bytes(samples.astype("<i2").tobytes())
