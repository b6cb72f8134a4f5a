"""Whisper's log-mel spectrogram, in numpy.

Recordings at 16 kHz become 80 bands of 100 frames a second, as Whisper's own feature extractor makes them: Hann windows of
25 ms, one every 10 ms, the power of their Fourier transforms summed by triangles on Slaney's mel scale, in decades, cut 8
below the loudest and brought to about [-1, 1]. Parameters are those of openai/whisper `audio.py`; the scale is that of
M. Slaney's Auditory Toolbox (1998): linear to 1,000 Hz, from there 27 steps for each factor of 6.4.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

RATE_HZ: Final = 16_000
BANDS: Final = 80
STEP_SAMPLES: Final = RATE_HZ // 100
"""From one frame to the next: 10 ms."""
WINDOW_SAMPLES: Final = RATE_HZ // 40
"""What a frame hears: 25 ms."""
BINS: Final = WINDOW_SAMPLES // 2 + 1

_FLOOR: Final = 1e-10
_DECADES: Final = 8.0
"""How far below the loudest band a spectrogram reaches."""
_VARIANCE_FLOOR: Final = 1e-7

_LINEAR_HZ: Final = 200 / 3
"""Below `_CORNER_HZ`, a mel is so many hertz."""
_CORNER_HZ: Final = 1_000.0
_CORNER_MEL: Final = _CORNER_HZ / _LINEAR_HZ
_LOG_STEP: Final = np.log(6.4) / 27
"""Above it, a mel is such a step of the natural logarithm."""

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


def normalized(samples: Floats) -> Floats:
    """Mean 0 and variance 1, silence around the recording included. In single precision, as the reference does it."""
    unit: Floats = (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(_VARIANCE_FLOOR))
    return unit


def log_mel(samples: Floats) -> Floats:
    """The spectrogram, shape (80, frames): one frame for each whole 10 ms of `samples`, which holds 25 ms at least.

    Frames are centred; before the first sample and after the last one the recording is mirrored.
    """
    mirrored = np.pad(samples.astype(np.float64), WINDOW_SAMPLES // 2, mode="reflect")
    frames = sliding_window_view(mirrored, WINDOW_SAMPLES)[::STEP_SAMPLES][: samples.size // STEP_SAMPLES]
    spectrum = np.fft.rfft(frames * _window())
    power = spectrum.real**2 + spectrum.imag**2
    decades = np.log10(np.maximum(power @ filter_bank(), _FLOOR))
    decades = np.maximum(decades, decades.max() - _DECADES)
    return np.ascontiguousarray(((decades + 4) / 4).T, np.float32)


@cache
def filter_bank() -> Doubles:
    """Bins to bands, shape (201, 80): triangles of equal area, each from its neighbours' peaks to its own."""
    edges_hz = _mel_to_hz(np.linspace(0, _hz_to_mel(RATE_HZ / 2), BANDS + 2))
    low, peak, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    bins_hz = np.linspace(0, RATE_HZ / 2, BINS)[:, np.newaxis]
    rising = (bins_hz - low) / (peak - low)
    falling = (high - bins_hz) / (high - peak)
    triangles: Doubles = np.maximum(np.minimum(rising, falling), 0) * (2 / (high - low))
    return triangles


@cache
def _window() -> Doubles:
    """Hann's window, periodic."""
    return np.hanning(WINDOW_SAMPLES + 1)[:-1]


def _hz_to_mel(hz: float) -> float:
    return float(_CORNER_MEL + np.log(hz / _CORNER_HZ) / _LOG_STEP) if hz >= _CORNER_HZ else hz / _LINEAR_HZ


def _mel_to_hz(mel: Doubles) -> Doubles:
    return np.where(mel < _CORNER_MEL, mel * _LINEAR_HZ, _CORNER_HZ * np.exp((mel - _CORNER_MEL) * _LOG_STEP))
