"""Whose turn it is: speech scores in, turn edges out.

                 speech in ONSET_WINDOWS windows together
        ┌───────┐ ─────────── Onset(start) ───────────▶ ┌──────────┐
        │ quiet │                                       │ speaking │◀─┐ speech again: the silence was a pause
        └───────┘ ◀─────────── End(end) ─────────────── └──────────┘──┘
                 silence for long enough                     ├─▶ Pause(end), once a silence, if a model scores turns
                                                             ├─▶ Lull(end), once a silence, if drafts are wanted
                                                             └─▶ Resumption(end): speech again, after a lull

The detector knows no clock: it counts audio positions (samples at 24,000 Hz), so audio that arrives late or in a burst
gives the same turns. Thresholds are Silero's own: speech starts at `threshold` and goes on until the probability falls
below `threshold - 0.15`. Where Silero's iterator starts at one window, we want two in a row: a click is one window.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from vivavoce.audio import ms_to_samples
from vivavoce.protocol.config import Eagerness, SemanticVad, ServerVad, TurnDetection

WINDOW_SAMPLES: Final = ms_to_samples(32)
ONSET_WINDOWS: Final = 2
HYSTERESIS: Final = 0.15
SEMANTIC_THRESHOLD: Final = 0.5
SEMANTIC_PREFIX_MS: Final = 300
PAUSE_MS: Final = 200
"""Silence after which a turn-end model is asked."""

MAX_WAIT_MS: Final[dict[Eagerness, int]] = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
"""The longest silence that `semantic_vad` waits for more. (API reference: "low, medium, and high have max timeouts of 8s,
4s, and 2s respectively"; `auto` is `medium`.)"""

PLAIN_WAIT_MS: Final[dict[Eagerness, int]] = {"low": 2000, "medium": 1000, "auto": 1000, "high": 500}
"""The silence that ends a turn where no turn-end model is at hand."""

TURN_OVER: Final[dict[Eagerness, float]] = {"low": 0.8, "medium": 0.6, "auto": 0.6, "high": 0.4}
"""The turn score that ends a turn."""


class Onset(Struct, frozen=True):
    """Somebody speaks. `start_samples` includes the prefix padding."""

    start_samples: int


class Pause(Struct, frozen=True):
    """The speaker is silent: is the turn over?"""

    end_samples: int


class Lull(Struct, frozen=True):
    """The speaker is silent: the turn may be over, and an answer may be drafted."""

    end_samples: int


class Resumption(Struct, frozen=True):
    """The lull was none: the speaker goes on, or may go on, in the window that ends at `end_samples`."""

    end_samples: int


class End(Struct, frozen=True):
    """The turn is over. `end_samples` includes the silence that ended it."""

    end_samples: int


Edge = Onset | Pause | Lull | Resumption | End


class TurnDetector:
    """One session's detector. `speaking` is true from an `Onset` to its `End` or `reset`."""

    def __init__(self) -> None:
        self.speaking = False
        self._floor_samples = 0
        self._onset_samples: int | None = None
        self._onset_windows = 0
        self._silence_samples: int | None = None
        self._asked = False
        self._lulled = False
        """The silence had its lull."""
        self._lull_is_open = False
        self._murmured = False
        """The silence is not beyond doubt: a score lay between the thresholds."""

    def reset(self, position_samples: int) -> None:
        """Forget the turn. Scores of audio before this position are stale from now on."""
        self.speaking = False
        self._floor_samples = max(self._floor_samples, position_samples)
        self._onset_samples = None
        self._onset_windows = 0
        self._break_silence()

    def wanted_from(self, end_samples: int, vad: TurnDetection) -> int:
        """While quiet: the earliest position that a turn may still want, if scores have come up to `end_samples`."""
        onset = end_samples if self._onset_samples is None else self._onset_samples
        return onset - ms_to_samples(_prefix_ms(vad))

    def score(
        self, end_samples: int, probability: float, vad: TurnDetection, *, asks: bool, lull_ms: int | None = None
    ) -> Edge | None:
        """Take one window's score.

        `asks`: a turn-end model is there to be asked at a pause. `lull_ms`: the silence that makes a lull, if any does. A
        silence that ends the turn by then is no lull.
        """
        if end_samples <= self._floor_samples:
            return None
        if self.speaking:
            return self._listen_for_end(end_samples, probability, vad, asks, lull_ms)
        return self._listen_for_onset(end_samples, probability, vad)

    def turn_score(self, end_samples: int, probability: float, vad: TurnDetection) -> Edge | None:
        """Take the turn-end model's score of the pause at `end_samples`. Stale where the speaker went on meanwhile."""
        if not self.speaking or self._silence_samples is None or not isinstance(vad, SemanticVad):
            return None
        if self._silence_samples > end_samples or probability < TURN_OVER[vad.eagerness]:
            return None
        return self._end(end_samples)

    def _listen_for_onset(self, end_samples: int, probability: float, vad: TurnDetection) -> Edge | None:
        if probability < _threshold(vad):
            self._onset_samples = None
            self._onset_windows = 0
            return None
        if self._onset_samples is None:
            self._onset_samples = end_samples - WINDOW_SAMPLES
        self._onset_windows += 1
        if self._onset_windows < ONSET_WINDOWS:
            return None
        start = max(self._onset_samples - ms_to_samples(_prefix_ms(vad)), self._floor_samples)
        self.speaking = True
        self._break_silence()
        return Onset(start)

    def _listen_for_end(
        self, end_samples: int, probability: float, vad: TurnDetection, asks: bool, lull_ms: int | None
    ) -> Edge | None:
        if probability >= _threshold(vad):
            lull_is_open = self._lull_is_open
            self._break_silence()
            return Resumption(end_samples) if lull_is_open else None
        quiet = is_silence(probability, vad)
        if self._silence_samples is None:
            if not quiet:
                return None
            self._silence_samples = end_samples - WINDOW_SAMPLES
        self._murmured |= not quiet
        silence = end_samples - self._silence_samples
        wait = ms_to_samples(_wait_ms(vad, asks))
        if silence >= wait:
            return self._end(self._silence_samples + wait)
        if asks and isinstance(vad, SemanticVad) and not self._asked and silence >= ms_to_samples(PAUSE_MS):
            self._asked = True
            return Pause(end_samples)
        return self._lull(end_samples, silence, lull_ms)

    def _lull(self, end_samples: int, silence: int, lull_ms: int | None) -> Edge | None:
        """A lull where nothing was heard since the silence began; what is no silence beyond doubt ends it."""
        if self._lull_is_open and self._murmured:
            self._lull_is_open = False
            return Resumption(end_samples)
        if lull_ms is None or self._lulled or self._murmured or silence < ms_to_samples(lull_ms):
            return None
        self._lulled = self._lull_is_open = True
        return Lull(end_samples)

    def _break_silence(self) -> None:
        self._silence_samples = None
        self._asked = False
        self._lulled = False
        self._lull_is_open = False
        self._murmured = False

    def _end(self, end_samples: int) -> End:
        self.reset(end_samples)
        return End(end_samples)


def is_silence(probability: float, vad: TurnDetection) -> bool:
    """Whether a window of this score is silence beyond doubt."""
    return probability < max(_threshold(vad) - HYSTERESIS, 0.01)


def is_speech(probability: float, vad: TurnDetection) -> bool:
    """Whether a window of this score is speech beyond doubt."""
    return probability >= _threshold(vad)


def _threshold(vad: TurnDetection) -> float:
    return vad.threshold if isinstance(vad, ServerVad) else SEMANTIC_THRESHOLD


def _prefix_ms(vad: TurnDetection) -> int:
    return vad.prefix_padding_ms if isinstance(vad, ServerVad) else SEMANTIC_PREFIX_MS


def _wait_ms(vad: TurnDetection, asks: bool) -> int:
    if isinstance(vad, ServerVad):
        return vad.silence_duration_ms
    return MAX_WAIT_MS[vad.eagerness] if asks else PLAIN_WAIT_MS[vad.eagerness]
