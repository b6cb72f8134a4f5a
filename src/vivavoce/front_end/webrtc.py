"""WebRTC's audio processing, from the `livekit` package: echo cancellation, noise suppression, gain.

It takes frames of 10 ms, 16-bit mono, at any rate that WebRTC knows (8, 16, 24, 32, 48 kHz), and delays them by 7 ms at
most.
The native code lets go of Python's lock while it works. Import this module only in a thread: it takes a third of a second.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from livekit import rtc

from vivavoce.audio import Samples


class AudioProcessing:
    """One microphone's. Not for two threads at once."""

    def __init__(self, rate_hz: int, *, echo: bool, noise: bool, gain: bool) -> None:
        self._module: Final[Any] = rtc.AudioProcessingModule(
            echo_cancellation=echo, noise_suppression=noise, high_pass_filter=noise, auto_gain_control=gain
        )
        self._near_frame, self._near = _frame(rate_hz)
        self._far_frame, self._far = _frame(rate_hz)

    def process(self, near: Samples, far: Samples | None) -> Samples:
        """Clean a frame of the microphone. `far` is what the loudspeaker plays shortly before. Raises `RuntimeError`."""
        if far is not None:
            self._far[:] = far
            self._module.process_reverse_stream(self._far_frame)
        self._near[:] = near
        self._module.process_stream(self._near_frame)
        return self._near.copy()


def _frame(rate_hz: int) -> tuple[Any, Samples]:
    """A frame and its samples, which share memory."""
    frame = rtc.AudioFrame.create(rate_hz, 1, rate_hz // 100)
    return frame, np.frombuffer(frame.data, np.int16)
