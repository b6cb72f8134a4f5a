"""What the user says, on its way to another Realtime server, and the words that come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import numpy as np

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, Decoder
from vivavoce.engine_api import TranscriptDelta, TranscriptDone
from vivavoce.engines.realtime_line import Target
from vivavoce.engines.realtime_wire import Received
from vivavoce.engines.streaming import Words
from vivavoce.protocol.errors import EngineError

_REMEMBERED: Final = 64
"""Transcripts that nobody asked for are kept for so many items."""
_SLICE_BYTES: Final = SAMPLE_HZ * PCM_SAMPLE_BYTES


class Speech:
    """One turn, as it is passed on."""

    def __init__(self, item_id: str, epoch: int, decoder: Decoder) -> None:
        self.item_id: Final = item_id
        self.epoch: Final = epoch
        """The connection that heard its beginning: another one knows nothing of it."""
        self.heard_bytes = 0
        """As the client sent it."""
        self.sent_bytes = 0
        self._decoder = decoder

    def feed(self, audio: bytes) -> bytes:
        """More of it: the PCM to send."""
        self.heard_bytes += len(audio)
        return self._noted(self._decoder.feed(audio).astype("<i2", copy=False).tobytes())

    def flush(self) -> bytes:
        """It is over: the rest."""
        return self._noted(self._decoder.flush().astype("<i2", copy=False).tobytes())

    def whole(self, audio: bytes) -> bytes:
        """All of it but the rest, at once."""
        starts = range(0, len(audio), _SLICE_BYTES)
        return np.concatenate(
            [np.frombuffer(self.feed(audio[at : at + _SLICE_BYTES]), "<i2") for at in starts] or [np.empty(0, "<i2")]
        ).tobytes()

    def _noted(self, pcm: bytes) -> bytes:
        self.sent_bytes += len(pcm)
        return pcm


class UserWords:
    """Transcripts of the server's, by our items. They may come before anybody asks for them, or never."""

    def __init__(self, first_seconds: float, silence_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._silence_seconds = silence_seconds
        self._ours: dict[str, str] = {}
        """The server's ids of what was committed, and ours."""
        self._queues: dict[str, asyncio.Queue[Words | EngineError]] = {}

    def is_known(self, ours: str, theirs: str) -> None:
        """The server told its id of an item."""
        self._ours[theirs] = ours
        while len(self._ours) > _REMEMBERED:
            self._queues.pop(self._ours.pop(next(iter(self._ours))), None)

    def expects(self, ours: str) -> bool:
        """Words of this item have come already."""
        return ours in self._queues

    def take(self, event: Received, target: Target) -> None:
        """An event of a transcription."""
        if (ours := self._ours.get(event.item_id)) is None:
            return
        queue = self._queue(ours)
        match event.type.rpartition(".")[2]:
            case "delta" if event.delta:
                queue.put_nowait(TranscriptDelta(ours, event.delta))
            case "completed":
                queue.put_nowait(TranscriptDone(ours, event.transcript or ""))
            case "failed":
                said: dict[str, Any] = event.error if isinstance(event.error, dict) else {}
                message = " ".join(str(said.get("message") or "it does not say why.").split())[:300]
                queue.put_nowait(target.failure("upstream_failed", f"did not understand: {message}"))

    async def read(self, ours: str) -> AsyncIterator[Words]:
        """The words of an item as they come, `TranscriptDone` last. Raises `EngineError`."""
        queue = self._queue(ours)
        seconds = self._first_seconds
        try:
            while True:
                try:
                    async with asyncio.timeout(seconds):
                        words = await queue.get()
                except TimeoutError:
                    raise EngineError("upstream_timeout", "The Realtime server wrote nothing down in time.") from None
                if isinstance(words, EngineError):
                    raise EngineError(words.code, words.message)
                yield words
                if isinstance(words, TranscriptDone):
                    return
                seconds = self._silence_seconds
        finally:
            self._queues.pop(ours, None)

    def forget(self, ours: str) -> None:
        """Nobody wants the words."""
        self._queues.pop(ours, None)

    def lost(self, error: EngineError) -> None:
        """The server is gone: whoever waits gets none."""
        self._ours.clear()
        for queue in self._queues.values():
            queue.put_nowait(error)

    def _queue(self, ours: str) -> asyncio.Queue[Words | EngineError]:
        return self._queues.setdefault(ours, asyncio.Queue())
