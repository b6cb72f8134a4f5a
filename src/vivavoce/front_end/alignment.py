"""How late the client plays: the lag between what was sent and its echo in the microphone.

The network, the client's buffer, its loudspeaker and its microphone take 50 to 900 ms together, and each answer another
time. What was sent is known to the sample, so the echo is found where the two correlate: the generalized cross-correlation
with a phase transform (Knapp and Carter 1976) of an eighth of a second of the microphone, at 8 kHz. One such look may be
fooled by two voices of one pitch; the sum of several is not, because only the echo stays where it is.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio import Samples

RATE_HZ: Final = 8_000
HEARD_MS: Final = 128
"""How much of the microphone a look compares …"""
LONGEST_LAG_MS: Final = 896
SENT_MS: Final = HEARD_MS + LONGEST_LAG_MS
"""… and with how much of the playback, both ending at the same position."""
SURE: Final = 14.0
"""A peak so many times as high as the sum's effective value is the echo. Other people's speech was seen to reach 12."""
MEMORY: Final = 0.93
"""What of the sum is left at the next look."""

_WINDOW: Final = HEARD_MS * RATE_HZ // 1000
_LAGS: Final = LONGEST_LAG_MS * RATE_HZ // 1000
_FFT: Final = _WINDOW + _LAGS
"""Enough: what wraps around falls on lags that nobody asks for."""
_LEAST_ENERGY: Final = 0.2
"""Of the most. Where hardly anything was sent, chance would look like an echo."""

Floats = NDArray[np.float32]


class Aligner:
    """Looks for one answer's lag."""

    def __init__(self) -> None:
        self._sum = np.zeros(_LAGS, np.float32)
        self._variance = 0.0
        """Of the sum, if all of it is chance."""

    def forget(self) -> None:
        """Another answer begins."""
        self._sum[:] = 0
        self._variance = 0.0

    def look(self, heard: Samples, sent: Samples, rate_hz: int) -> float | None:
        """The lag in milliseconds, once it is sure.

        `heard` is `HEARD_MS` of the microphone and `sent` `SENT_MS` of the playback, 16-bit samples at `rate_hz`, a multiple
        of 8,000.
        """
        self._sum *= MEMORY
        self._sum += _correlation(_thinned(heard, rate_hz), _thinned(sent, rate_hz))
        self._variance = self._variance * MEMORY**2 + 1.0
        best = int(np.argmax(self._sum))
        effective = math.sqrt(max(self._variance, float(np.mean(np.square(self._sum)))))
        return best * 1000 / RATE_HZ if self._sum[best] > SURE * effective else None


def _correlation(near: Floats, far: Floats) -> Floats:
    """For each lag, in multiples of what chance would give there."""
    cross = np.fft.rfft(near - near.mean(), _FFT) * np.conj(np.fft.rfft(far, _FFT))
    weight = np.abs(cross)
    root = np.sqrt(np.maximum(weight, weight.max() * 1e-6 + 1e-6))
    # The full phase transform would divide by `root * root`, and make noise as loud as speech.
    correlation = np.fft.irfft(cross / (root * np.sqrt(root)), _FFT)
    # near[0] stands at far[_LAGS]; with a lag of L it is far[_LAGS - L], so the peak is at L - _LAGS, modulo the FFT.
    by_lag: Floats = np.roll(correlation, _LAGS)[:_LAGS].astype(np.float32)
    # Chance grows with the root of the energy that a lag compares with.
    total = np.concatenate([[0.0], np.cumsum(np.square(far, dtype=np.float64))])
    energy = (total[_WINDOW:] - total[:-_WINDOW])[:0:-1]
    unit = np.mean(np.square(by_lag)) / (energy.mean() + 1e-9)
    chance = np.sqrt(unit * np.maximum(energy, energy.max() * _LEAST_ENERGY))
    scores: Floats = by_lag / np.maximum(chance, 1e-12).astype(np.float32)
    return scores


def _thinned(samples: Samples, rate_hz: int) -> Floats:
    """At 8 kHz, by averages: aliases do not correlate."""
    thinned: Floats = samples.reshape(-1, rate_hz // RATE_HZ).mean(axis=1, dtype=np.float32)
    return thinned
