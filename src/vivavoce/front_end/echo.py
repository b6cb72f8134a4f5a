"""The assistant's own voice in the microphone: what of it a canceller should take away, and when not to listen at all.

An echo canceller learns the way from loudspeaker to microphone, and must be shown what is played at about the time at which
it is heard. A client plays each answer later than it was sent, by a lag of its own. So at the beginning of each answer:

    sent ──▶ waiting ──────────── the echo is found ────────────▶ aligned: the canceller is shown the answer `LEAD_MS` early
               │ muted: what is heard may be an echo                   │
               ├── sound that is no echo, for long enough ─┐           └─ looks again; follows where the lag moved
               └── no sound ───────────────────────────────┴────▶ no echo: headphones, or the client cancels it itself

Because the canceller always sees the same short lead, what it learned in one answer holds in the next one. Who had no echo
in one answer is not muted in the next, until an echo is found again.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from vivavoce.audio import Samples
from vivavoce.front_end.alignment import HEARD_MS, LONGEST_LAG_MS, SENT_MS, Aligner
from vivavoce.front_end.playback import Playback

FRAME_MS: Final = 10
LEAD_MS: Final = 40
"""How long before its echo the canceller sees a sample."""
MOVED_MS: Final = 12
"""A lag that moved by less is left alone: the canceller follows by itself."""
WAITING_LOOK_MS: Final = 60
"""From one look for the echo to the next …"""
ALIGNED_LOOK_MS: Final = 240
"""… and once it was found."""
SETTLING_MS: Final = 200
"""What the canceller needs once it sees another lag."""
PATIENCE_MS: Final = 600
"""So much sound during an answer, and no echo found in it: there is none."""
SILENCE_MS: Final = 1_500
"""So long after an answer began, nothing was heard at all: there is no echo either."""
FLOOR_MS: Final = 1_000
"""The background is the quietest frame in so much time …"""
LOUD: Final = 3.0
"""… and a frame is sound if it is so many times as loud, …"""
QUIET: Final = 20.0
"""… and louder than this by itself (effective value of 16-bit samples)."""
REVERBERATION_MS: Final = 200
MOSTLY_ECHO: Final = 10**0.9
"""Where the canceller took away so much of the power, 9 dB, nobody spoke: what is left is echo too. Of the user's voice over
an answer it takes 2 dB (median), and of echo alone more than 18 in 99 frames of 100."""
SMOOTHING: Final = 0.7
"""Of the two powers, from frame to frame: over some 30 ms."""


class Echo:
    """One microphone's. Give it each frame of 10 ms, in order; it says what was played then, and whether to mute."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._playback = Playback(self._samples(SENT_MS + REVERBERATION_MS))
        self._heard = np.zeros(self._samples(HEARD_MS), np.int16)
        self._position = 0
        self._lag: float | None = None
        """In milliseconds, once one was found."""
        self._aligner = Aligner()
        self._waiting = False
        self._echoes = True
        """The last answer had an echo, or there was none yet."""
        self._muted_until = 0
        self._silent_until = 0
        self._patience_ms = 0
        self._next_look = 0
        self._near_power = 0.0
        self._cleaned_power = 0.0
        self._levels: deque[float] = deque([np.inf], FLOOR_MS // FRAME_MS)

    @property
    def waiting(self) -> bool:
        """An answer has begun, and its echo was not found yet."""
        return self._waiting

    def play(self, position: int, samples: Samples) -> None:
        """The client was sent this audio when the microphone was at `position`."""
        if self._playback.add(position, samples, self._position - self._shift):
            self._waiting = self._echoes
            self._aligner.forget()
            self._patience_ms = PATIENCE_MS
            self._silent_until = position + self._samples(SILENCE_MS)
            self._next_look = 0

    def stop(self, position: int) -> None:
        """The client stops playing now."""
        self._playback.cut(position)

    def frame(self, samples: Samples) -> tuple[Samples, bool]:
        """The next frame of the microphone. What the canceller should see with it, and whether to mute it."""
        start, self._position = self._position, self._position + samples.size
        self._heard = np.concatenate([self._heard[samples.size :], samples])
        sounds = self._sounds(samples)
        if self._audible:
            self._follow(sounds)
        else:
            self._waiting = False
        self._playback.forget(self._position)
        if self._lag is None or not self._echoes:  # Shown an answer without echo, it would suspect the user's voice.
            return np.zeros_like(samples), self._waiting
        far = self._playback.read(start - self._shift, self._position - self._shift)
        return far, self._waiting or self._position <= self._muted_until

    def take_back(self, n_samples: int) -> None:
        """So much at the end of the last frame was never sent."""
        self._position -= n_samples

    def _follow(self, sounds: bool) -> None:
        """An echo may be heard in this frame."""
        if sounds and self._position >= self._next_look:
            self._look()
        if not self._waiting:
            return
        if sounds:
            self._patience_ms -= FRAME_MS
        silent = self._patience_ms == PATIENCE_MS and self._position > self._silent_until
        if silent or self._patience_ms <= 0:
            self._waiting = self._echoes = False

    def is_residue(self, near: Samples, cleaned: Samples) -> bool:
        """Of the same frame, once it was cleaned: only what the canceller has left of an echo is in it."""
        self._near_power += (1 - SMOOTHING) * (_power(near) - self._near_power)
        self._cleaned_power += (1 - SMOOTHING) * (_power(cleaned) - self._cleaned_power)
        cancels = self._audible and self._echoes and self._lag is not None
        return cancels and self._cleaned_power * MOSTLY_ECHO < self._near_power

    @property
    def _audible(self) -> bool:
        """An answer may still be heard."""
        return self._position < self._playback.end + self._samples(LONGEST_LAG_MS + REVERBERATION_MS)

    @property
    def _shift(self) -> int:
        """How much later the canceller sees the playback than it was sent, in samples."""
        return 0 if self._lag is None else max(0, self._samples(self._lag - LEAD_MS))

    def _look(self) -> None:
        """Is there an echo, and how late?"""
        sent = self._playback.read(self._position - self._samples(SENT_MS), self._position)
        lag = self._aligner.look(self._heard, sent, self._rate_hz)
        if lag is not None:
            if self._lag is None or abs(lag - self._lag) > MOVED_MS or not self._echoes:
                self._lag = lag
                self._muted_until = self._position + self._samples(SETTLING_MS)
            self._waiting, self._echoes = False, True
        self._next_look = self._position + self._samples(WAITING_LOOK_MS if self._waiting else ALIGNED_LOOK_MS)

    def _sounds(self, samples: Samples) -> bool:
        """More than the background is heard."""
        level = math.sqrt(_power(samples))
        self._levels.append(level)
        return level > QUIET + LOUD * min(self._levels)

    def _samples(self, ms: float) -> int:
        return round(ms * self._rate_hz / 1000)


def _power(samples: Samples) -> float:
    floats = samples.astype(np.float32)
    return float(np.dot(floats, floats)) / samples.size
