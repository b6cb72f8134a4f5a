"""Sound in base64, in every form that servers send it."""

from base64 import b64encode

import numpy as np
import pytest

from vivavoce.audio import SAMPLE_HZ, Resampler
from vivavoce.engines.sine_voice import say
from vivavoce.engines.sound_stream import SoundStream
from vivavoce.engines.wav import ENDLESS_BYTES, wav_header

PCM = b"".join(word.pcm for word in say("one two three"))


def base64(sound: bytes) -> str:
    return b64encode(sound).decode()


def pieces(sound: bytes, size: int) -> list[bytes]:
    return [sound[at : at + size] for at in range(0, len(sound), size)]


def read(*deltas: str, **told: object) -> bytes:
    stream = SoundStream()
    return b"".join(stream.feed(delta, **told) for delta in deltas) + stream.flush()


def wav(pcm: bytes, rate_hz: int = SAMPLE_HZ, channels: int = 1, length: int | None = None) -> bytes:
    head = bytearray(wav_header(rate_hz, len(pcm) if length is None else length))
    head[22:24] = channels.to_bytes(2, "little")
    return bytes(head) + pcm


@pytest.mark.parametrize("size", [1, 2, 3, 999, 4_800, 10**6])
def test_bare_pcm_cut_anywhere(size: int) -> None:
    assert read(*(base64(piece) for piece in pieces(PCM, size))) == PCM


@pytest.mark.parametrize("size", [1, 5, 7, 4_001])
def test_base64_cut_anywhere(size: int) -> None:
    text = base64(PCM)
    assert read(*(text[at : at + size] for at in range(0, len(text), size))) == PCM


@pytest.mark.parametrize("size", [4_800, 9_998])
def test_a_wav_file_in_each_delta(size: int) -> None:
    assert read(*(base64(wav(piece)) for piece in pieces(PCM, size))) == PCM


@pytest.mark.parametrize("length", [0, ENDLESS_BYTES, len(PCM)])
@pytest.mark.parametrize("size", [1, 3, 11, 43, 44, 45, 4_801])
def test_one_wav_file_in_pieces(size: int, length: int) -> None:
    assert read(*(base64(piece) for piece in pieces(wav(PCM, length=length), size))) == PCM


def test_half_a_sample_before_a_new_file_is_dropped() -> None:
    assert read(base64(PCM[:4801]), base64(wav(PCM[4800:]))) == PCM


def test_what_stands_behind_the_samples_is_no_sound() -> None:
    assert read(base64(wav(PCM) + b"LIST\x04\x00\x00\x00abcd")) == PCM


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_the_rate_is_respected(rate_hz: int) -> None:
    """In pieces as in one; the samples are those that the resampler makes of all of it."""
    samples = np.frombuffer(PCM, "<i2").astype(np.int16)
    resampler = Resampler(rate_hz, SAMPLE_HZ)
    expected = np.concatenate([resampler.feed(samples), resampler.flush()]).tobytes()
    assert read(*(base64(wav(piece, rate_hz)) for piece in pieces(PCM, 4_800))) == expected
    assert read(*(base64(piece) for piece in pieces(PCM, 999)), rate_hz=rate_hz) == expected


def test_channels_are_mixed() -> None:
    mono = np.frombuffer(PCM, "<i2")
    stereo = np.stack([mono, mono], axis=1).tobytes()
    assert read(*(base64(wav(piece, channels=2)) for piece in pieces(stereo, 4_800))) == PCM
    assert read(*(base64(piece) for piece in pieces(stereo, 999)), channels=2) == PCM


def test_the_rate_changes_on_the_way() -> None:
    made = read(base64(wav(PCM)), base64(wav(PCM, 48_000)))
    assert made[: len(PCM)] == PCM
    assert len(made) == len(PCM) + len(PCM) // 2


@pytest.mark.parametrize(
    ("delta", "told", "complaint"),
    [
        ("!!!!", {}, "no base64"),
        (base64(b"ID3\x04 and so on"), {}, "MP3"),
        (base64(b"OggS and so on"), {}, "Ogg"),
        (base64(b"fLaC and so on"), {}, "FLAC"),
        (base64(PCM), {"format": "opus"}, "opus"),
        (base64(PCM), {"rate_hz": 24_001}, "24001 Hz"),
        (base64(PCM), {"channels": 0, "rate_hz": -1}, "-1 Hz"),
        (base64(PCM), {"channels": 99}, "99 channels"),
        (base64(wav(PCM, 24_001)), {}, "24001 Hz"),
        (base64(b"RIFF\x00\x00\x00\x00WAVEjunk\xff\xff\xff\x00" + bytes(70_000)), {}, "never ends"),
    ],
)
def test_what_is_no_sound(delta: str, told: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read(delta, **told)


def test_nothing_at_all() -> None:
    assert read() == read("") == read("", "") == b""
