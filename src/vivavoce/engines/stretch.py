"""Speech faster or slower at the same pitch, for voices that have one pace only. Pure.

WSOLA (Verhelst and Roelands, 1993): the output is blocks of the input, laid over each other by half. Each block is taken
from about where the new pace asks for it, at the place near by that is most like what would have followed the block before
it; so periods of the voice meet periods.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ

SLOWEST, FASTEST = 0.5, 2.0
"""Beyond these, blocks are heard as blocks."""
_BLOCK: Final = SAMPLE_HZ // 50
"""20 ms: longer than a period of the deepest voice."""
_SEARCH: Final = SAMPLE_HZ // 80
"""12.5 ms to either side: together a period of the deepest voice."""

Samples = NDArray[np.float32]


class Stretch:
    """One stretch of sound, fed as it comes. Looks 52 ms ahead."""

    def __init__(self, speed: float) -> None:
        """`speed` 1.5 makes two seconds of three; what is beyond the limits is taken as the limit."""
        self._speed = min(FASTEST, max(SLOWEST, speed))
        self._input: Samples = np.zeros(0, np.float32)
        self._dropped = 0
        """Samples of the input that are no longer needed."""
        self._next: Samples | None = None
        """How the last block would have gone on."""
        self._blocks = 0
        self._fade_in = (0.5 - 0.5 * np.cos(np.pi * (np.arange(_BLOCK) + 0.5) / _BLOCK)).astype(np.float32)

    def feed(self, samples: Samples) -> Samples:
        """Take more; return what is certain by now."""
        if self._speed == 1.0:
            return samples
        self._input = np.concatenate((self._input, samples))
        return self._made(self._dropped + len(self._input))

    def flush(self) -> Samples:
        """The rest. As long, all together, as the input's length divided by the speed."""
        if self._speed == 1.0:
            return np.zeros(0, np.float32)
        end = self._dropped + len(self._input)
        left = round(end / self._speed) - self._blocks * _BLOCK
        self._input = np.concatenate((self._input, np.zeros(4 * _BLOCK + 2 * _SEARCH, np.float32)))
        return self._made(self._dropped + len(self._input))[: max(0, left)]

    def _made(self, end: int) -> Samples:
        """As many blocks as the input up to `end` has."""
        made: list[Samples] = []
        while (wanted := round(self._blocks * _BLOCK * self._speed)) + _SEARCH + 2 * _BLOCK <= end:
            start = self._best(wanted) - self._dropped
            block = self._input[start : start + _BLOCK]
            made.append(block if self._next is None else self._next + (block - self._next) * self._fade_in)
            self._next = self._input[start + _BLOCK : start + 2 * _BLOCK].copy()
            self._blocks += 1
            self._drop(round(self._blocks * _BLOCK * self._speed) - _SEARCH)
        return np.concatenate(made) if made else np.zeros(0, np.float32)

    def _best(self, wanted: int) -> int:
        """Where near `wanted` the input is most like what should follow, by normalized cross-correlation."""
        if self._next is None:
            return wanted
        first = max(self._dropped, wanted - _SEARCH)
        near = self._input[first - self._dropped : wanted + _SEARCH + _BLOCK - self._dropped].astype(np.float64)
        alike = np.correlate(near, self._next.astype(np.float64), "valid")
        sums = np.concatenate(([0.0], np.cumsum(near * near)))
        energy = np.maximum(sums[_BLOCK:] - sums[:-_BLOCK], 1e-9)
        return first + int(np.argmax(alike / np.sqrt(energy)))

    def _drop(self, before: int) -> None:
        """Forget the input before a position."""
        count = max(0, before - self._dropped)
        self._input = self._input[count:]
        self._dropped += count
