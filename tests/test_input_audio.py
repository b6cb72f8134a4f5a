"""The input audio buffer against the plainest one there could be: all bytes in one piece."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audio import bytes_to_samples, samples_to_bytes
from vivavoce.protocol.objects import PCM, PCMU
from vivavoce.session.input_audio import LARGEST_PIECE_BYTES, InputAudio

LENGTHS = st.one_of(st.integers(0, 40), st.integers(0, 3_000), st.integers(LARGEST_PIECE_BYTES - 3, 3 * LARGEST_PIECE_BYTES))
PLACES = st.floats(-0.1, 1.1)
STEPS = st.one_of(
    st.tuples(st.just("append"), LENGTHS),
    st.tuples(st.sampled_from(["take", "trim", "since", "clear"]), PLACES),
    st.tuples(st.just("between"), st.tuples(PLACES, PLACES)),
)


class Plain:
    """What `InputAudio` says it does."""

    def __init__(self, format):
        self.encoding = format.type
        self.data = b""
        self.start_samples = 0

    @property
    def end_samples(self):
        return self.start_samples + bytes_to_samples(len(self.data), self.encoding)

    def place(self, share):
        """A position inside the buffer, or a little outside."""
        return self.start_samples + int(share * (self.end_samples - self.start_samples))

    def offset(self, position_samples):
        inside = min(max(position_samples, self.start_samples), self.end_samples)
        return samples_to_bytes(inside - self.start_samples, self.encoding)

    def between(self, start_samples, end_samples):
        return self.data[self.offset(start_samples) : self.offset(end_samples)]

    def cut(self, position_samples):
        gone, self.data = self.data[: self.offset(position_samples)], self.data[self.offset(position_samples) :]
        self.start_samples += bytes_to_samples(len(gone), self.encoding)
        return gone


@given(steps=st.lists(STEPS, max_size=25), format=st.sampled_from([PCM, PCMU]))
@settings(max_examples=200, deadline=None)
def test_the_buffer_is_what_one_piece_would_be(steps, format):
    buffer, plain, said = InputAudio(format), Plain(format), 0
    for step, at in steps:
        if step == "append":
            audio = bytes((said + n) % 251 for n in range(at))
            said += at
            buffer.append(audio)
            plain.data += audio
        elif step == "take":
            assert buffer.take(plain.place(at)) == plain.cut(plain.place(at))
        elif step == "trim":
            buffer.trim(plain.place(at))
            plain.cut(plain.place(at))
        elif step == "since":
            start = min(max(plain.place(at), plain.start_samples), plain.end_samples)
            assert buffer.since(start) == plain.between(start, plain.end_samples)
        elif step == "between":
            first, last = (plain.place(share) for share in at)
            assert buffer.between(first, last) == plain.between(first, last)
        else:
            buffer.clear()
            plain.start_samples, plain.data = plain.end_samples, b""
        assert (buffer.start_samples, buffer.end_samples) == (plain.start_samples, plain.end_samples)
        assert buffer.n_bytes == len(plain.data)
    assert buffer.between(buffer.start_samples, buffer.end_samples) == plain.between(plain.start_samples, plain.end_samples)


def test_what_came_last_is_not_copied():
    buffer, audio = InputAudio(PCM), bytes(960)
    buffer.append(bytes(960))
    buffer.append(audio)
    assert buffer.since(480) is audio


@pytest.mark.parametrize("start", [b"", b"\1"])
def test_half_a_sample_waits_for_its_other_half(start):
    buffer = InputAudio(PCM)
    buffer.append(start)
    buffer.append(bytes(600) + b"\2")
    buffer.append(bytes(959))
    whole = start + bytes(600) + b"\2" + bytes(959)
    whole = whole[: len(whole) // 2 * 2]
    assert buffer.since(300) == whole[600:]
    assert buffer.between(0, buffer.end_samples) == whole


def test_audio_byte_by_byte_takes_few_pieces():
    buffer = InputAudio(PCM)
    for _ in range(20_000):
        buffer.append(b"\0")
    assert len(buffer._pieces) < 45
    assert buffer.take(10_000) == bytes(20_000)
