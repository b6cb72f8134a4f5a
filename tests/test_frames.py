"""WebSocket framing against RFC 6455, and against another implementation of it."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from vivavoce.transports import frames
from vivavoce.transports.frames import Binary, Closing, FrameError, FrameReader, Message, Oversized, Ping, Pong, Text

MASK = b"\x01\x02\x03\x04"


def masked(opcode: int, payload: bytes, fin: bool = True, mask: bytes = MASK) -> bytes:
    """A client's frame."""
    length = len(payload)
    first = (0x80 if fin else 0) | opcode
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, 0xFE, length)
    else:
        head = struct.pack("!BBQ", first, 0xFF, length)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def read(data: bytes, max_bytes: int = 10**6, step: int | None = None) -> list[Message]:
    reader = FrameReader(max_bytes)
    messages = []
    for at in range(0, len(data), step or len(data) or 1):
        reader.feed(data[at : at + (step or len(data))])
        while (message := reader.next()) is not None:
            messages.append(message)
    return messages


def plain(messages: list[Message]) -> list[object]:
    return [b"".join(message.pieces) if isinstance(message, Text) else message for message in messages]


def test_every_length_form() -> None:
    for length in (0, 1, 125, 126, 65535, 65536):
        payload = bytes(index % 251 for index in range(length))
        assert plain(read(masked(frames.TEXT, payload))) == [payload]


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([frames.TEXT, frames.BINARY]), st.lists(st.binary(max_size=300), min_size=1, max_size=4)),
        max_size=5,
    ),
    mask=st.binary(min_size=4, max_size=4),
    step=st.integers(1, 400),
)
def test_any_fragmentation_in_any_cuts_gives_the_same_messages(
    messages: list[tuple[int, list[bytes]]], mask: bytes, step: int
) -> None:
    stream, expected = b"", []
    for opcode, parts in messages:
        for index, part in enumerate(parts):
            stream += masked(opcode if index == 0 else 0, part, index == len(parts) - 1, mask)
            stream += masked(frames.PING, b"between", mask=mask)
            expected.append(Ping(b"between"))
        expected.insert(len(expected) - 1, b"".join(parts) if opcode == frames.TEXT else Binary())
    assert plain(read(stream, step=step)) == expected


@given(opcode=st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]), payload=st.binary(max_size=125))
def test_frames_of_the_websockets_package_are_understood(opcode: Opcode, payload: bytes) -> None:
    [message] = read(Frame(opcode, payload).serialize(mask=True))
    expected = {Opcode.TEXT: payload, Opcode.BINARY: Binary(), Opcode.PING: Ping(payload), Opcode.PONG: Pong()}
    assert plain([message]) == [expected[opcode]]


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_the_websockets_package_understands_ours(length: int) -> None:
    stream = StreamReader()
    stream.feed_data(frames.frame(frames.TEXT, b"x" * length))
    parsing = Frame.parse(stream.read_exact, mask=False)
    with pytest.raises(StopIteration) as result:
        next(parsing)
    assert result.value.value == Frame(Opcode.TEXT, b"x" * length)


def test_a_long_reason_is_cut_between_characters() -> None:
    parsed = Close.parse(frames.close_frame(1008, "ü" * 200)[2:])
    assert (parsed.code, set(parsed.reason), len(parsed.reason)) == (1008, {"ü"}, 61)


def test_closing_frames() -> None:
    assert read(masked(frames.CLOSE, b"")) == [Closing(1005, "")]
    assert read(masked(frames.CLOSE, struct.pack("!H", 4000) + "später".encode())) == [Closing(4000, "später")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(frames.TEXT, b"x")[:1] + b"\x01x" + b"....", 1002),  # not masked
        (bytes([0xC1]) + masked(frames.TEXT, b"x")[1:], 1002),  # a reserved bit
        (masked(0x3, b""), 1002),  # an opcode that is not there
        (masked(frames.CONTINUATION, b"x"), 1002),
        (masked(frames.TEXT, b"x", fin=False) + masked(frames.TEXT, b"y"), 1002),
        (masked(frames.PING, b"x", fin=False), 1002),
        (masked(frames.PING, b"x" * 126), 1002),
        (masked(frames.CLOSE, b"x"), 1002),
        (masked(frames.CLOSE, struct.pack("!H", 1005)), 1002),
        (masked(frames.CLOSE, struct.pack("!H", 999)), 1002),
        (masked(frames.CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    ],
)
def test_what_breaks_the_protocol_fails(data: bytes, code: int) -> None:
    with pytest.raises(FrameError) as error:
        read(data)
    assert error.value.code == code


@pytest.mark.parametrize("opcode", [frames.TEXT, frames.BINARY])
def test_a_message_above_the_limit_is_reported_once_and_skipped(opcode: int) -> None:
    stream = masked(opcode, b"x" * 60, fin=False) + masked(0, b"x" * 60, fin=False) + masked(0, b"x" * 60)
    stream += masked(frames.TEXT, b"next")
    for step in (1, 50, 1000):
        assert plain(read(stream, max_bytes=100, step=step)) == [Oversized(), b"next"]
    assert plain(read(masked(frames.TEXT, b"x" * 100), max_bytes=100)) == [b"x" * 100]


def test_a_message_that_comes_byte_by_byte_costs_no_more_memory() -> None:
    [message] = read(masked(frames.TEXT, b"x" * 200_000), step=7)
    assert isinstance(message, Text)
    assert len(message.pieces) <= 4
    assert b"".join(message.pieces) == b"x" * 200_000


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_give_messages_or_a_frame_error(data: bytes, step: int) -> None:
    with contextlib.suppress(FrameError):
        read(data, max_bytes=1000, step=step)
