"""Where in a recording something sounds: by loudness alone, for recognisers that invent words on silence.

Sound is 16-bit samples at 16,000 Hz. Loudness is the root mean square of frames of 20 ms. A frame is quiet if it is below
-60 dB of full scale, or far below the loudest frame; both limits are low, so that a soft voice passes: to tell a voice from
noise is another's work.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio import Samples

RATE_HZ: Final = 16_000
FRAME_SAMPLES: Final = RATE_HZ // 50
"""20 ms."""
SILENCE: Final = 32.768
"""-60 dB of full scale, in 16-bit steps: a quiet room, as a microphone hears it."""
QUIET_SHARE: Final = 10 ** (-35 / 20)
"""35 dB below the loudest frame: nothing of the voice that made that one."""
MARGIN_SAMPLES: Final = RATE_HZ // 5
"""Kept on both sides of what sounds: words begin and end softly."""
PAUSE_FRAMES: Final = 15
"""300 ms: longer than the stop in the middle of a word, shorter than what ends a turn."""


def levels(samples: Samples) -> NDArray[np.float32]:
    """The loudness of each whole frame, in 16-bit steps. What is left over counts as no frame."""
    frames = samples[: samples.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES).astype(np.float32)
    loudness: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", frames, frames) / FRAME_SAMPLES)
    return loudness


def sounding(samples: Samples) -> Samples:
    """The part from the first sound to the last, with a margin of 200 ms. Empty if all of it is silence."""
    loudness = levels(samples)
    loudest = loudness.max(initial=0.0)
    if loudest < SILENCE:
        return samples[:0]
    loud = np.flatnonzero(loudness >= max(SILENCE, loudest * QUIET_SHARE))
    start = int(loud[0]) * FRAME_SAMPLES - MARGIN_SAMPLES
    end = (int(loud[-1]) + 1) * FRAME_SAMPLES + MARGIN_SAMPLES
    return samples[max(0, start) : end]


class Quiet:
    """How long it has been quiet, as sound comes in."""

    def __init__(self) -> None:
        self.frames = 0
        """Quiet ones of 20 ms since the last that was not."""
        self._rest = np.empty(0, np.int16)
        """No whole frame yet."""
        self._loudest = SILENCE

    def feed(self, samples: Samples) -> None:
        """The next samples, a few seconds at most."""
        waiting = np.concatenate([self._rest, samples])
        self._rest = waiting[waiting.size // FRAME_SAMPLES * FRAME_SAMPLES :]
        for level in levels(waiting).tolist():
            self._loudest = max(self._loudest, level)
            self.frames = self.frames + 1 if level < max(SILENCE, self._loudest * QUIET_SHARE) else 0


class Stretches:
    """Cuts a long turn at its pauses, so that what is closed can be recognised while the user goes on.

    A stretch closes at the first pause of 300 ms after `least_seconds`. Where nobody pauses, nothing is cut.
    """

    def __init__(self, least_seconds: float) -> None:
        self._least_samples = int(least_seconds * RATE_HZ)
        self._begin()

    def _begin(self) -> None:
        self._chunks: list[Samples] = []
        self._samples = 0
        self._quiet = Quiet()

    def feed(self, samples: Samples) -> Samples | None:
        """Take the next samples, a few seconds at most. Returns a stretch if one is closed."""
        self._chunks.append(samples)
        self._samples += samples.size
        self._quiet.feed(samples)
        closed = self._samples >= self._least_samples and self._quiet.frames >= PAUSE_FRAMES
        return self.flush() if closed else None

    def flush(self) -> Samples:
        """What is left, perhaps nothing; begin anew."""
        stretch = np.concatenate(self._chunks) if self._chunks else np.empty(0, np.int16)
        self._begin()
        return stretch
