"""Another pace at the same pitch, and another volume."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vivavoce.engines.stretch import Stretch
from vivavoce.engines.volume import to_pcm16

HZ = 24_000


def recorded() -> np.ndarray:
    """A voice that says "hello world"."""
    with wave.open(str(Path(__file__).parents[3] / "shared" / "audio" / "hello-world.wav")) as file:
        assert file.getframerate() == HZ
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 2**15


def stretched(sound: np.ndarray, speed: float, chunk: int = 1_920) -> np.ndarray:
    stretch = Stretch(speed)
    pieces = [stretch.feed(sound[at : at + chunk]) for at in range(0, len(sound), chunk)]
    return np.concatenate((*pieces, stretch.flush()))


def loudest_hz(sound: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * HZ / len(sound))


@pytest.mark.parametrize("speed", [0.5, 0.75, 1.0, 1.1, 1.25, 1.5, 2.0])
def test_the_length_changes_and_the_pitch_does_not(speed: float) -> None:
    for hz in (90, 220, 400):
        tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(2 * HZ) / HZ).astype(np.float32)
        out = stretched(tone, speed)
        assert len(out) == round(len(tone) / speed)
        body = out[HZ // 20 : -HZ // 10]
        assert loudest_hz(body) == pytest.approx(hz, abs=2)
        assert np.abs(body).max() < 0.51
        assert np.sqrt((body**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.03), "no holes where blocks meet"


@pytest.mark.parametrize("speed", [0.6, 1.4])
def test_it_does_not_matter_how_the_sound_is_cut(speed: float) -> None:
    voice = recorded()
    whole = stretched(voice, speed, len(voice))
    for chunk in (1, 333, 1_920, 5_000):
        if chunk == 1:
            assert np.array_equal(stretched(voice[:6_000], speed, 1), stretched(voice[:6_000], speed, 6_000))
        else:
            assert np.array_equal(stretched(voice, speed, chunk), whole)


@pytest.mark.parametrize("speed", [0.7, 1.3])
def test_a_voice_keeps_its_melody_of_loudness(speed: float) -> None:
    """The envelope of the stretched voice is that of the voice, stretched."""
    voice = recorded()

    def envelope(sound: np.ndarray) -> np.ndarray:
        edges = np.linspace(0, len(sound), 11).astype(int)
        return np.array([np.sqrt((sound[a:b] ** 2).mean()) for a, b in pairwise(edges)])

    assert np.corrcoef(envelope(voice), envelope(stretched(voice, speed)))[0, 1] > 0.95


def test_the_first_sound_comes_with_the_first_frame() -> None:
    for speed in (0.5, 1.0, 2.0):
        assert len(Stretch(speed).feed(np.ones(1_920, np.float32))) > 0


def test_limits() -> None:
    sound = np.ones(10_000, np.float32)
    assert len(stretched(sound, 0.1)) == 20_000
    assert len(stretched(sound, 9.0)) == 5_000
    assert len(stretched(sound[:0], 1.5)) == 0
    assert len(stretched(sound[:100], 1.5)) == 67


def test_pcm() -> None:
    sound = np.array([0.0, 0.25, -0.5, 1.0, -1.5], np.float32)
    assert to_pcm16(sound).tolist() == [0, 8_192, -16_384, 32_767, -32_767]
    assert to_pcm16(sound[:3], 0.5).tolist() == [0, 4_096, -8_192]
    loud = to_pcm16(np.linspace(-1, 1, 2_001), 1.5)
    assert np.all(np.diff(loud.astype(int)) >= 0)
    assert loud[-1] > loud[1_800] > loud[1_600], "bent, not clipped: louder stays louder"
    assert np.abs(loud).max() < 32_767
    assert loud[1_200] == round(0.3 * 32_767), "exact below the knee"
