"""The thread that recognises for all sessions, in rounds.

A round decodes one step (some 300 ms of sound, by the model) of each stream that has one, as one batch: the more sessions
speak at once, the cheaper each. A stream that has minutes to catch up on takes its turn with the others, one step a round.

    event loop   sound, end ──▶ inbox
    worker       inbox ──▶ Stream: bytes, samples ──▶ is_ready? batch ──▶ decode_streams ──▶ words ──▶ event loop
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final

from vivavoce.audio import Decoder, Encoding
from vivavoce.engines.loudness import FRAME_SAMPLES, RATE_HZ, Quiet
from vivavoce.engines.parts import Transcript
from vivavoce.engines.settled_words import SettledWords
from vivavoce.engines.sherpa_model import Recognizer
from vivavoce.protocol.objects import LogProb

BATCH_STREAMS: Final = 32
"""The most streams decoded at once: a larger batch would delay the others."""
AGREEING_GUESSES: Final = 3
"""Of a beam search. A greedy one never takes back what it wrote."""

Outcome = Transcript | Exception
Tell = Callable[[str], None]
End = Callable[[Outcome], None]


class Stream:
    """One turn. Belongs to the worker, but for `cancelled`, which anyone may set."""

    def __init__(self, phrases: tuple[str, ...], on_words: Tell, on_end: End) -> None:
        """`on_words` and `on_end` are called on the event loop that runs now."""
        self.cancelled = False
        self.in_line = False
        """It stands in the worker's line, where every stream stands at most once."""
        self.chunks: deque[bytes | None] = deque()
        """Sound; None is its end."""
        self._phrases = phrases
        self._on_words = on_words
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._decoder: Decoder | None = None
        self._quiet = Quiet()
        self._settled: SettledWords | None = None
        self._complete = False
        self.decoding: Any = None
        """The library's stream."""

    def hear(self, encoding: Encoding) -> None:
        """What is fed has this encoding, which the first chunk tells."""
        if self._decoder is None:
            self._decoder = Decoder(encoding, RATE_HZ)

    def is_ready(self, recognizer: Recognizer) -> bool:
        """Is there a step to decode? Takes only as much sound as that needs."""
        if self.decoding is None:
            self.decoding = recognizer.stream(self._phrases)
            self._settled = SettledWords(1 if recognizer.greedy else AGREEING_GUESSES)
        while not recognizer.online.is_ready(self.decoding):
            if not self.chunks:
                return False
            self._take(self.chunks.popleft(), recognizer)
        return True

    def _take(self, chunk: bytes | None, recognizer: Recognizer) -> None:
        if self._decoder is not None:
            samples = self._decoder.flush() if chunk is None else self._decoder.feed(chunk)
            self._quiet.feed(samples)
            recognizer.accept(self.decoding, samples)
        if chunk is None:
            recognizer.finish(self.decoding, self._quiet.frames * FRAME_SAMPLES)
            self._complete = True

    def report(self, recognizer: Recognizer) -> None:
        """Tell what the last step made of it."""
        assert self._settled is not None
        guess = recognizer.cased(recognizer.online.get_result(self.decoding))
        paused = self._quiet.frames * FRAME_SAMPLES >= recognizer.tail_samples
        words = self._settled.take(guess, paused=paused and recognizer.greedy)
        if words:
            self._call(self._on_words, words)

    def end(self, recognizer: Recognizer) -> None:
        """If all of it is decoded, tell so, and let go of the library's stream."""
        if not self._complete or self.decoding is None or self._settled is None:
            return
        result = recognizer.online.get_result_all(self.decoding)
        text = self._settled.finish(recognizer.cased(result.text).strip())
        self.decoding = None
        self._call(self._on_end, Transcript(text, _logprobs(result, recognizer)))

    def fail(self, error: Exception) -> None:
        """It broke."""
        self.cancelled = True
        self.decoding = None
        self._call(self._on_end, error)

    def _call(self, tell: Callable[[Any], None], what: object) -> None:
        try:
            self._loop.call_soon_threadsafe(tell, what)
        except RuntimeError:  # The loop is closed: nobody listens.
            self.cancelled = True


Arrival = tuple[Stream, Encoding | None, bytes | None] | None
"""Sound in an encoding, or the end of a turn, or None: stop."""


class Worker:
    """The thread."""

    def __init__(self, recognizer: Recognizer, inbox: SimpleQueue[Arrival]) -> None:
        self._recognizer = recognizer
        self._inbox = inbox
        self._line: deque[Stream] = deque()
        """Streams that may have a step, in the order of their turns."""

    def run(self) -> None:
        """Receive and decode until told to stop."""
        while self._receive():
            self._decode(self._batch())

    def _receive(self) -> bool:
        """Take all that has arrived; sleep only if there is nothing to decode. False: stop."""
        idle = not self._line
        while True:
            try:
                arrival = self._inbox.get(block=idle)
            except Empty:
                return True
            if arrival is None:
                return False
            idle = False
            stream, encoding, chunk = arrival
            if encoding is not None:
                stream.hear(encoding)
            stream.chunks.append(chunk)
            if not stream.in_line:
                stream.in_line = True
                self._line.append(stream)

    def _batch(self) -> list[Stream]:
        """The next streams that have a step. They go to the end of the line, the others leave it."""
        batch: list[Stream] = []
        for _ in range(len(self._line)):
            if len(batch) == BATCH_STREAMS:
                break
            stream = self._line.popleft()
            if self._has_step(stream):
                batch.append(stream)
                self._line.append(stream)
            else:
                stream.in_line = False
        return batch

    def _has_step(self, stream: Stream) -> bool:
        if stream.cancelled:
            stream.decoding = None
            stream.chunks.clear()
            return False
        try:
            if stream.is_ready(self._recognizer):
                return True
            stream.end(self._recognizer)
        except Exception as error:
            stream.fail(error)
        return False

    def _decode(self, batch: Sequence[Stream]) -> None:
        """One step of each."""
        if not batch:
            return
        try:
            self._recognizer.online.decode_streams([stream.decoding for stream in batch])
            for stream in batch:
                stream.report(self._recognizer)
        except Exception as error:
            for stream in batch:
                stream.fail(error)


def _logprobs(result: Any, recognizer: Recognizer) -> tuple[LogProb, ...]:
    """Of the tokens, each with the space before it. Kinds of models that tell none have none."""
    if len(result.ys_probs) != len(result.tokens):
        return ()
    tokens = [recognizer.cased(token) for token in result.tokens]
    pairs = zip(tokens, result.ys_probs, strict=True)
    return tuple(LogProb(token, min(0.0, float(logprob)), tuple(token.encode())) for token, logprob in pairs)
