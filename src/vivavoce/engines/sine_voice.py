"""A voice made of tones, the same every time: a hum for each word, as long as the word is written.

Made for tests: its marks are exact, an ear hears where words end, and nothing has to be installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from msgspec import Struct

from vivavoce.audio import SAMPLE_HZ, ms_to_samples

VOICES: Final = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
"""Each a whole tone above the one before. An unknown voice sounds like the first."""
LOWEST_HZ: Final = 140.0
CHARACTER_MS: Final = 60
"""How long a character of a word sounds at speed 1."""
LONGEST_WORD_CHARACTERS: Final = 20
"""A longer word sounds no longer."""
GAP_MS: Final = 60
"""Silence after each word."""
_FADE_SAMPLES: Final = ms_to_samples(5)
_LOUDNESS: Final = 8_000
_PIECES: Final = re.compile(r"\S+\s*|\s+")


class Word(Struct, frozen=True):
    """A word with the space after it, and its sound. Blank text is a word without sound."""

    text: str
    characters: int
    """Up to the end of the word, without the space: where its mark stands."""
    pcm: bytes


def say(text: str, voice: str = "alloy", speed: float = 1.0) -> Iterator[Word]:
    """The words of a text, in order. Their texts, joined, are the text."""
    pitch_hz = LOWEST_HZ * 2 ** ((VOICES.index(voice) if voice in VOICES else 0) / 6)
    for piece in _PIECES.findall(text):
        word = piece.rstrip()
        yield Word(piece, len(word), _hum(min(len(word), LONGEST_WORD_CHARACTERS), pitch_hz, speed) if word else b"")


@lru_cache(maxsize=256)
def _hum(characters: int, pitch_hz: float, speed: float) -> bytes:
    """A tone with soft edges, then the gap between words."""
    samples = int(ms_to_samples(CHARACTER_MS) * characters / speed)
    time = np.arange(samples) / SAMPLE_HZ
    edge = np.minimum(np.arange(samples), np.arange(samples)[::-1]) / _FADE_SAMPLES
    wave = np.sin(2 * np.pi * pitch_hz * time) * np.minimum(edge, 1.0) * _LOUDNESS
    gap = np.zeros(int(ms_to_samples(GAP_MS) / speed))
    return np.concatenate([wave, gap]).astype("<i2").tobytes()
