"""Silero VAD: the network against the published one."""

from pathlib import Path

import numpy as np
import pytest

from tests.engines.silero_reference import PUBLISHED, minute, network, published, scores_of, windows_of
from tools.silero_weights import read_weights
from vivavoce.engines import silero_network
from vivavoce.engines.silero_network import NEW_SAMPLES

__all__ = ["network", "published"]


def test_the_weights_are_the_published_ones():
    published = read_weights(PUBLISHED.read_bytes())
    with np.load(Path(silero_network.__file__).with_name("silero_vad.npz")) as ours:
        assert set(ours) == set(published)
        for name, values in published.items():
            np.testing.assert_array_equal(ours[name], values)


def test_the_licence_lies_beside_the_weights():
    licence = Path(silero_network.__file__).with_name("silero_vad.LICENSE").read_text()
    assert "MIT License" in licence
    assert "Silero Team" in licence


def test_every_window_of_the_minute_scores_as_published(network, published):
    wanted = published(minute())
    assert 0.5 < (wanted > 0.5).mean() < 0.9  # there is speech in it, and there are pauses
    assert np.abs(scores_of(network, minute()) - wanted).max() < 1e-4  # measured 2.3e-6; the promise is 1e-3


def clicks(rng):
    line = np.zeros(64_000)
    line[rng.integers(0, line.size, 25)] = rng.choice([-1.0, 1.0], 25)
    return np.convolve(line, [1, -0.7, 0.4, -0.2])[: line.size] * 30_000


def coughs(rng):
    """Bursts of noise that open abruptly and die away, dull as a throat is."""
    at = np.arange(64_000) / 16_000
    opened = (at % 0.8)[:, np.newaxis] - np.array([0.0, 0.15])
    loudness = np.where(opened > 0, np.exp(-opened * 25), 0).sum(axis=1)
    return np.convolve(rng.standard_normal(at.size), np.hanning(9), "same") * loudness * 4_000


def chord(rng):
    """A C major chord on something like an organ, with vibrato."""
    at = np.arange(64_000) / 16_000
    wobble = 0.004 * np.sin(2 * np.pi * 5.5 * at) / 5.5
    notes = [np.sin(2 * np.pi * f * n * (at + wobble)) / n for f in (261.6, 329.6, 392.0) for n in range(1, 8)]
    return np.sum(notes, axis=0) * 3_000


def hiss(rng):
    return rng.standard_normal(64_000) * 12_000


def silence(rng):
    return np.zeros(64_000)


def roar(rng):
    return np.where(rng.standard_normal(64_000) > 0, 32_767, -32_768)


@pytest.mark.parametrize("noise", [clicks, coughs, chord, hiss, silence, roar])
def test_noises_score_as_published(network, published, noise):
    samples = np.clip(noise(np.random.default_rng(1)), -32_768, 32_767).astype(np.int16)
    assert np.abs(scores_of(network, samples) - published(samples)).max() < 1e-3


def test_speech_in_noise_scores_as_published(network, published):
    noise = coughs(np.random.default_rng(2)) + clicks(np.random.default_rng(3))
    mixed = np.clip(minute()[: noise.size] + noise, -32_768, 32_767).astype(np.int16)
    assert np.abs(scores_of(network, mixed) - published(mixed)).max() < 1e-3


def test_a_batch_scores_each_stream_as_if_alone(network):
    samples = minute()
    streams = [samples[start : start + 40 * NEW_SAMPLES] for start in range(0, 37 * 20_000, 20_000)]
    alone = np.array([scores_of(network, stream) for stream in streams])
    assert np.ptp(alone, axis=0).max() > 0.9  # the streams differ, or this would prove nothing
    state, together = np.zeros((2, len(streams), 128), np.float32), []
    for windows in zip(*map(windows_of, streams), strict=True):
        probabilities, state = network.step(np.stack(windows), state)
        together.append(probabilities)
    assert np.abs(alone - np.array(together).T).max() < 1e-4
