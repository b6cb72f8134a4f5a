"""From a voice's own sample rate to the API's 24,000 Hz, while the voice speaks."""

from __future__ import annotations

from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

API_HZ: Final = 24_000
_REACH: Final = 16
"""Input samples on either side of an output sample that it is made of."""
_ROLL_OFF: Final = 0.95
"""Where the filter cuts, as a part of the lower Nyquist frequency: leaves room for its slope."""
_ROWS: Final = 8


class Resampler:
    """A stream of PCM16 from `hz` to 24,000 Hz by a windowed sinc, one matrix product for each block.

    The two rates repeat their phases: 22,050 to 24,000 Hz is 147 samples in, 160 out. So a block of 147 samples (and 31
    around it) times a fixed matrix gives 160. Output sample k stands at time k / 24,000: no delay to account for. Cutting
    the input differently changes nothing.
    """

    def __init__(self, hz: int) -> None:
        ratio = gcd(hz, API_HZ)
        self._block = hz // ratio
        self._kernel = _kernel(self._block, API_HZ // ratio)
        self._hz = hz
        self._rest = np.zeros(_REACH - 1, np.float32)
        self._samples_in = 0
        self._samples_out = 0

    def push(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take more samples; return what they complete, 7 ms behind at most."""
        self._samples_in += len(pcm)
        return self._run(pcm.astype(np.float32))

    def flush(self) -> NDArray[np.int16]:
        """The stream is over: return the rest. Rounded, the lengths then agree with the rates."""
        missing = round(self._samples_in * API_HZ / self._hz) - self._samples_out
        return self._run(np.zeros(self._block + 2 * _REACH, np.float32))[:missing]

    def _run(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        self._rest = np.concatenate([self._rest, samples])
        blocks = (len(self._rest) - (len(self._kernel) - self._block)) // self._block
        if blocks < 1:
            return np.zeros(0, np.int16)
        step = self._rest.strides[0]
        shape, strides = (blocks, len(self._kernel)), (self._block * step, step)
        # Copied: overlapping rows would keep the product out of BLAS.
        windows = np.lib.stride_tricks.as_strided(self._rest, shape, strides).copy()
        self._rest = self._rest[blocks * self._block :]
        # A few rows at a time: larger products make BLAS wake its threads, which takes ten times as long as the work.
        out = np.concatenate([windows[row : row + _ROWS] @ self._kernel for row in range(0, blocks, _ROWS)]).ravel()
        self._samples_out += len(out)
        pcm: NDArray[np.int16] = np.clip(np.rint(out), -32_768, 32_767).astype(np.int16)
        return pcm


def _kernel(samples_in: int, samples_out: int) -> NDArray[np.float32]:
    """A column for each output sample of a block: its weights on the block and the samples around it."""
    position = np.arange(samples_out) * samples_in / samples_out
    distance = np.arange(1 - _REACH, samples_in + _REACH)[:, None] - position[None, :]
    cut = _ROLL_OFF * min(1.0, samples_out / samples_in)
    window = np.where(np.abs(distance) < _REACH, np.cos(np.pi * distance / (2 * _REACH)) ** 2, 0.0)
    weights = np.sinc(cut * distance) * window
    kernel: NDArray[np.float32] = (weights / weights.sum(axis=0)).astype(np.float32)
    return kernel
