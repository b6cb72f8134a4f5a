"""A room with a loudspeaker, a microphone, recorded voices and noises; and what a turn detector makes of what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from vivavoce.audio import Resampler, Samples
from vivavoce.engines.silero_network import CONTEXT_SAMPLES, NEW_SAMPLES, STATE_SIZE, WINDOW_SAMPLES, SileroNetwork
from vivavoce.engines.silero_network import RATE_HZ as SILERO_HZ
from vivavoce.protocol.config import ServerVad
from vivavoce.session import turns
from vivavoce.session.turns import Onset, TurnDetector

AUDIO = Path(__file__).parents[3] / "shared" / "audio"
RATE_HZ = 24_000
MS = RATE_HZ // 1000


@cache
def voice(name: str) -> Samples:
    """A recorded voice at 24 kHz."""
    samples, rate_hz = soundfile.read(AUDIO / name, dtype="int16", always_2d=True)
    return resampled(samples[:, 0], rate_hz, RATE_HZ)


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.feed(samples), resampler.flush()])


def silence(ms: int) -> Samples:
    return np.zeros(ms * MS, np.int16)


def level(samples: NDArray[np.number]) -> float:
    """Effective value in decibels."""
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-9))


@cache
def room_response() -> NDArray[np.float64]:
    """From the loudspeaker to the microphone of one device: the direct way, two reflections, a quarter second of room."""
    at = np.arange(300 * MS) / RATE_HZ
    response = np.random.default_rng(3).standard_normal(at.size) * np.exp(-6.9 * at / 0.25) * 0.04
    response[0] = 1
    response[4 * MS] += 0.4
    response[11 * MS] -= 0.3
    return response


def microphone(
    n_samples: int,
    played: Sequence[tuple[int, Samples]] = (),
    quieter_db: float = 6,
    said: Sequence[tuple[int, Samples]] = (),
) -> Samples:
    """What the microphone hears of answers that the loudspeaker plays and of what the user says, each from a position on."""
    line = np.random.default_rng(1).standard_normal(n_samples + 60 * RATE_HZ) * 8
    for position, answer in played:
        echo = np.convolve(answer.astype(np.float64), room_response())
        echo *= answer.std() / echo.std() * 10 ** (-quieter_db / 20)
        line[position : position + echo.size] += echo
    for position, words in said:
        line[position : position + words.size] += words
    return np.clip(line[:n_samples], -32768, 32767).astype(np.int16)


def onsets_ms(samples: Samples, rate_hz: int = RATE_HZ) -> list[int]:
    """Where turns would begin, with the server's defaults: `speech_started` and, if an answer runs, its end."""
    network, state = SileroNetwork(), np.zeros((2, 1, STATE_SIZE), np.float32)
    line = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.int16), resampled(samples, rate_hz, SILERO_HZ)])
    detector, found = TurnDetector(), []
    for number, at in enumerate(range(0, line.size - WINDOW_SAMPLES + 1, NEW_SAMPLES)):
        probability, state = network.step(line[np.newaxis, at : at + WINDOW_SAMPLES], state)
        end = (number + 1) * turns.WINDOW_SAMPLES
        edge = detector.score(end, float(probability[0]), ServerVad(prefix_padding_ms=0), asks=False)
        if isinstance(edge, Onset):
            found.append(edge.start_samples // MS)
    return found
