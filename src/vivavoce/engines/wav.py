"""WAV files: made for upload, read from uploads and from servers that send them. PCM16 inside, mono. Pure."""

from __future__ import annotations

import math
import struct
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ, Samples, g711_decode

ENDLESS_BYTES: Final = 0xFFFFFFFF
"""What a header says where the length is not known yet, as `ffmpeg` and the hosted API write it."""

_LEAST_COMMON_HZ: Final = 75
"""What 11,025 Hz and its multiples have in common with 24,000 Hz; the multiples of 8,000 have more."""
_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


class WavHead(Struct, frozen=True):
    """What stands before the samples."""

    encoding: int
    channels: int
    rate_hz: int
    sample_bytes: int
    start: int
    """Index of the first sample's first byte."""
    length_bytes: int
    """As the header says; what is really there may be less."""


def wav_header(rate_hz: int, length_bytes: int | None = None) -> bytes:
    """The 44 bytes before mono PCM16. Without a length, for a stream that has not ended."""
    data_bytes = ENDLESS_BYTES if length_bytes is None else length_bytes
    riff_bytes = min(ENDLESS_BYTES, data_bytes + 36)
    form = struct.pack("<HHIIHH", _PCM, 1, rate_hz, rate_hz * 2, 2, 16)
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, form, b"data", data_bytes)


def read_head(data: bytes) -> WavHead | None:
    """The head of a WAV file, or `None` where `data` ends before its samples. Raises `ValueError` if it is no WAV."""
    if len(data) < 12:
        return None
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("not a WAV file")
    at, form = 12, b""
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            return _head(form, at + 8, size)
        if name == b"fmt ":
            form = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return None


def read_wav(data: bytes) -> tuple[Samples, int]:
    """A whole WAV file as mono 16-bit samples, and its rate. Integer, float and G.711 samples; channels are averaged.

    Raises `ValueError` with a reason for people.
    """
    head = read_head(data)
    if head is None:
        raise ValueError("a WAV file without samples")
    frame_bytes = head.sample_bytes * head.channels
    sound = memoryview(data)[head.start :]
    if 0 < head.length_bytes < len(sound):
        sound = sound[: head.length_bytes]
    samples = _samples(bytes(sound[: len(sound) - len(sound) % frame_bytes]), head)
    mixed = samples.reshape(-1, head.channels).mean(axis=1)
    return np.clip(np.rint(mixed), -(2**15), 2**15 - 1).astype(np.int16), head.rate_hz


def is_usual(rate_hz: int) -> bool:
    """A rate that recorders use. Of others, the way to 24,000 Hz may take gigabytes of filter: 44,101 Hz would."""
    return 4_000 <= rate_hz <= 192_000 and math.gcd(rate_hz, SAMPLE_HZ) >= _LEAST_COMMON_HZ


def _head(form: bytes, start: int, length_bytes: int) -> WavHead:
    if len(form) < 16:
        raise ValueError("a WAV file without a format")
    encoding, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if encoding == _EXTENSIBLE and len(form) >= 26:
        encoding = int.from_bytes(form[24:26], "little")
    if not (0 < channels <= 8 and bits in (8, 16, 24, 32, 64)):
        raise ValueError("a WAV file with a broken header")
    if not is_usual(rate_hz):
        raise ValueError(f"a WAV file at {rate_hz} Hz, an unusual rate")
    return WavHead(encoding, channels, rate_hz, bits // 8, start, length_bytes)


def _samples(sound: bytes, head: WavHead) -> NDArray[np.int16] | NDArray[np.float64]:
    """The samples at the scale of 16 bits, channels still interleaved."""
    match head.encoding, head.sample_bytes:
        case (1, 2):
            return np.frombuffer(sound, "<i2").astype(np.int16, copy=False)
        case (1, 1):
            return (np.frombuffer(sound, np.uint8).astype(np.float64) - 128) * 2**8
        case (1, 3):
            wide = np.zeros((len(sound) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(sound, np.uint8).reshape(-1, 3)
            return wide.view("<i4").ravel().astype(np.float64) / 2**16
        case (1, 4):
            return np.frombuffer(sound, "<i4").astype(np.float64) / 2**16
        case (3, 4 | 8):
            return np.nan_to_num(np.frombuffer(sound, f"<f{head.sample_bytes}").astype(np.float64)) * 2**15
        case (6 | 7, 1):
            return g711_decode(sound, "audio/pcmu" if head.encoding == _ULAW else "audio/pcma")
    raise ValueError(f"a WAV file in an encoding that is not known here (format {head.encoding})")
