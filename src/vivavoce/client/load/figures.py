"""What was measured: plain counts and lists, added up over sessions and processes."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

SPEECH_END_TO_STOPPED: Final = "speech_end_to_stopped_ms"
STOPPED_TO_AUDIO: Final = "stopped_to_audio_ms"
SPEECH_END_TO_AUDIO: Final = "speech_end_to_audio_ms"
ONSET_TO_CANCELLED: Final = "onset_to_cancelled_ms"
APPEND_TO_ECHO: Final = "append_to_echo_ms"

LATENCIES: Final = {
    SPEECH_END_TO_STOPPED: "end of speech → speech_stopped",
    STOPPED_TO_AUDIO: "speech_stopped → first audio",
    SPEECH_END_TO_AUDIO: "end of speech → first audio",
    ONSET_TO_CANCELLED: "onset of speech → answer cancelled",
    APPEND_TO_ECHO: "append → echo",
}


def _no_samples() -> dict[str, array[float]]:
    return {name: array("d") for name in LATENCIES}


class Tally(Struct, kw_only=True):
    """What happened in measured time."""

    latencies_ms: dict[str, array[float]] = field(default_factory=_no_samples)
    own_lag_ms: array[float] = field(default_factory=lambda: array("f"))
    """How late the generator itself sent each chunk."""
    answers: int = 0
    interrupted: int = 0
    unheard: int = 0
    """Utterances that the server took for something else than speech."""
    deltas: int = 0
    """Of audio."""
    late_deltas: int = 0
    """Those that came after the audio before them had been played."""
    worst_gap_ms: float = 0.0
    """The longest silence that a late delta caused."""
    answer_seconds: float = 0.0
    """Audio received."""
    own_cpu_seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Take in what another process measured."""
        for name, values in other.latencies_ms.items():
            self.latencies_ms[name].extend(values)
        self.own_lag_ms.extend(other.own_lag_ms)
        self.answers += other.answers
        self.interrupted += other.interrupted
        self.unheard += other.unheard
        self.deltas += other.deltas
        self.late_deltas += other.late_deltas
        self.worst_gap_ms = max(self.worst_gap_ms, other.worst_gap_ms)
        self.answer_seconds += other.answer_seconds
        self.own_cpu_seconds += other.own_cpu_seconds
        self.errors.update(other.errors)


class Percentiles(Struct, frozen=True):
    """Of a list of times, in its unit."""

    count: int
    p50: float
    p95: float
    p99: float
    worst: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """The smallest values that 50, 95 and 99 % are not above. `None` of nothing."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)

    return Percentiles(len(ordered), at(0.5), at(0.95), at(0.99), at(1.0))
