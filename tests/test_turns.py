"""The turn detector beside Silero's own iterator, on recorded speech and on noises."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from vivavoce.audio import Resampler, ms_to_samples, samples_to_ms
from vivavoce.engines.silero_network import CONTEXT_SAMPLES, NEW_SAMPLES, RATE_HZ, STATE_SIZE, SileroNetwork
from vivavoce.protocol.config import SemanticVad, ServerVad, TurnDetection
from vivavoce.session.turns import WINDOW_SAMPLES, Edge, End, Lull, Onset, Pause, Resumption, TurnDetector

AUDIO = Path(__file__).parents[2] / "shared" / "audio"
RANDOM = np.random.default_rng(7)
SECOND = RATE_HZ


def scores_of(samples: NDArray[np.int16]) -> list[float]:
    """Silero's probability of each window of 32 ms at 16 kHz."""
    network = SileroNetwork()
    state = np.zeros((2, 1, STATE_SIZE), np.float32)
    context = np.zeros(CONTEXT_SAMPLES, np.int16)
    scores = []
    for start in range(0, len(samples) - NEW_SAMPLES + 1, NEW_SAMPLES):
        window = np.concatenate([context, samples[start : start + NEW_SAMPLES]])
        context = window[-CONTEXT_SAMPLES:]
        probability, state = network.step(window[np.newaxis], state)
        scores.append(float(probability[0]))
    return scores


def edges_of(scores: Iterable[float], vad: TurnDetection) -> list[Edge]:
    detector = TurnDetector()
    edges = (detector.score((n + 1) * WINDOW_SAMPLES, score, vad, asks=False) for n, score in enumerate(scores))
    return [edge for edge in edges if edge is not None]


def iterator_starts(scores: Iterable[float], threshold: float = 0.5, silence_windows: int = 16) -> int:
    """How often Silero's `VADIterator` would start: at each first window above the threshold."""
    starts, triggered, quiet = 0, False, 0
    for score in scores:
        if score >= threshold:
            quiet = 0
            if not triggered:
                triggered, starts = True, starts + 1
        elif triggered and (quiet or score < threshold - 0.15):
            quiet += 1
            triggered = quiet < silence_windows
    return starts


def recording(name: str) -> NDArray[np.int16]:
    samples, rate_hz = soundfile.read(AUDIO / name, dtype="int16", always_2d=True)
    mono = samples[:, 0]
    if rate_hz == RATE_HZ:
        return mono
    resampler = Resampler(rate_hz, RATE_HZ)
    return np.concatenate([resampler.feed(mono), resampler.flush()])


def quiet(seconds: float) -> NDArray[np.int16]:
    return (RANDOM.standard_normal(int(seconds * SECOND)) * 3).astype(np.int16)


def clicks() -> NDArray[np.int16]:
    samples = quiet(20)
    for start in range(SECOND, len(samples) - 100, SECOND // 3):
        samples[start : start + 30] = RANDOM.integers(-30_000, 30_000, 30)
    return samples


def coughs() -> NDArray[np.int16]:
    samples = quiet(20).astype(np.float64)
    for start in range(SECOND, len(samples) - SECOND, 2 * SECOND):
        length = SECOND // 5
        burst = RANDOM.standard_normal(length) * np.exp(-np.arange(length) / (SECOND / 20)) * 9000
        samples[start : start + length] += burst
    return samples.clip(-32768, 32767).astype(np.int16)


def music() -> NDArray[np.int16]:
    time = np.arange(20 * SECOND) / SECOND
    notes = [220 * 2 ** (step / 12) for step in (0, 4, 7, 12, 9, 5)]
    song = np.zeros_like(time)
    for bar, note in enumerate(itertools.islice(itertools.cycle(notes), 40)):
        where = (time >= bar / 2) & (time < bar / 2 + 0.5)
        decay = np.exp(-3 * (time[where] - bar / 2))
        song[where] += sum(np.sin(2 * np.pi * note * k * time[where]) / k for k in (1, 2, 3, 4)) * decay
    return (song * 6000).astype(np.int16)


@pytest.mark.parametrize("noise", [clicks, coughs, music], ids=lambda noise: noise.__name__)
def test_noise_starts_no_more_turns_than_silero_itself(noise) -> None:
    scores = scores_of(noise())
    starts = [edge for edge in edges_of(scores, ServerVad()) if isinstance(edge, Onset)]
    assert len(starts) <= iterator_starts(scores)


@pytest.mark.parametrize("name", ["silero-minute.wav", "austen-0870.wav", "jfk.flac"])
def test_speech_starts_a_turn_wherever_it_lasts(name: str) -> None:
    """Two windows in a row lose nothing that is longer than a click, and start no more turns than one window would."""
    scores = scores_of(recording(name))
    starts = [edge for edge in edges_of(scores, ServerVad()) if isinstance(edge, Onset)]
    assert 0 < len(starts) <= iterator_starts(scores)
    assert len(starts) >= iterator_starts(scores) - 1


@pytest.mark.parametrize("name", ["goforward.wav", "weather-question.wav", "cards-001.wav", "hello-world.wav"])
def test_a_spoken_sentence_is_one_turn(name: str) -> None:
    samples = np.concatenate([quiet(1), recording(name), quiet(2)])
    onset, end = edges_of(scores_of(samples), ServerVad())
    assert isinstance(onset, Onset)
    assert isinstance(end, End)
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 2000) * 1000 // RATE_HZ
    assert samples_to_ms(onset.start_samples) <= loud[0]
    assert loud[0] - samples_to_ms(onset.start_samples) < 700
    assert samples_to_ms(end.end_samples) > loud[-1]
    assert samples_to_ms(end.end_samples) - loud[-1] < 900


def test_a_pause_shorter_than_the_silence_does_not_end_a_turn() -> None:
    speech, pause = [0.9] * 10, [0.02] * 15
    assert [type(edge) for edge in edges_of([*speech, *pause, *speech, *pause], ServerVad())] == [Onset]
    assert [type(edge) for edge in edges_of([*speech, *pause, 0.02], ServerVad())] == [Onset, End]


def test_the_silence_is_counted_to_the_sample() -> None:
    edges = edges_of([0.9] * 10 + [0.02] * 40, ServerVad(silence_duration_ms=500))
    assert edges[1] == End(10 * WINDOW_SAMPLES + ms_to_samples(500))


def test_between_the_thresholds_silence_neither_begins_nor_breaks() -> None:
    """Silero's hysteresis: silence begins below 0.35 and only speech at 0.5 breaks it."""
    assert [type(edge) for edge in edges_of([0.9] * 5 + [0.4] * 50, ServerVad())] == [Onset]
    assert [type(edge) for edge in edges_of([0.9] * 5 + [0.02] + [0.4] * 50, ServerVad())] == [Onset, End]


@pytest.mark.parametrize(("eagerness", "wait_ms"), [("low", 2000), ("medium", 1000), ("auto", 1000), ("high", 500)])
def test_eagerness_alone_sets_the_wait(eagerness, wait_ms: int) -> None:
    edges = edges_of([0.9] * 5 + [0.02] * 300, SemanticVad(eagerness=eagerness))
    assert edges[1] == End(5 * WINDOW_SAMPLES + ms_to_samples(wait_ms))


@pytest.mark.parametrize(("eagerness", "wait_ms"), [("low", 8000), ("medium", 4000), ("auto", 4000), ("high", 2000)])
def test_a_turn_end_model_that_never_answers_waits_no_longer_than_the_maximum(eagerness, wait_ms: int) -> None:
    detector, vad = TurnDetector(), SemanticVad(eagerness=eagerness)
    ends = [
        edge
        for n, score in enumerate([0.9] * 5 + [0.02] * 300)
        if isinstance(edge := detector.score((n + 1) * WINDOW_SAMPLES, score, vad, asks=True), End)
    ]
    assert ends[0] == End(5 * WINDOW_SAMPLES + ms_to_samples(wait_ms))


def test_an_answer_about_a_pause_that_is_over_is_stale() -> None:
    detector, vad = TurnDetector(), SemanticVad(eagerness="high")
    for n, score in enumerate([0.9] * 5 + [0.02] * 8 + [0.9] * 3):
        detector.score((n + 1) * WINDOW_SAMPLES, score, vad, asks=True)
    assert detector.turn_score(13 * WINDOW_SAMPLES, 1.0, vad) is None
    assert detector.speaking


def lulls(scores: Iterable[float], vad: TurnDetection, *, asks: bool = False, lull_ms: int | None = 150) -> list[Edge]:
    detector = TurnDetector()
    edges = (
        detector.score((n + 1) * WINDOW_SAMPLES, score, vad, asks=asks, lull_ms=lull_ms) for n, score in enumerate(scores)
    )
    return [edge for edge in edges if edge is not None]


def test_a_lull_is_told_once_a_silence_and_speech_after_it_too() -> None:
    speech, pause = [0.9] * 10, [0.02] * 8
    edges = lulls([*speech, *pause, *speech, *pause, *pause], ServerVad())
    assert edges[1:] == [
        Lull(15 * WINDOW_SAMPLES),
        Resumption(19 * WINDOW_SAMPLES),
        Lull(33 * WINDOW_SAMPLES),
        End(28 * WINDOW_SAMPLES + ms_to_samples(500)),
    ]


def test_what_may_be_words_ends_a_lull_and_not_the_silence() -> None:
    """Between the thresholds nothing is certain: a draft would miss a murmured word. One silence has one lull."""
    edges = lulls([0.9] * 10 + [0.02] * 6 + [0.4] + [0.02] * 20, ServerVad())
    assert edges[1:] == [
        Lull(15 * WINDOW_SAMPLES),
        Resumption(17 * WINDOW_SAMPLES),
        End(10 * WINDOW_SAMPLES + ms_to_samples(500)),
    ]
    edges = lulls([0.9] * 10 + [0.02, 0.4, *[0.02] * 20], ServerVad())
    assert [type(edge) for edge in edges] == [Onset, End]


def test_a_silence_too_short_for_a_lull_is_no_edge() -> None:
    speech, breath = [0.9] * 10, [0.02] * 4
    assert [type(edge) for edge in lulls([*speech, *breath, *speech], ServerVad())] == [Onset]


@pytest.mark.parametrize(("silence_ms", "lulled"), [(0, False), (150, False), (160, False), (161, True), (500, True)])
def test_a_turn_that_ends_by_then_has_no_lull(silence_ms: int, lulled: bool) -> None:
    edges = lulls([0.9] * 10 + [0.02] * 40, ServerVad(silence_duration_ms=silence_ms))
    assert any(isinstance(edge, Lull) for edge in edges) == lulled
    assert isinstance(edges[-1], End)


@pytest.mark.parametrize("lull_ms", [None, 100, 150, 200, 224])
def test_a_lull_does_not_disturb_the_pause(lull_ms: int | None) -> None:
    """Whenever a lull is due, the turn-end model is asked at the same window."""
    edges = lulls([0.9] * 10 + [0.02] * 70, SemanticVad(eagerness="high"), asks=True, lull_ms=lull_ms)
    assert [edge for edge in edges if not isinstance(edge, Lull)] == [
        Onset(0),
        Pause(17 * WINDOW_SAMPLES),
        End(10 * WINDOW_SAMPLES + ms_to_samples(2000)),
    ]
    assert len(edges) == 3 + (lull_ms is not None)
