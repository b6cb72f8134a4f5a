"""A recording that plays into a session as a microphone would: 20 ms at a time, on an absolute schedule.

Once it is on it never stops: between recordings it sends silence, as an open microphone in a quiet room does. Turn
detection counts audio, so a turn ends only if the silence after it is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np

from vivavoce.audio import SAMPLE_HZ, SAMPLES_PER_MS, Encoder, Encoding, Samples
from vivavoce.client.timeline import AudioClock

FRAME_MS: Final = 20
BURST_MS: Final = 100
"""How much an unpaced append holds."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Progress = Callable[[float, float], None]
"""Told how many seconds of how many were spoken."""


class Microphone:
    """One session's input audio. `paced`: at the speed of speech; else recordings go as fast as the socket takes them."""

    def __init__(self, send: Send, encoding: Encoding, paced: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self._send: Final = send
        self._encoder: Final = Encoder(encoding)
        self._paced: Final = paced
        self._clock: Final = clock
        self._due: float | None = None
        self.audio_clock: Final = AudioClock()
        self._open = False
        self._silence: asyncio.Task[None] | None = None

    async def play(self, samples: Samples, progress: Progress) -> None:
        """Speak a recording (mono, 24,000 Hz) to its end."""
        if self._silence is None:
            self._due = None  # It was shut: the schedule begins anew.
        await self.hush()
        whole_ms = -(-samples.size // SAMPLES_PER_MS)
        padded = np.concatenate([samples, np.zeros(whole_ms * SAMPLES_PER_MS - samples.size, np.int16)])
        step_ms = FRAME_MS if self._paced else BURST_MS
        for at_ms in range(0, whole_ms, step_ms):
            await self._append(padded[at_ms * SAMPLES_PER_MS : (at_ms + step_ms) * SAMPLES_PER_MS], self._paced)
            progress(min(at_ms + step_ms, whole_ms) / 1000, whole_ms / 1000)

    async def play_silence(self, ms: int) -> None:
        """Silence without pace: for a turn to end by, where nothing else is paced."""
        for _ in range(0, ms, BURST_MS):
            await self._append(np.zeros(BURST_MS * SAMPLES_PER_MS, np.int16), paced=False)

    def leave_open(self) -> None:
        """Send silence, paced, until the next recording."""
        self._open = True
        self._silence = asyncio.ensure_future(self._stay_silent())

    async def hush(self) -> None:
        """Stop sending, with the frame that is on its way. A failure to send silence is raised here."""
        self._open = False
        if self._silence is not None:
            silence, self._silence = self._silence, None
            await silence

    async def _stay_silent(self) -> None:
        silence = np.zeros(FRAME_MS * SAMPLES_PER_MS, np.int16)
        while self._open:
            await self._append(silence, paced=True)

    async def _append(self, samples: Samples, paced: bool) -> None:
        """Send a frame at the moment at which a microphone would have filled it."""
        if paced:
            due = (self._clock() if self._due is None else self._due) + samples.size / SAMPLE_HZ
            await asyncio.sleep(max(0.0, due - self._clock()))
            self._due = due
        else:
            due, self._due = self._clock(), None
        audio = self._encoder.feed(samples.astype("<i2", copy=False).tobytes())
        self.audio_clock.add(samples.size, due, live=paced)
        await self._send({"type": "input_audio_buffer.append", "audio": audio})
