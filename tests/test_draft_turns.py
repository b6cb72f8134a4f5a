"""Recorded speech, Silero and a cascade that takes its time, on a virtual clock: drafts bring the same answers sooner."""

from __future__ import annotations

import pytest

from benchmarks.serving import RECORDINGS
from benchmarks.turns import measure
from vivavoce.client.recording import read_recording

SENTENCES = [
    read_recording(str(RECORDINGS / f"{name}.wav")).samples for name in ("goforward", "weather-question", "cards-001")
]


@pytest.mark.parametrize(("detection", "saved_ms"), [("server_vad, 500 ms", 340), ("semantic_vad, auto", 650)])
def test_a_draft_saves_the_rest_of_the_silence_or_all_that_the_engine_takes(detection: str, saved_ms: int) -> None:
    found = measure(detection, SENTENCES)
    assert found["turns"] == len(SENTENCES)
    assert found["saved_least_ms"] >= saved_ms - 1
    assert found["recognitions_a_turn"] == 1
    assert found["dropped_share"] == 0


def test_a_speaker_who_pauses_is_recognised_again_and_answered_no_later() -> None:
    found = measure("semantic_vad, auto", [read_recording(str(RECORDINGS / "silero-minute.wav")).samples])
    assert found["dropped_share"] > 0.5
    assert found["recognitions_a_turn"] <= 4  # three drafts at most, and the turn itself
    assert found["saved_least_ms"] > -32  # a window of Silero's: waiting for answers shifts them
