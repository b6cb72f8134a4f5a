"""When things happened in a turn, for people and for programs. Moments are monotonic seconds; reports are milliseconds."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from msgspec import Struct

from vivavoce.audio import SAMPLE_HZ, ms_to_samples

STEPS = ("speech_stopped", "transcript", "first_text", "first_audio", "done")
"""The steps of a turn, as they are reported."""


class TimeLine(Struct):
    """A turn's moments. `None`: it did not happen, or not yet."""

    zero: float | None = None
    """The end of speech; of a typed message or a push-to-talk turn, the moment at which it was sent."""
    zero_ms: int | None = None
    """Where in the session's input audio the speech ended; `None` if nothing was spoken."""
    speech_stopped: float | None = None
    transcript: float | None = None
    first_text: float | None = None
    first_audio: float | None = None
    done: float | None = None

    def mark(self, step: str, now: float) -> None:
        """The step happens now. Of the two "first" steps only the first counts, of the others the last."""
        if not step.startswith("first_") or getattr(self, step) is None:
            setattr(self, step, now)

    def after_ms(self) -> dict[str, int | None]:
        """Each step's distance from the end of speech."""
        moments = {step: getattr(self, step) for step in STEPS}
        return {
            step: None if at is None or self.zero is None else round((at - self.zero) * 1000) for step, at in moments.items()
        }


class AudioClock:
    """When which of the session's input audio was spoken: from positions, as the server counts them, to moments."""

    def __init__(self) -> None:
        self._ends_samples: Final[list[int]] = []
        self._spoken: Final[list[tuple[float, bool]]] = []

    @property
    def position_samples(self) -> int:
        """All audio so far, at 24,000 Hz."""
        return self._ends_samples[-1] if self._ends_samples else 0

    def add(self, samples: int, at: float, live: bool) -> None:
        """So much more audio, complete at this moment. `live`: it was spoken in just this time; else it came at once."""
        self._ends_samples.append(self.position_samples + samples)
        self._spoken.append((at, live))

    def moment(self, position_ms: int) -> float | None:
        """When this position was spoken; of audio that came at once, when it came. `None` for what was never spoken."""
        position_samples = ms_to_samples(position_ms)
        index = bisect_left(self._ends_samples, position_samples)
        if index == len(self._ends_samples):
            return None
        at, live = self._spoken[index]
        return at - (self._ends_samples[index] - position_samples) / SAMPLE_HZ if live else at
