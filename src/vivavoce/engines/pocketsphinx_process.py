"""The process that recognises one turn: `python -m` this is the fork server of `pocketsphinx`.

Sound ─▶ 16 kHz, frames of 20 ms ─▶ pocketsphinx_decoding ─▶ Words
"""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Iterator
from typing import Final

import numpy as np

from vivavoce.audio import Decoder, Samples
from vivavoce.engines.forked import Work, serve
from vivavoce.engines.pocketsphinx_decoding import FRAME_BYTES, RATE_HZ, SAMPLE_BYTES, Decoding, Turn, Word
from vivavoce.engines.pocketsphinx_messages import Begin, Done, Finish, Sound, ToProcess, Words, encode, messages_for_process
from vivavoce.protocol.objects import LogProb

LEAST_PROBABILITY: Final = 1e-30
"""Below this, a probability is given as this: its logarithm must be a number."""


def load() -> Work:
    """Load the model. What is returned recognises one turn, through a socket."""
    decoding = Decoding()
    noise = np.random.default_rng(0).integers(-1000, 1000, RATE_HZ // 2, np.int16).tobytes()
    decoding.begin(noise)  # the first segment sets up tables: once, before the forks
    decoding.end()
    return lambda connection: recognise(connection, decoding)


def recognise(connection: socket.socket, decoding: Decoding) -> None:
    """One turn, from its first message to `Done`. Raises `EOFError` when the server has hung up."""
    turn = Turn(decoding)
    hangup = select.poll()
    hangup.register(connection, 0)
    spoken = False
    for frame in frames(messages_for_process(connection)):
        if hangup.poll(0):
            raise EOFError
        if words := turn.hear(frame):
            connection.sendall(encode(report(words, after_others=spoken)))
            spoken = True
    if words := turn.end():
        connection.sendall(encode(report(words, after_others=spoken)))
    connection.sendall(encode(Done()))


def frames(messages: Iterator[ToProcess]) -> Iterator[bytes]:
    """The turn's sound at 16 kHz in frames of 20 ms, until `Finish`. How it was cut before does not matter."""
    kept = b""
    for samples in _samples(messages):
        kept += samples.astype("<i2", copy=False).tobytes()
        whole_bytes = len(kept) // FRAME_BYTES * FRAME_BYTES
        for start in range(0, whole_bytes, FRAME_BYTES):
            yield kept[start : start + FRAME_BYTES]
        kept = kept[whole_bytes:]
    if len(kept) >= SAMPLE_BYTES:
        yield kept.ljust(FRAME_BYTES, b"\0")


def _samples(messages: Iterator[ToProcess]) -> Iterator[Samples]:
    """The turn's sound at 16 kHz, until `Finish`."""
    decoder, encoding = None, ""
    for message in messages:
        match message:
            case Sound(audio, its_encoding):
                if decoder is None or its_encoding != encoding:
                    if decoder:
                        yield decoder.flush()
                    decoder, encoding = Decoder(its_encoding, RATE_HZ), its_encoding
                yield decoder.feed(audio)
            case Finish():
                break
            case Begin():
                pass
    if decoder:
        yield decoder.flush()


def report(words: list[Word], after_others: bool) -> Words:
    """A segment's words as a piece of the transcript: one space before each word but the first of all."""
    texts = [f" {word.text}" if index or after_others else word.text for index, word in enumerate(words)]
    logprobs = tuple(
        LogProb(text, min(0.0, math.log(max(word.probability, LEAST_PROBABILITY))), tuple(text.encode()))
        for text, word in zip(texts, words, strict=True)
    )
    return Words("".join(texts), logprobs)


if __name__ == "__main__":
    serve(load)
