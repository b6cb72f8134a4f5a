"""Recordings in every form that recorders write become mono samples at 24,000 Hz."""

from __future__ import annotations

import io
import struct
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from vivavoce.audio import SAMPLE_HZ, g711_encode
from vivavoce.client.errors import UsageError
from vivavoce.client.recording import Recording, read_recording, resampled, speech_end_seconds, write_wav

AUDIO = Path(__file__).parents[2] / "../shared/audio"


def tone(hz: float, rate_hz: int, seconds: float = 0.5, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)


def wav(format: int, bits: int, sound: bytes, *, rate_hz: int = 24_000, channels: int = 1, extra: bytes = b"") -> bytes:
    """A WAV file, byte by byte."""
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", format, channels, rate_hz, rate_hz * frame, frame, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


WAVE = tone(440, 24_000)
EXACT = np.rint(WAVE * 2**15).astype(np.int16)
PACKED_24 = (np.rint(WAVE * 2**23).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]).tobytes()
EXTENSIBLE = struct.pack("<HHIH", 22, 16, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")

FORMATS = {
    "8 bits": (wav(1, 8, np.rint(WAVE * 2**7 + 128).astype(np.uint8).tobytes()), 2**8),
    "16 bits": (wav(1, 16, EXACT.astype("<i2").tobytes()), 0),
    "24 bits": (wav(1, 24, PACKED_24), 1),
    "32 bits": (wav(1, 32, np.rint(WAVE * 2**31).astype("<i4").tobytes()), 1),
    "floats": (wav(3, 32, WAVE.astype("<f4").tobytes()), 1),
    "doubles": (wav(3, 64, WAVE.astype("<f8").tobytes()), 1),
    "extensible": (wav(0xFFFE, 16, EXACT.astype("<i2").tobytes(), extra=EXTENSIBLE), 0),
    "µ-law": (wav(7, 8, g711_encode(EXACT, "audio/pcmu")), 2**9),
    "A-law": (wav(6, 8, g711_encode(EXACT, "audio/pcma")), 2**9),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_width_is_the_same_sound(name: str, tmp_path: Path) -> None:
    data, tolerance = FORMATS[name]
    (tmp_path / "a.wav").write_bytes(data)
    recording = read_recording(str(tmp_path / "a.wav"))
    assert recording.samples.dtype == np.int16
    assert np.abs(recording.samples.astype(int) - EXACT).max() <= tolerance


def test_channels_are_mixed(tmp_path: Path) -> None:
    both = np.stack([EXACT, np.zeros_like(EXACT)], axis=1)
    (tmp_path / "a.wav").write_bytes(wav(1, 16, both.astype("<i2").tobytes(), channels=2))
    recording = read_recording(str(tmp_path / "a.wav"))
    assert recording.channels == 2
    assert np.abs(recording.samples.astype(int) - EXACT / 2).max() <= 1


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF], ids=["no length", "no end"])
def test_a_recorder_that_was_piped_never_learned_the_length(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(FORMATS["16 bits"][0])
    data[40:44] = struct.pack("<I", size)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(data))))
    recording = read_recording("-")
    assert recording.name == "standard input"
    assert np.array_equal(recording.samples, EXACT)


def test_flac_by_soundfile() -> None:
    recording = read_recording(str(AUDIO / "jfk.flac"))
    assert (recording.source_hz, recording.channels) == (44_100, 2)
    assert recording.seconds == pytest.approx(11.0, abs=0.01)


def test_flac_without_soundfile_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UsageError, match="pip install soundfile"):
        read_recording(str(AUDIO / "jfk.flac"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF\x04\0\0\0WAVE", "without audio"),
        (wav(1, 16, b""), "holds no audio"),
        (wav(1, 16, b"\0\0", rate_hz=0), "broken header"),
        (wav(85, 16, b"\0\0"), "format 85"),
        (b"not a recording", "is no recording"),
    ],
)
def test_what_is_no_recording_is_said(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_recording(str(tmp_path / "a.wav"))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_a_tone(rate_hz: int) -> None:
    heard = resampled(tone(1000, rate_hz, 1.0), rate_hz, SAMPLE_HZ)
    wanted = tone(1000, SAMPLE_HZ, 1.0)
    assert heard.size == wanted.size
    middle = slice(1000, -1000)
    noise = heard[middle] - wanted[middle]
    assert 10 * np.log10((wanted[middle] ** 2).mean() / (noise**2).mean()) > 90


def test_resampling_lets_nothing_fold_back() -> None:
    folded = resampled(tone(12_600, 48_000), 48_000, SAMPLE_HZ)[1000:-1000]
    assert 10 * np.log10((folded**2).mean() / 0.125) < -80


def test_loudness_finds_the_end_of_speech() -> None:
    samples = np.concatenate([tone(300, SAMPLE_HZ, 1.0), tone(300, SAMPLE_HZ, 1.0, amplitude=0.005)])
    recording = Recording("a", np.rint(samples * 2**15).astype(np.int16), SAMPLE_HZ, 1)
    assert speech_end_seconds(recording) == pytest.approx(1.0, abs=0.011)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", EXACT, 8_000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 1, 2)
        assert file.readframes(EXACT.size) == EXACT.tobytes()


def test_a_folder_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot write"):
        write_wav(tmp_path / "none" / "a.wav", EXACT, 8_000)
