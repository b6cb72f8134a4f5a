"""Recognition while one speaks, by sherpa-onnx: streaming transducers, paraformers and CTC models, from k2 and NeMo.

The words are there when the user stops: what is left to decode then is the last third of a second. All sessions share one
model and one thread, which decodes them in batches (`sherpa_worker`).

Install it with `pip install 'vivavoce[sherpa-onnx]'`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, Struct

from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.sherpa_model import Loading, Recognizer, Search
from vivavoce.engines.sherpa_worker import Arrival, Outcome, Stream, Worker
from vivavoce.engines.weights import Weights, find_weights
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat
from vivavoce.registry import read_options

_SUBJECT: Final = "The transcriber 'sherpa_onnx'"


def _weights(repository: str, variant: str, size_bytes: int, licence: str = "Apache-2.0") -> Weights:
    """Encoder and joiner of 8 bits, the decoder whole: what is loaded unless the operator wants more."""
    variant = f"epoch-99-avg-1{variant}"
    files = (f"encoder-{variant}.int8.onnx", f"decoder-{variant}.onnx", f"joiner-{variant}.int8.onnx", "tokens.txt")
    return Weights(repository=repository, files=files, size_bytes=size_bytes, licence=licence)


class Options(Struct, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.sherpa_onnx]`."""

    model: str = "en"
    """A known name (`SherpaOnnx.weights`), a repository of the hub (`owner/name`), or a folder."""
    decoding: Search = "greedy_search"
    """`modified_beam_search` weighs several texts against each other, and can be told words that are likely to come."""
    beam_size: Annotated[int, Meta(ge=1, le=64)] = 4
    hotwords_score: Annotated[float, Meta(ge=0, le=20)] = 1.5
    """How much likelier the words that it was told are, a token."""
    threads: Annotated[int, Meta(ge=1, le=64)] = 2
    provider: Literal["cpu", "cuda", "coreml"] = "cpu"
    """What computes. The wheels on PyPI are built for the processor."""
    int8: bool = True
    """Of several files for the same, those of 8 bits: smaller and faster, hardly worse."""


class SherpaOnnx:
    """A `Transcriber`."""

    weights: ClassVar[Mapping[str, Weights]] = {
        "en": _weights("csukuangfj/sherpa-onnx-streaming-zipformer-en-2023-06-26", "-chunk-16-left-128", 73_500_000),
        "en-20m": _weights("csukuangfj/sherpa-onnx-streaming-zipformer-en-20M-2023-02-17", "", 45_400_000, "see its page"),
        "zh-en": _weights("csukuangfj/sherpa-onnx-streaming-zipformer-bilingual-zh-en-2023-02-20", "", 199_000_000),
    }
    """By the name that `model` takes. Sizes are those that the hub and the documentation show, rounded."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        self._options = read_options(options or {}, Options, "cascade.sherpa_onnx")
        self._inbox: SimpleQueue[Arrival] = SimpleQueue()
        self._worker: Thread | None = None
        self._turns: set[_Turn] = set()

    async def start(self) -> None:
        """Find the weights, load them, decode once. Raises `EngineError`."""
        options = self._options
        folder = await find_weights(options.model, self.weights, _SUBJECT)
        loading = Loading(
            folder=folder,
            search=options.decoding,
            beam_size=options.beam_size,
            hotwords_score=options.hotwords_score,
            threads=options.threads,
            provider=options.provider,
            int8=options.int8,
        )
        recognizer = await asyncio.to_thread(Recognizer, loading, _SUBJECT)
        self._worker = Thread(target=Worker(recognizer, self._inbox).run, name="sherpa-onnx", daemon=True)
        self._worker.start()

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> _Turn:
        """Begin a turn. Of the hints, `phrases` count, and only with a beam search and a model that can be told them."""
        if self._worker is None:
            raise EngineError("engine_unavailable", f"{_SUBJECT} is not started.")
        turn = _Turn(self._inbox, hints.phrases, on_delta, self._turns.discard)
        self._turns.add(turn)
        return turn

    async def close(self) -> None:
        """Stop all turns and the thread; free the weights."""
        for turn in list(self._turns):
            turn.cancel()
        worker, self._worker = self._worker, None
        if worker is not None:
            self._inbox.put(None)
            await asyncio.to_thread(worker.join)


class _Turn:
    """One turn being recognised: the event loop's side of its stream."""

    def __init__(
        self,
        inbox: SimpleQueue[Arrival],
        phrases: tuple[str, ...],
        on_delta: Callable[[Transcript], None],
        on_over: Callable[[_Turn], None],
    ) -> None:
        self._inbox = inbox
        self._on_delta = on_delta
        self._on_over = on_over
        self._stream = Stream(phrases, self._tell, self._end)
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """The next audio. Never blocks; a chunk may end in the middle of a sample."""
        if audio and not self._outcome.done():
            self._inbox.put((self._stream, format.type, audio))

    async def finish(self) -> Transcript:
        """The turn is over: wait for the words. Raises `EngineError`, or what went wrong in the library."""
        if not self._outcome.done():
            self._inbox.put((self._stream, None, None))
        outcome = await asyncio.shield(self._outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def cancel(self) -> None:
        """Nobody wants the words: the stream is freed with the next round."""
        self._stream.cancelled = True
        self._end(Transcript(""))

    def _tell(self, words: str) -> None:
        if not self._outcome.done():
            self._on_delta(Transcript(words))

    def _end(self, outcome: Outcome) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)
            self._on_over(self)
