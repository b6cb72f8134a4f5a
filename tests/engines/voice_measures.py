"""What can be heard of a voice, measured: pitch, melody, how much voice there is in it, loudness, brightness."""

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ

Pcm = NDArray[np.int16]

_FRAME = SAMPLE_HZ // 12
_LOWEST_HZ, _HIGHEST_HZ = 55, 400


def _frames(pcm: Pcm) -> list[tuple[float, float]]:
    """Periodicity (0 noise, 1 a steady tone) and its frequency in Hz, for each 80 ms that is not silent."""
    window = np.hanning(_FRAME)
    size = 4 * _FRAME
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)
    found = []
    for start in range(0, len(pcm) - _FRAME, _FRAME // 2):
        frame = pcm[start : start + _FRAME].astype(float)
        if np.sqrt(np.mean(frame**2)) < 300:
            continue
        likeness = np.fft.irfft(np.abs(np.fft.rfft((frame - frame.mean()) * window, size)) ** 2)
        shortest, longest = SAMPLE_HZ // _HIGHEST_HZ, SAMPLE_HZ // _LOWEST_HZ
        curve = likeness[:longest] / likeness[0] / (of_window[:longest] / of_window[0])
        best = shortest + int(np.argmax(curve[shortest:]))
        # The first peak that is nearly as high: not an octave below.
        peaks = (
            lag
            for lag in range(shortest + 1, longest - 1)
            if curve[lag] > 0.9 * curve[best] and curve[lag - 1] <= curve[lag] >= curve[lag + 1]
        )
        period = next(peaks, best)
        found.append((float(curve[period]), SAMPLE_HZ / period))
    return found


def periodicity(pcm: Pcm) -> float:
    """0.7 and more for a voice, 0.3 and less for a whisper."""
    return float(np.median([strength for strength, _ in _frames(pcm)]))


def pitch_hz(pcm: Pcm) -> float:
    """The median fundamental frequency."""
    return float(np.median([hz for strength, hz in _frames(pcm) if strength > 0.6]))


def melody(pcm: Pcm) -> float:
    """How far the pitch moves: its ninth decile over its first. 1.0 is a monotone."""
    pitches = [hz for strength, hz in _frames(pcm) if strength > 0.6]
    return float(np.percentile(pitches, 90) / np.percentile(pitches, 10))


def loudness(pcm: Pcm) -> float:
    """Root mean square of the samples."""
    return float(np.sqrt(np.mean(pcm.astype(float) ** 2)))


def brightness_hz(pcm: Pcm) -> float:
    """The centre of the spectrum."""
    spectrum = np.sqrt(np.abs(np.fft.rfft(pcm.astype(float))))
    return float(np.sum(spectrum * np.fft.rfftfreq(len(pcm), 1 / SAMPLE_HZ)) / np.sum(spectrum))


def seconds(pcm: Pcm) -> float:
    """How long it lasts."""
    return len(pcm) / SAMPLE_HZ
