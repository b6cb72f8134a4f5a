"""Samples and bytes: three encodings, their lengths, and the way from one sample rate to another.

A conversation's audio is mono. On the wire it has one of three encodings, named as the Realtime API names them:

    audio/pcm    16-bit signed little-endian, 24,000 Hz, 2 bytes a sample
    audio/pcmu   G.711 µ-law, 8,000 Hz, 1 byte a sample
    audio/pcma   G.711 A-law, 8,000 Hz, 1 byte a sample

Lengths and positions count samples at 24,000 Hz whatever the encoding, so a byte of G.711 counts three.

Three classes take audio in chunks of any size, and the chunking never changes a bit of what comes out: `Decoder` turns wire
bytes into samples at the rate that a model wants, `Encoder` turns PCM into wire bytes, and `Resampler` does the work below
both. Each looks 1 ms ahead and no further: that is its whole delay, and `flush` brings out the rest.

The resampler is a windowed sinc whose taps are multiples of 2⁻²⁴. A product of such a tap with a 16-bit sample, and any sum
of such products here, fits the 53 bits of a double: every sum is exact, BLAS may add in whatever order it likes, and the
output is the same bit for bit however the input was cut. That is what lets a trace replay.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Encoding: TypeAlias = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
Samples: TypeAlias = NDArray[np.int16]

SAMPLE_HZ: Final = 24_000
"""The rate of PCM on the wire, and of every `*_samples` in this project."""
G711_HZ: Final = 8_000
"""The rate of G.711 on the wire."""
PCM_SAMPLE_BYTES: Final = 2
G711_SAMPLE_BYTES: Final = 1
SAMPLES_PER_MS: Final = SAMPLE_HZ // 1000
SAMPLES_PER_G711_BYTE: Final = SAMPLE_HZ // G711_HZ // G711_SAMPLE_BYTES


# --- lengths ---


def samples_to_ms(samples: int) -> int:
    """Whole milliseconds in so many samples at 24,000 Hz, rounded down."""
    return samples // SAMPLES_PER_MS


def ms_to_samples(ms: int) -> int:
    """Samples at 24,000 Hz in so many milliseconds."""
    return ms * SAMPLES_PER_MS


def bytes_to_samples(n_bytes: int, encoding: Encoding) -> int:
    """Whole samples, counted at 24,000 Hz, that `n_bytes` of wire audio hold. Half a sample counts nothing."""
    if encoding == "audio/pcm":
        return n_bytes // PCM_SAMPLE_BYTES
    return n_bytes * SAMPLES_PER_G711_BYTE


def samples_to_bytes(samples: int, encoding: Encoding) -> int:
    """Wire bytes of the whole samples that fit into so many samples at 24,000 Hz: never more audio than asked for."""
    if encoding == "audio/pcm":
        return samples * PCM_SAMPLE_BYTES
    return samples // SAMPLES_PER_G711_BYTE


def encoding_hz(encoding: Encoding) -> int:
    """Samples a second on the wire."""
    return SAMPLE_HZ if encoding == "audio/pcm" else G711_HZ


# --- G.711 ---


def _ulaw_bytes() -> NDArray[np.uint8]:
    """The µ-law byte of each 16-bit sample, indexed by the sample read as unsigned (ITU-T G.711, table 2)."""
    sample = np.arange(2**16, dtype=np.uint16).view(np.int16).astype(np.int32)
    value = sample >> 2  # G.711 µ-law is defined on 14 bits
    magnitude = np.minimum(np.abs(value), 8158) + 33
    segment = np.frexp(magnitude.astype(np.float64))[1] - 6
    code: NDArray[np.int32] = (segment << 4) | ((magnitude >> (segment + 1)) & 0xF)
    code ^= np.where(value < 0, 0x7F, 0xFF)
    return code.astype(np.uint8)


def _alaw_bytes() -> NDArray[np.uint8]:
    """The A-law byte of each 16-bit sample, indexed by the sample read as unsigned (ITU-T G.711, table 1)."""
    sample = np.arange(2**16, dtype=np.uint16).view(np.int16).astype(np.int32)
    value = sample >> 3  # G.711 A-law is defined on 13 bits
    magnitude = np.where(value < 0, ~value, value)
    segment = np.maximum(np.frexp(magnitude.astype(np.float64))[1] - 5, 0)
    code: NDArray[np.int32] = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0xF)
    code ^= np.where(value < 0, 0x55, 0xD5)
    return code.astype(np.uint8)


def _ulaw_samples() -> Samples:
    """The 16-bit sample of each µ-law byte."""
    code = ~np.arange(256, dtype=np.int32)
    magnitude = ((((code & 0xF) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_samples() -> Samples:
    """The 16-bit sample of each A-law byte."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code >> 4) & 7
    step = (code & 0xF) << 4
    magnitude = np.where(segment == 0, step + 0x8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_TO_G711: Final = {"audio/pcmu": _ulaw_bytes(), "audio/pcma": _alaw_bytes()}
_FROM_G711: Final = {"audio/pcmu": _ulaw_samples(), "audio/pcma": _alaw_samples()}


def g711_encode(samples: Samples, encoding: Literal["audio/pcmu", "audio/pcma"]) -> bytes:
    """Compand 16-bit samples, one byte each. The rate does not change."""
    return _TO_G711[encoding][samples.view(np.uint16)].tobytes()


def g711_decode(audio: bytes, encoding: Literal["audio/pcmu", "audio/pcma"]) -> Samples:
    """Expand G.711, one 16-bit sample for each byte. The rate does not change."""
    return _FROM_G711[encoding][np.frombuffer(audio, np.uint8)]


# --- sample rates ---

HALF_WIDTH_MS: Final = 1
"""How far the filter reaches to either side. Reaching ahead is the resampler's only delay."""
KAISER_BETA: Final = 5.65
"""Of the filter's window: 60 dB between what passes and what does not."""
TAP_BITS: Final = 24
"""Taps are multiples of 2⁻²⁴: 16 bits of sample, 24 of tap and a few hundred terms stay exact in a double's 53."""
BLOCK_SAMPLES: Final = 9_600
"""Input taken at once: bounds the memory, and keeps each product below the size where BLAS would start threads."""


class _Kernel:
    """The taps that take `from_hz` to `to_hz`, as one matrix: a row of input times `taps` is a row of output.

    The rates are to each other as `step` input samples to `made` output samples. Output sample 0 of such a group stands at
    input sample 0 of it, reads `behind` samples before that one, and the group's last reads `ahead` samples after it. A row
    covers several groups, so that the product is a matrix by a matrix and not by a thin strip.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        divisor = math.gcd(from_hz, to_hz)
        self.step = from_hz // divisor
        self.made = to_hz // divisor
        half = from_hz * HALF_WIDTH_MS / 1000
        self.behind = math.ceil(half) - 1
        self.ahead = math.ceil((self.made - 1) * self.step / self.made + half) - 1
        self.groups = max(1, 24 // self.step)
        taps = self._group_taps(from_hz, to_hz, half)
        width, step, made = taps.shape[0], self.step, self.made
        self.taps = np.zeros((width + (self.groups - 1) * step, self.groups * made))
        for group in range(self.groups):
            self.taps[group * step : group * step + width, group * made : (group + 1) * made] = taps

    def _group_taps(self, from_hz: int, to_hz: int, half: float) -> NDArray[np.float64]:
        """The matrix of one group: rows are input samples, columns output samples."""
        position = np.arange(-self.behind, self.ahead + 1)[:, np.newaxis]
        distance = position - np.arange(self.made) * (self.step / self.made)  # in input samples
        window = np.i0(KAISER_BETA * np.sqrt(np.maximum(1 - (distance / half) ** 2, 0)))
        taps = np.where(np.abs(distance) < half, np.sinc(distance * min(1.0, to_hz / from_hz)) * window, 0)
        taps /= taps.sum(axis=0)  # every phase alike, or a constant input would whistle
        exact: NDArray[np.float64] = np.rint(taps * 2**TAP_BITS) / 2**TAP_BITS
        return exact


_kernel = lru_cache(maxsize=16)(_Kernel)


class Resampler:
    """16-bit samples at one rate in, the same at another rate out. Output sample k stands at second k / `to_hz`.

    Rates are whole numbers of hertz; `n` samples in make `ceil(n * to_hz / from_hz)` out once flushed.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._kernel = None if from_hz == to_hz else _kernel(from_hz, to_hz)
        self._reset()

    def _reset(self) -> None:
        """Begin anew, with silence before the first sample."""
        self._kept = np.zeros(self._kernel.behind if self._kernel else 0)
        self._pending_samples = 0

    def feed(self, samples: Samples) -> Samples:
        """Take the next samples; return those that are settled."""
        if self._kernel is None:
            return samples
        if samples.size <= BLOCK_SAMPLES:
            return self._feed_block(self._kernel, samples)
        blocks = range(0, samples.size, BLOCK_SAMPLES)
        return np.concatenate([self._feed_block(self._kernel, samples[at : at + BLOCK_SAMPLES]) for at in blocks])

    def flush(self) -> Samples:
        """Return the rest, as if silence followed, and begin anew."""
        if self._kernel is None:
            return np.empty(0, np.int16)
        owed = math.ceil(self._pending_samples * self._kernel.made / self._kernel.step)
        silence = np.zeros(self._kernel.ahead + self._kernel.step, np.int16)
        rest = self._feed_block(self._kernel, silence)[:owed]
        self._reset()
        return rest

    def _feed_block(self, kernel: _Kernel, samples: Samples) -> Samples:
        """`feed` for a block of bounded size."""
        line_samples = self._kept.size + samples.size
        groups = max(0, (line_samples - kernel.behind - kernel.ahead - 1) // kernel.step + 1)
        rows = -(-groups // kernel.groups)
        row_samples, stride_samples = kernel.taps.shape[0], kernel.groups * kernel.step
        # The last row may reach past what has come: zeros stand there, and the outputs that read them are cut off.
        line = np.zeros(max(line_samples, (rows - 1) * stride_samples + row_samples))
        line[: self._kept.size] = self._kept
        line[self._kept.size : line_samples] = samples
        self._kept = line[groups * kernel.step : line_samples].copy()
        self._pending_samples += samples.size - groups * kernel.step
        # BLAS wants rows that do not overlap, hence the copy.
        spread = np.ndarray((rows, row_samples), np.float64, line, 0, (stride_samples * line.itemsize, line.itemsize)).copy()
        made = (spread @ kernel.taps).reshape(-1)[: groups * kernel.made]
        np.rint(made, made)
        np.clip(made, -32768, 32767, made)
        return made.astype(np.int16)


class LineResampler:
    """Resamples a stretch of each of many streams in one product: a row in, a row out.

    For models that take floats: it computes in single precision. A sum near the middle of two 16-bit steps may be rounded to
    the other one than in `Resampler`; that is the only difference.

    A row holds `line_samples` of input and makes `out_samples` of output, a multiple of 48. Output sample 0 stands at the
    row's sample `behind_samples`: what is before that, and as much after the last output, is there for the filter to see.
    """

    def __init__(self, from_hz: int, to_hz: int, out_samples: int) -> None:
        kernel = _kernel(from_hz, to_hz)
        self._rows = out_samples // (kernel.groups * kernel.made)
        if self._rows * kernel.groups * kernel.made != out_samples:
            raise ValueError(f"{out_samples} is no multiple of {kernel.groups * kernel.made}")
        self._taps = kernel.taps.astype(np.float32)
        self._stride_samples = kernel.groups * kernel.step
        self.behind_samples = kernel.behind
        self.line_samples = (self._rows - 1) * self._stride_samples + kernel.taps.shape[0]

    def feed(self, lines: Samples) -> NDArray[np.float32]:
        """Take samples of shape (streams, `line_samples`); return (streams, `out_samples`), whole 16-bit steps."""
        line = lines.astype(np.float32)
        shape = (len(line), self._rows, self._taps.shape[0])
        strides = (line.strides[0], self._stride_samples * line.itemsize, line.itemsize)
        # BLAS wants rows that do not overlap: `reshape` makes the copy.
        made = np.ndarray(shape, np.float32, line, 0, strides).reshape(-1, self._taps.shape[0]) @ self._taps
        np.rint(made, made)
        np.clip(made, -32768, 32767, made)
        return made.reshape(len(line), -1)


# --- wire audio ---


class Decoder:
    """Wire bytes in, 16-bit samples at `rate_hz` out. A sample that two chunks share is joined."""

    def __init__(self, encoding: Encoding, rate_hz: int = SAMPLE_HZ) -> None:
        self._encoding = encoding
        self._resampler = Resampler(encoding_hz(encoding), rate_hz)
        self._half_sample = b""

    def feed(self, audio: bytes) -> Samples:
        """Take the next bytes, any number of them; return the samples that are settled (read-only where nothing changed)."""
        if self._encoding != "audio/pcm":
            return self._resampler.feed(g711_decode(audio, self._encoding))
        audio, self._half_sample = _whole_samples(self._half_sample + audio)
        return self._resampler.feed(np.frombuffer(audio, "<i2").astype(np.int16, copy=False))

    def flush(self) -> Samples:
        """Return the last samples, as if silence followed, drop half a sample, and begin anew."""
        self._half_sample = b""
        return self._resampler.flush()


class Encoder:
    """PCM16 little-endian at 24,000 Hz in, wire bytes out; for G.711 the rate goes down to 8,000 Hz, low-passed first.

    Meant for the event loop: 100 ms of audio cost some tens of microseconds. `n` samples in make `n` samples of PCM or
    `ceil(n / 3)` of G.711 once flushed.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._resampler = Resampler(SAMPLE_HZ, encoding_hz(encoding))
        self._half_sample = b""

    def feed(self, pcm: bytes) -> bytes:
        """Take the next bytes, any number of them; return the wire bytes that are settled, whole samples."""
        whole, self._half_sample = _whole_samples(self._half_sample + pcm)
        if self._encoding == "audio/pcm":
            return whole
        samples = np.frombuffer(whole, "<i2").astype(np.int16, copy=False)
        return g711_encode(self._resampler.feed(samples), self._encoding)

    def flush(self) -> bytes:
        """Return the last bytes, as if silence followed, drop half a sample, and begin anew."""
        self._half_sample = b""
        if self._encoding == "audio/pcm":
            return b""
        return g711_encode(self._resampler.flush(), self._encoding)


def to_pcm(audio: bytes, encoding: Encoding, rate_hz: int = SAMPLE_HZ) -> bytes:
    """All of `audio` as PCM16 little-endian at `rate_hz`. Half a sample at the end is dropped."""
    decoder = Decoder(encoding, rate_hz)
    return np.concatenate([decoder.feed(audio), decoder.flush()]).astype("<i2", copy=False).tobytes()


def _whole_samples(pcm: bytes) -> tuple[bytes, bytes]:
    """Split PCM into its whole samples and the byte that waits for its other half."""
    whole_bytes = len(pcm) - len(pcm) % PCM_SAMPLE_BYTES
    return pcm[:whole_bytes], pcm[whole_bytes:]
