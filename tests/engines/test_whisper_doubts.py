"""What Whisper invents, and what sounds: decisions about figures and samples, no model of it."""

import numpy as np
import pytest

from tests.engines.hearing_turns import noise, recorded, silence
from vivavoce.audio import to_pcm
from vivavoce.engines.loudness import RATE_HZ, Stretches, sounding
from vivavoce.engines.whisper_doubts import Heard, Verdict, has_speech, verdict

# --- what is said and what is invented ---


@pytest.mark.parametrize(
    ("text", "seconds", "no_speech_prob", "avg_logprob", "compression_ratio", "wanted"),
    [
        (" What's the weather like?", 1.5, 0.02, -0.3, 0.9, Verdict.SAID),
        (" Yes.", 0.4, 0.3, -0.6, 0.5, Verdict.SAID),
        (" 你好,我想订一张票。", 2.0, 0.1, -0.4, 0.8, Verdict.SAID),
        # Whisper itself says that nobody speaks, and is not sure of the words.
        (" The cat sat.", 1.0, 0.9, -1.3, 0.9, Verdict.INVENTED),
        # Sure of itself, as on noise: somebody must listen.
        (" Thank you.", 1.0, 0.01, -0.2, 0.7, Verdict.DOUBTFUL),
        (" Thanks for watching!", 2.0, 0.95, -0.1, 0.8, Verdict.DOUBTFUL),
        (" ご視聴ありがとうございました", 2.0, 0.2, -0.2, 0.9, Verdict.DOUBTFUL),
        (" The cat sat.", 1.0, 0.9, -0.3, 0.9, Verdict.DOUBTFUL),
        (" The cat sat.", 1.0, 0.1, -1.3, 0.9, Verdict.DOUBTFUL),
        # Too much for a cough; and round in circles.
        (" And so we went to see the sea.", 0.3, 0.1, -0.4, 0.9, Verdict.DOUBTFUL),
        (" no" * 100, 2.0, 0.1, -0.3, 9.0, Verdict.INVENTED),
        (" no" * 20, 8.0, 0.1, -0.3, 3.0, Verdict.DOUBTFUL),
        # No words at all.
        (" ...", 2.0, 0.1, -0.2, 0.3, Verdict.INVENTED),
        (" ♪♪", 2.0, 0.1, -0.2, 0.3, Verdict.INVENTED),
    ],
)
def test_verdicts(
    text: str, seconds: float, no_speech_prob: float, avg_logprob: float, compression_ratio: float, wanted: Verdict
) -> None:
    segment = Heard(
        text=text,
        seconds=seconds,
        no_speech_prob=no_speech_prob,
        avg_logprob=avg_logprob,
        compression_ratio=compression_ratio,
    )
    assert verdict(segment) is wanted


def at_16_khz(pcm: bytes) -> np.ndarray:
    return np.frombuffer(to_pcm(pcm, "audio/pcm", RATE_HZ), "<i2")


def test_a_voice_is_told_from_noise() -> None:
    assert has_speech(at_16_khz(recorded("hello-world.wav")))
    assert not has_speech(at_16_khz(noise(3)))
    assert not has_speech(at_16_khz(silence(1)))
    assert not has_speech(np.empty(0, np.int16))


# --- loudness ---


def test_silence_around_a_voice_is_cut_with_a_margin() -> None:
    voice = at_16_khz(noise(0.7))
    quiet = np.random.default_rng(1).normal(0, 5, RATE_HZ).astype(np.int16)
    kept = sounding(np.concatenate([quiet, voice, quiet]))
    assert abs(kept.size - voice.size - 2 * RATE_HZ // 5) <= 2 * RATE_HZ // 50
    assert sounding(quiet).size == 0
    assert sounding(voice).size == voice.size
    assert sounding(np.empty(0, np.int16)).size == 0


def test_stretches_are_cut_at_pauses_and_lose_nothing() -> None:
    voice, pause = at_16_khz(noise(1)), np.zeros(RATE_HZ * 2 // 5, np.int16)
    sound = np.concatenate([voice, pause] * 4 + [voice] * 5)
    stretches, cut = Stretches(least_seconds=2.0), []
    for start in range(0, sound.size, 1234):
        closed = stretches.feed(sound[start : start + 1234])
        cut += [] if closed is None else [closed]
    cut.append(stretches.flush())
    assert np.array_equal(np.concatenate(cut), sound)
    assert len(cut) == 3
    for closed in cut[:2]:
        assert 2.0 <= closed.size / RATE_HZ < 3.0
        assert not closed[-RATE_HZ * 3 // 10 :].any()
    assert stretches.flush().size == 0
