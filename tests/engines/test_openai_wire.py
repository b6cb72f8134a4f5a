"""What the parts read and write below JSON: server-sent events and WAV files."""

from __future__ import annotations

import io
import struct
import wave
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.sse import MAX_EVENT_BYTES, EventStream
from vivavoce.engines.wav import read_head, read_wav, wav_header

STREAM = b': hi\n\ndata: one\r\n\r\nevent: x\ndata:two\ndata: more\n\n\n\nid: 7\n\ndata: {"a": "\xe4\xba\xba"}\n\ndata: last'
EVENTS = [b"one", b"two\nmore", b'{"a": "\xe4\xba\xba"}', b"last"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    stream = EventStream()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [event for start, end in pairwise(edges) for event in stream.feed(STREAM[start:end])]
    assert [*found, *stream.flush()] == EVENTS
    assert stream.flush() == []


@pytest.mark.parametrize("piece", [b"x" * 2**16, b"data: x" * 2**13 + b"\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    stream = EventStream()
    for _ in range(MAX_EVENT_BYTES // len(piece) - 1):
        assert stream.feed(piece) == []
    with pytest.raises(ValueError, match="more than"):
        stream.feed(piece * 3)


def written(samples: np.ndarray, channels: int, width: int, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(channels)
        target.setsampwidth(width)
        target.setframerate(rate_hz)
        target.writeframes(samples.tobytes())
    return file.getvalue()


RAMP = np.arange(-32_000, 32_000, 640, dtype="<i2")


def test_our_header_is_one_that_others_read() -> None:
    with wave.open(io.BytesIO(wav_header(16_000, RAMP.nbytes) + RAMP.tobytes())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(1000) == RAMP.tobytes()


def test_every_width_comes_out_alike() -> None:
    wide = RAMP.astype(np.int32) << 16
    files = [
        written(RAMP, 1, 2, 24_000),
        written(((RAMP.astype(np.int32) >> 8) + 128).astype(np.uint8), 1, 1, 24_000),
        written(wide.astype("<i4"), 1, 4, 24_000),
        written(wide.view(np.uint8).reshape(-1, 4)[:, 1:].copy(), 1, 3, 24_000),
        written(np.stack([RAMP, RAMP], axis=1), 2, 2, 24_000),
    ]
    floats = (RAMP / 2**15).astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 24_000, 96_000, 4, 32)
    files.append(b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(floats)) + floats)
    for file in files:
        samples, rate_hz = read_wav(file)
        assert rate_hz == 24_000
        assert np.abs(samples.astype(int) - RAMP).max() <= 128
    assert np.array_equal(read_wav(files[0])[0], RAMP)


def test_a_length_that_is_not_known_is_what_is_there() -> None:
    for length in (None, 0, 10**6):
        assert len(read_wav(wav_header(8_000, length) + RAMP.tobytes())[0]) == len(RAMP)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OggS" + bytes(100),
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        wav_header(0, 0),
        wav_header(44_101, 0),
        wav_header(400_000, 0),
        wav_header(16_000, 4).replace(b"\x01\x00\x01\x00", b"\x02\x00\x01\x00", 1) + bytes(4),
    ],
)
def test_what_is_no_wav_says_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        read_wav(data)


def test_the_rates_that_recorders_have_are_known() -> None:
    for rate_hz in (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000):
        assert read_wav(wav_header(rate_hz, 0))[1] == rate_hz


@given(st.integers(0, 60))
def test_a_head_that_is_cut_is_waited_for(length: int) -> None:
    data = (wav_header(16_000, RAMP.nbytes) + RAMP.tobytes())[:length]
    head = read_head(data)
    assert (head is not None) == (length >= 44)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    try:
        samples, rate_hz = read_wav(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + noise)
    except ValueError:
        return
    assert (samples.dtype, samples.ndim) == (np.int16, 1)
    assert 4_000 <= rate_hz <= 192_000
