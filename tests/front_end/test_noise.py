"""Noise suppression: recorded voices with pauses, in noises that are made; and that not a byte is lost."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.front_end.acoustics import MS, RATE_HZ, level, onsets_ms, silence, voice
from vivavoce.front_end.front_ends import webrtc
from vivavoce.front_end.microphone import Microphone, Wish

NEAR = Wish("audio/pcm", "near_field", False)
FAR = Wish("audio/pcm", "far_field", False)
PAUSE_MS = 2_500


def talk():
    """Three voices with pauses between them, and where they are."""
    parts, speaks = [silence(PAUSE_MS)], [np.zeros(PAUSE_MS * MS, bool)]
    for name in ("weather-question.wav", "austen-0880.wav", "goforward.wav"):
        parts += [voice(name), silence(PAUSE_MS)]
        speaks += [np.ones(voice(name).size, bool), np.zeros(PAUSE_MS * MS, bool)]
    return np.concatenate(parts), np.concatenate(speaks)


def noise(kind, n_samples):
    """A second of it is as loud as any other."""
    white = np.random.default_rng(4).standard_normal(n_samples)
    at = np.arange(n_samples) / RATE_HZ
    if kind == "hiss":
        return white
    if kind == "mains hum":
        return sum(np.sin(2 * np.pi * 50 * harmonic * at) / harmonic for harmonic in range(1, 20))
    hertz = np.maximum(np.fft.rfftfreq(n_samples, 1 / RATE_HZ), 80)
    rumble = np.fft.irfft(np.fft.rfft(white) / hertz, n_samples)
    blades = sum(np.sin(2 * np.pi * 110 * harmonic * at + harmonic) / harmonic for harmonic in range(1, 6))
    return rumble / rumble.std() + 0.5 * blades


def cleaned(samples, wish=NEAR):
    microphone = Microphone(wish, webrtc)
    audio = microphone.clean(samples.astype("<i2").tobytes()) + microphone.flush()
    return np.frombuffer(audio, "<i2")


def noisy(kind, decibels):
    speech, speaks = talk()
    sound = noise(kind, speech.size)
    sound *= 10 ** ((level(speech[speaks]) - decibels - level(sound)) / 20)
    return speech, speaks, np.clip(speech + sound, -32768, 32767).astype(np.int16)


def loudness_of(samples):
    """In decibels, for each 20 ms."""
    frames = samples[: samples.size // (20 * MS) * 20 * MS].reshape(-1, 20 * MS).astype(np.float64)
    return 10 * np.log10((frames**2).mean(axis=1) + 1)


@pytest.mark.parametrize("kind", ["hiss", "mains hum", "fan"])
def test_noise_goes_and_speech_stays(kind):
    speech, speaks, mixed = noisy(kind, 10)
    clean = cleaned(mixed)
    quiet = ~speaks
    quiet[: 1_500 * MS] = False  # It listens for a second to know the noise.
    gained = (level(clean[speaks]) - level(clean[quiet])) - (level(mixed[speaks]) - level(mixed[quiet]))
    assert gained > 9  # measured 12 to 16
    assert abs(level(clean[speaks]) - level(speech[speaks])) < 1.5
    loud = loudness_of(speech) > 40
    assert np.corrcoef(loudness_of(speech)[loud], loudness_of(clean)[loud])[0, 1] > 0.85


@pytest.mark.parametrize("kind", ["hiss", "mains hum", "fan"])
def test_turns_begin_where_they_began_without_noise(kind):
    speech, _, mixed = noisy(kind, 5)
    assert onsets_ms(cleaned(mixed)) == pytest.approx(onsets_ms(speech), abs=130)


def test_noise_alone_is_no_turn_and_much_quieter():
    for kind in ("hiss", "mains hum", "fan"):
        alone = (noise(kind, 6 * RATE_HZ) / noise(kind, RATE_HZ).std() * 2_000).clip(-32768, 32767).astype(np.int16)
        clean = cleaned(alone)
        assert onsets_ms(clean) == []
        assert level(clean[2 * RATE_HZ :]) < level(alone[2 * RATE_HZ :]) - 10


def test_a_clean_voice_is_hardly_changed_and_not_late():
    speech, speaks = talk()
    clean = cleaned(speech)
    assert clean.size == speech.size
    assert abs(level(clean[speaks]) - level(speech[speaks])) < 1
    assert np.corrcoef(loudness_of(speech), loudness_of(clean))[0, 1] > 0.97
    spectrum = np.fft.rfft(clean.astype(float), 2 * clean.size) * np.conj(np.fft.rfft(speech.astype(float), 2 * clean.size))
    late_samples = int(np.argmax(np.fft.irfft(spectrum)[: 50 * MS]))
    assert late_samples <= 10 * MS  # measured 7.25 ms


def test_a_voice_from_afar_is_raised_and_the_background_hardly():
    speech, speaks = talk()
    afar = (speech * 0.05).astype(np.int16)
    raised = cleaned(afar, FAR)
    last = speaks.copy()
    last[: last.size // 2] = False
    assert level(raised[last]) > level(afar[last]) + 10
    assert abs(level(cleaned(afar)[last]) - level(afar[last])) < 2
    hiss = (np.random.default_rng(1).standard_normal(6 * RATE_HZ) * 100).astype(np.int16)
    assert level(cleaned(hiss, FAR)[2 * RATE_HZ :]) < level(hiss) + 3


# --- bytes ---


class Negative:
    """A canceller of which one can see what it took. Breaks at a frame, if it shall."""

    def __init__(self, breaks_at=-1):
        self.left = breaks_at

    def process(self, near, far):
        self.left -= 1
        if self.left == -1:
            raise RuntimeError("an RtcError occurred")
        return ~near


def negated(audio):
    return bytes(~value & 0xFF for value in audio)


@given(
    st.lists(st.binary(max_size=1_500), max_size=8),
    st.sampled_from(["audio/pcm", "audio/pcmu", "audio/pcma"]),
    st.integers(0, 8),
)
@settings(deadline=None, max_examples=100)
def test_as_many_bytes_come_out_as_went_in_and_in_their_order(chunks, encoding, flush_after):
    microphone, out = Microphone(Wish(encoding, "near_field", False), lambda wish: Negative()), []
    for number, chunk in enumerate(chunks):
        out.append(microphone.clean(chunk))
        if number == flush_after:
            out.append(microphone.flush())
            assert not microphone.has_rest
            assert sum(map(len, out)) == sum(map(len, chunks[: number + 1]))
    out.append(microphone.flush())
    audio, whole = b"".join(out), b"".join(chunks)
    assert len(audio) == len(whole)
    if encoding == "audio/pcm" and len(whole) % 2 == 0 and flush_after >= len(chunks):
        assert audio == negated(whole)


def test_when_the_library_breaks_the_audio_passes_as_it_is_and_the_log_says_so_once(caplog):
    microphone = Microphone(NEAR, lambda wish: Negative(breaks_at=2))
    audio = bytes(range(240)) * 9  # Four frames and a half.
    with caplog.at_level(logging.ERROR, logger="vivavoce.front_end"):
        out = [microphone.clean(audio), microphone.clean(audio), microphone.flush()]
    assert b"".join(out) == negated(audio[:960]) + audio[960:] + audio
    assert [record.getMessage() for record in caplog.records] == ["The audio of a session is not cleaned from here on."]


def test_when_the_library_cannot_be_loaded_the_audio_passes_too(caplog):
    def broken(wish):
        raise ImportError("liblivekit_ffi.so: cannot open shared object file")

    microphone = Microphone(NEAR, broken)
    assert microphone.clean(bytes(1000)) + microphone.flush() == bytes(1000)
    assert "not cleaned" in caplog.text
