"""The process that recognises one turn with PocketSphinx. `python -m` this is its fork server.

    Sound ─▶ 16 kHz ─▶ voice activity ─▶ segments, cut at pauses ─▶ decoder ─▶ Words

A segment is decoded while it is spoken. What decides over its words more than anything else is the cepstral mean, which
stands for the voice and the room: the model's own costs twice the errors of the segment's. So decoding begins once there is
a second of it, with the mean of that second, and begins anew, with a better mean, at 2.5 s. A segment that falls
silent before its first second is decoded in the silence.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio import Decoder as AudioDecoder
from vivavoce.engines.fork_server import serve
from vivavoce.engines.pocketsphinx_messages import Done, Finish, Sound, Words, encode, messages_for_process
from vivavoce.protocol.objects import LogProb

RATE_HZ: Final = 16_000
SAMPLE_BYTES: Final = 2
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * SAMPLE_BYTES
SECOND_BYTES: Final = RATE_HZ * SAMPLE_BYTES
CEPSTRAL_HZ: Final = 100

PAUSE_FRAMES: Final = 400 // FRAME_MS
"""Silence that ends a segment: shorter than what ends a turn, so that the words are there when it does."""
HUSH_FRAMES: Final = 120 // FRAME_MS
"""Silence in which a segment too short for `RESTARTS` begins to be decoded."""
LEAD_FRAMES: Final = 200 // FRAME_MS
"""Audio kept before a segment: the first consonant is no voice yet."""
ONSET_FRAMES: Final = (4, 5)
"""A segment begins where so many of so many frames are voice."""
RESTARTS: Final = tuple(int(seconds * SECOND_BYTES) for seconds in (1.0, 2.5))

PRIOR_MEAN: Final = np.array([49, 2, -1.5, 6.5, -7, 1.5, -4.5, -4, -2, -1.5, 0, -0.5, 0.5])
"""The mean of many voices, which weighs as much as `PRIOR_FRAMES` of this one."""
PRIOR_FRAMES: Final = 5
LEAST_PROBABILITY: Final = 1e-10


class Recogniser:
    """The decoders, loaded once: forked processes begin with these."""

    def __init__(self) -> None:
        import pocketsphinx

        self._decoder: Any = pocketsphinx.Decoder(loglevel="FATAL", fwdflat=False)
        self._meter: Any = pocketsphinx.Decoder(loglevel="FATAL")
        self._meter.add_jsgf_string("any", "#JSGF V1.0; grammar any; public <any> = [yes];")
        self._meter.activate_search("any")
        self.vad: Any = pocketsphinx.Vad(3, RATE_HZ, FRAME_MS / 1000)

    def begin(self, audio: bytes) -> None:
        """Begin a segment, with the mean of its first audio, and decode that."""
        self._decoder.set_cmn(self._mean(audio))
        self._decoder.start_utt()
        self._decoder.process_raw(audio)

    def go_on(self, audio: bytes) -> None:
        """Decode more of the segment."""
        self._decoder.process_raw(audio)

    def drop(self) -> None:
        """What was decoded of the segment is not wanted."""
        self._decoder.end_utt()

    def end(self) -> list[tuple[str, float]]:
        """End the segment: its words, each with its probability."""
        self._decoder.end_utt()
        if self._decoder.hyp() is None:
            return []
        spoken = (segment for segment in self._decoder.seg() if segment.word[0] not in "<[")
        return [(_presentable(segment.word), float(segment.prob)) for segment in spoken]

    def _mean(self, audio: bytes) -> str:
        self._meter.start_utt()
        self._meter.process_raw(audio, full_utt=True)
        self._meter.end_utt()
        mean = np.array([float(value) for value in self._meter.get_cmn(False).split(",")])
        frames = len(audio) * CEPSTRAL_HZ / SECOND_BYTES
        mixed: NDArray[np.float64] = (frames * mean + PRIOR_FRAMES * PRIOR_MEAN) / (frames + PRIOR_FRAMES)
        return ",".join(f"{value:g}" for value in mixed)


class Turn:
    """One turn: audio in, words out, a segment at a time."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._lead: deque[bytes] = deque(maxlen=LEAD_FRAMES + ONSET_FRAMES[1])
        self._voices: deque[bool] = deque(maxlen=ONSET_FRAMES[1])
        self._segment = bytearray()
        self._decoded_bytes: int | None = None
        """How much of the segment the decoder has heard; `None`: it has not begun."""
        self._quiet_frames = 0
        self._speaking = False

    def hear(self, frame: bytes) -> list[tuple[str, float]]:
        """The next 20 ms. The words of a segment, if it ends here."""
        voice = bool(self._recogniser.vad.is_speech(frame))
        if not self._speaking:
            self._wait_for_onset(frame, voice)
            return []
        self._segment += frame
        self._quiet_frames = 0 if voice else self._quiet_frames + 1
        if self._quiet_frames >= PAUSE_FRAMES:
            return self.end()
        self._decode()
        return []

    def end(self) -> list[tuple[str, float]]:
        """The segment is over, if one is open: its words."""
        if not self._speaking:
            return []
        self._speaking = False
        if self._decoded_bytes is None:
            self._recogniser.begin(bytes(self._segment))
        else:
            self._recogniser.go_on(bytes(self._segment[self._decoded_bytes :]))
        return self._recogniser.end()

    def _wait_for_onset(self, frame: bytes, voice: bool) -> None:
        self._lead.append(frame)
        self._voices.append(voice)
        if sum(self._voices) < ONSET_FRAMES[0]:
            return
        self._speaking = True
        self._segment = bytearray(b"".join(self._lead))
        self._decoded_bytes = None
        self._quiet_frames = 0
        self._lead.clear()
        self._voices.clear()

    def _decode(self) -> None:
        size, decoded = len(self._segment), self._decoded_bytes
        early = decoded is None and self._quiet_frames == HUSH_FRAMES
        if early or any((decoded or 0) < restart <= size for restart in RESTARTS):
            if decoded is not None:
                self._recogniser.drop()
            self._recogniser.begin(bytes(self._segment))
            self._decoded_bytes = size
        elif decoded is not None:
            self._recogniser.go_on(bytes(self._segment[decoded:]))
            self._decoded_bytes = size


def _presentable(word: str) -> str:
    """Without the number of its pronunciation: `read(2)` is `read`. The dictionary has everything in small letters."""
    plain = word.partition("(")[0]
    return "I" + plain[1:] if plain == "i" or plain.startswith("i'") else plain


def _words(found: list[tuple[str, float]], first: bool) -> Words:
    """What to report of a segment. A space parts it from the one before."""
    spaced = [(word if first and index == 0 else f" {word}", probability) for index, (word, probability) in enumerate(found)]
    logprobs = tuple(
        LogProb(text, min(math.log(max(probability, LEAST_PROBABILITY)), 0.0), tuple(text.encode()))
        for text, probability in spaced
    )
    return Words("".join(text for text, _ in spaced), logprobs)


def _frames(connection: socket.socket) -> Iterator[bytes]:
    """The turn's audio in whole frames, until `Finish`; the last one may be shorter."""
    decoder: AudioDecoder | None = None
    encoding = ""
    pending = bytearray()
    for message in messages_for_process(connection):
        if isinstance(message, Sound):
            if decoder is None or message.encoding != encoding:
                decoder, encoding = AudioDecoder(message.encoding, RATE_HZ), message.encoding
            pending += decoder.feed(message.audio).tobytes()
        elif isinstance(message, Finish):
            break
        whole = len(pending) // FRAME_BYTES * FRAME_BYTES
        for start, end in pairwise(range(0, whole + 1, FRAME_BYTES)):
            yield bytes(pending[start:end])
        del pending[:whole]
    if decoder is not None:
        pending += decoder.flush().tobytes()
        pending += bytes(-len(pending) % FRAME_BYTES)
        for start, end in pairwise(range(0, len(pending) + 1, FRAME_BYTES)):
            yield bytes(pending[start:end])


def load() -> Any:
    """Load the model. What is returned recognises one turn through a socket."""
    recogniser = Recogniser()
    recogniser.begin(bytes(SECOND_BYTES // 5))  # the first utterance sets tables up: once, before the forks
    recogniser.end()

    def work(connection: socket.socket) -> None:
        turn, first = Turn(recogniser), True
        for frame in _frames(connection):
            if found := turn.hear(frame):
                connection.sendall(encode(_words(found, first)))
                first = False
        if found := turn.end():
            connection.sendall(encode(_words(found, first)))
        connection.sendall(encode(Done()))

    return work


if __name__ == "__main__":
    serve(load)
