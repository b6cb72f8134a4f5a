"""Recorded people, and a microphone that hears them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from vivavoce.client.recording import read_recording

FOLDER: Final = Path(__file__).parents[3] / "shared" / "audio"
CHUNK_MS: Final = 40
CHUNK_BYTES: Final = CHUNK_MS * 48
TIMES_REAL: Final = 8
"""How much faster than speech the microphone runs: enough to keep tests short, slow enough for two busy cores."""


@cache
def recording(name: str) -> bytes:
    """PCM16, mono, 24,000 Hz."""
    return read_recording(str(FOLDER / f"{name}.wav")).samples.tobytes()


def silence(ms: int) -> bytes:
    """Nothing, for so long."""
    return bytes(ms * 48)


def chunks(pcm: bytes, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """As a microphone delivers it."""
    for start in range(0, len(pcm), chunk_bytes):
        yield pcm[start : start + chunk_bytes]


async def microphone(
    pcm: bytes, until: Callable[[], bool], times_real: float = TIMES_REAL, chunk_bytes: int = CHUNK_BYTES
) -> AsyncIterator[bytes]:
    """`pcm`, and then the quiet room, until somebody has heard enough."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for chunk in chunks(pcm, chunk_bytes):
        yield chunk
        due += len(chunk) / 48_000 / times_real
        await asyncio.sleep(max(0.0, due - loop.time()))
    while not until():
        yield bytes(chunk_bytes)
        await asyncio.sleep(chunk_bytes / 48_000 / times_real)
