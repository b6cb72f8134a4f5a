"""Recordings: files to samples at 24,000 Hz, and samples to WAV files.

WAV is read here, in any rate, number of channels and sample width. Everything else (FLAC, Ogg, MP3) is left to the
`soundfile` package where it is installed.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ, Samples, g711_decode
from vivavoce.client.errors import UsageError

Wave = NDArray[np.float64]
"""Samples between -1 and 1."""


class Recording(Struct, frozen=True):
    """Speech to send."""

    name: str
    """For people: the file's name without folders."""
    samples: Samples
    """Mono, 24,000 Hz."""
    source_hz: int
    channels: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples.size / SAMPLE_HZ


def read_recording(path: str) -> Recording:
    """The recording in a file; `-` is a WAV on standard input. Raises `UsageError`."""
    name = "standard input" if path == "-" else Path(path).name
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    channels, rate_hz = _parsed_wav(data, name) if data[:4] == b"RIFF" else _read_with_soundfile(data, name)
    if not channels.size:
        raise UsageError(f"{name} holds no audio.")
    mono = resampled(channels.mean(axis=1), rate_hz, SAMPLE_HZ)
    samples = np.clip(np.rint(mono * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return Recording(name, samples, rate_hz, channels.shape[1])


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """Mono samples to a 16-bit WAV file. Raises `UsageError`."""
    try:
        with path.open("wb") as target, wave.open(target, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(samples.astype("<i2", copy=False).tobytes())
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from None


# --- WAV ---

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


def _parsed_wav(data: bytes, name: str) -> tuple[Wave, int]:
    """A WAV file's frames, shape (frames, channels), and its rate.

    The standard library's `wave` knows neither floats nor the "extensible" header that most recorders write.
    """
    format_chunk = sound = None
    for chunk_id, chunk in _chunks(data):
        if chunk_id == b"fmt " and len(chunk) >= 16:
            format_chunk = chunk
        elif chunk_id == b"data":
            sound = chunk
    if format_chunk is None or sound is None:
        raise UsageError(f"{name} is a WAV file without audio in it.")
    encoding, channels, rate_hz, _, frame_bytes, bits = struct.unpack("<HHIIHH", format_chunk[:16])
    if encoding == _EXTENSIBLE and len(format_chunk) >= 26:
        encoding = int.from_bytes(format_chunk[24:26], "little")
    if not (channels and rate_hz and frame_bytes and bits):
        raise UsageError(f"{name} is a WAV file with a broken header.")
    whole_bytes = len(sound) - len(sound) % frame_bytes
    samples = _wave_samples(sound[:whole_bytes], encoding, frame_bytes // channels)
    if samples is None:
        raise UsageError(f"{name} is a WAV file in an encoding that is not known here (format {encoding}, {bits} bits).")
    return samples.reshape(-1, channels), rate_hz


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a RIFF file. One that says it is longer than the file (a recorder that was piped) is what is there."""
    at = 12
    while at + 8 <= len(data):
        chunk_id, size = struct.unpack_from("<4sI", data, at)
        if chunk_id == b"data" and size == 0:
            size = len(data)
        yield chunk_id, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _wave_samples(sound: bytes, encoding: int, sample_bytes: int) -> Wave | None:
    if encoding == _PCM:
        return _integer_samples(sound, sample_bytes)
    if encoding == _FLOAT and sample_bytes in (4, 8):
        floats: Wave = np.frombuffer(sound, f"<f{sample_bytes}").astype(np.float64)
        return floats
    if encoding == _ULAW and sample_bytes == 1:
        return g711_decode(sound, "audio/pcmu") / 2**15
    if encoding == _ALAW and sample_bytes == 1:
        return g711_decode(sound, "audio/pcma") / 2**15
    return None


def _integer_samples(sound: bytes, sample_bytes: int) -> Wave | None:
    """Whole-number samples: 8 bits are unsigned, more are signed, 24 bits come packed."""
    if sample_bytes == 1:
        return (np.frombuffer(sound, np.uint8) - 128.0) / 2**7
    if sample_bytes == 2:
        return np.frombuffer(sound, "<i2") / 2**15
    if sample_bytes == 3:
        low, middle, high = np.frombuffer(sound, np.uint8).reshape(-1, 3).T.astype(np.int32)
        value: NDArray[np.int32] = low + (middle << 8) + (high.astype(np.int8).astype(np.int32) << 16)
        return value / 2**23
    if sample_bytes == 4:
        return np.frombuffer(sound, "<i4") / 2**31
    return None


# --- everything else ---


def _read_with_soundfile(data: bytes, name: str) -> tuple[Wave, int]:
    try:
        import soundfile  # type: ignore[import-untyped,unused-ignore]
    except (ImportError, OSError):
        message = f"{name} is not a WAV file. FLAC, Ogg and MP3 need the soundfile package: pip install soundfile"
        raise UsageError(message) from None
    try:
        frames, rate_hz = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    except soundfile.LibsndfileError:
        raise UsageError(f"{name} is no recording: neither WAV nor anything that soundfile reads.") from None
    return frames, int(rate_hz)


# --- sample rates ---

ZERO_CROSSINGS: Final = 64
"""How far the filter reaches to either side."""
KAISER_BETA: Final = 8.6
"""Of the filter's window: 86 dB between what passes and what does not."""
PASS: Final = 0.96
"""Where the filter's slope is centred, as a share of the lower Nyquist frequency: nothing folds back below it."""


def resampled(samples: Wave, from_hz: int, to_hz: int) -> Wave:
    """The same sound at another rate, whatever the ratio; `n` samples make `ceil(n * to_hz / from_hz)`.

    A windowed sinc over the whole recording. `audio.Resampler` is for streams: its filter is short and its rates are few.
    """
    if from_hz == to_hz:
        return samples
    divisor = math.gcd(from_hz, to_hz)
    step, made = from_hz // divisor, to_hz // divisor
    cutoff = PASS * min(1.0, to_hz / from_hz)
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + step)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)  # windows[i] begins `reach` before sample i
    out = np.empty(math.ceil(samples.size * made / step))
    for phase in range(min(made, out.size)):  # outputs `made` apart read the input at the same fraction of a sample
        whole, part = divmod(phase * step, made)
        line = out[phase::made]
        line[:] = windows[whole + 1 :: step][: line.size] @ _taps(part / made, reach, cutoff)
    return out


def _taps(fraction: float, reach: int, cutoff: float) -> Wave:
    """The filter for an output that stands `fraction` of a sample after an input sample."""
    distance = np.arange(-reach + 1, reach + 1) - fraction
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(1 - (distance / reach) ** 2, 0)))
    taps = np.sinc(distance * cutoff) * window
    normal: Wave = taps / taps.sum()  # every phase alike, or a constant input would whistle
    return normal


# --- where speech ends ---

_FRAME_SAMPLES: Final = SAMPLE_HZ // 100
_BELOW_PEAK_DB: Final = 30.0


def speech_end_seconds(recording: Recording) -> float:
    """Where the speech ends, by loudness alone: the last 10 ms that come within 30 dB of the loudest."""
    frames = recording.samples[: recording.samples.size // _FRAME_SAMPLES * _FRAME_SAMPLES].astype(np.float64)
    power = (frames.reshape(-1, _FRAME_SAMPLES) ** 2).mean(axis=1)
    if not power.size or not power.max():
        return recording.seconds
    loud = np.flatnonzero(power >= power.max() / 10 ** (_BELOW_PEAK_DB / 10))
    return float((loud[-1] + 1) * _FRAME_SAMPLES / SAMPLE_HZ)
