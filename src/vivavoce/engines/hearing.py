"""One stretch of the user's speech, recognised once for whoever asks.

The audio may come while it is spoken (`feed`), or all at once when somebody mentions the item (`complete`), or partly the
one and partly the other: the bytes already fed are not fed again.

A draft response makes a stretch complete before its turn is over. If more is fed then, it is silence: the recording grows,
and the words stay the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from vivavoce.engine_api import Transcribe, TranscriptDelta, TranscriptDone
from vivavoce.engines.parts import Hints, Recognition, Transcriber, Transcript
from vivavoce.engines.streaming import Words, closing
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat

logger = logging.getLogger(__name__)

SLICE_BYTES: Final = 48_000
"""Long audio is fed in slices of this size (1 s of PCM), with a turn for others between any two."""


class Hearing:
    """The recognition of one stretch of speech, and what came of it. Lives on the event loop."""

    def __init__(self, transcriber: Transcriber, hints: Hints) -> None:
        self._fed_bytes = 0
        self._heard_bytes = 0
        """How much of the recording was fed, or at hand, when it was complete."""
        self._fingerprint: bytes | None = None
        """Of those bytes."""
        self.on_words: Callable[[str], None] | None = None
        """Who wants words as they come, while the stretch is fed."""
        self._deltas: list[Transcript] = []
        self._more = asyncio.Event()
        self._outcome: asyncio.Future[Transcript | EngineError] = asyncio.get_running_loop().create_future()
        self._finishing: asyncio.Task[None] | None = None
        self._recognition: Recognition | None = None
        try:
            self._recognition = transcriber.recognize(hints, self._on_delta)
        except Exception as error:
            self._fail(error)

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """More audio, as it comes. Once the stretch is complete it is silence, and only makes the recording longer."""
        self._fed_bytes += len(audio)
        if self._finishing is not None or self._recognition is None:
            return
        try:
            self._recognition.feed(audio, format)
        except Exception as error:
            self._fail(error)

    def complete(self, audio: bytes | None = None, format: AudioFormat | None = None) -> None:
        """The speech is over. `audio` is all of it, from its beginning; without it, all has been fed."""
        if self._finishing is not None or self._recognition is None:
            return
        rest = b""
        if audio is not None:
            rest = audio[self._fed_bytes :]
            self._heard_bytes, self._fingerprint = len(audio), _fingerprint(audio, len(audio))
        self._fed_bytes += len(rest)
        self._finishing = asyncio.create_task(self._finish(self._recognition, rest, format))

    def is_of(self, audio: bytes) -> bool:
        """Is this the hearing of `audio`, or can it become that? An item's id alone does not tell: ids are used again.

        Of a recording that has grown since, a failure is not the last word: it is heard anew.
        """
        if self._finishing is None:
            return True
        if len(audio) > self._fed_bytes or len(audio) < self._heard_bytes:
            return False
        if self._fingerprint is None:
            self._heard_bytes, self._fingerprint = len(audio), _fingerprint(audio, len(audio))
        if len(audio) > self._heard_bytes and self._failed:
            return False
        return self._fingerprint == _fingerprint(audio, self._heard_bytes)

    @property
    def _failed(self) -> bool:
        return self._outcome.done() and isinstance(self._outcome.result(), EngineError)

    async def deltas(self) -> AsyncIterator[Transcript]:
        """The words that will not change any more: those so far, then those that come."""
        read = 0
        while True:
            while read < len(self._deltas):
                yield self._deltas[read]
                read += 1
            if self._outcome.done():
                return
            self._more.clear()
            await self._more.wait()

    async def transcript(self) -> Transcript:
        """What was said, once that is known. Empty if it was cancelled. Raises `EngineError`."""
        outcome = await asyncio.shield(self._outcome)
        if isinstance(outcome, EngineError):
            raise EngineError(outcome.code, outcome.message)
        return outcome

    async def told(self, request: Transcribe) -> AsyncIterator[Words]:
        """The answer to `Transcribe`: words as they settle, then all of them. Raises `EngineError`."""
        sent = ""
        async with closing(self.deltas()) as deltas:
            async for delta in deltas:
                sent += delta.text
                yield TranscriptDelta(request.item_id, delta.text, delta.logprobs if request.logprobs else ())
        whole = await self.transcript()
        logprobs = whole.logprobs if request.logprobs else ()
        if whole.text.startswith(sent) and len(whole.text) > len(sent):
            yield TranscriptDelta(request.item_id, whole.text[len(sent) :], () if sent else logprobs)
        yield TranscriptDone(request.item_id, whole.text, logprobs)

    def cancel(self) -> None:
        """Nobody wants the words. Whoever waits for them gets none."""
        if self._finishing is not None:
            self._finishing.cancel()
        self._end(Transcript(""))

    async def _finish(self, recognition: Recognition, rest: bytes, format: AudioFormat | None) -> None:
        try:
            if format is not None:
                for start in range(0, len(rest), SLICE_BYTES):
                    recognition.feed(rest[start : start + SLICE_BYTES], format)
                    await asyncio.sleep(0)
            transcript = await recognition.finish()
        except Exception as error:
            self._fail(error)
        else:
            self._recognition = None  # it has let go of its decoder: nothing to cancel
            self._end(transcript)

    def _on_delta(self, delta: Transcript) -> None:
        if not self._outcome.done():
            self._deltas.append(delta)
            self._more.set()
            if self.on_words is not None and self._finishing is None:
                self.on_words(delta.text)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, EngineError):
            logger.error("the transcriber failed", exc_info=error)
            error = EngineError("transcription_failed", "The transcriber failed. The server's log says why.")
        self._end(error)

    def _end(self, outcome: Transcript | EngineError) -> None:
        if self._recognition is not None:
            self._recognition.cancel()
            self._recognition = None
        if not self._outcome.done():
            self._outcome.set_result(outcome)
        self._more.set()


def _fingerprint(audio: bytes, n_bytes: int) -> bytes:
    """Tells recordings of `n_bytes` apart without keeping them: some thousand bytes from all over them."""
    return bytes(memoryview(audio)[: n_bytes : n_bytes // 1024 + 1])
