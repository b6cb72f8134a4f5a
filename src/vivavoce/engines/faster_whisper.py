"""Whisper in this process, by faster-whisper (CTranslate2): some hundred languages, on a CPU or a GPU.

Whisper hears a turn when it is over. A long turn it hears in pieces: what a pause has closed after 15 s is recognised while
the user goes on, and its words are final, so that the end of a minute's talk is awaited no longer than that of a short one.

    event loop       recognize ─▶ _Turn: resample, cut ─▶ stretches ─▶ ┊ worker threads, one model ┊ ─▶ on_delta, finish

Stretches of all sessions wait in one line, first come, first served; those of one turn follow each other.

Install it with `pip install 'vivavoce[faster-whisper]'`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta, Struct

from vivavoce.audio import Decoder, Samples
from vivavoce.engines.loudness import RATE_HZ, Stretches
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.weights import Weights, find_weights
from vivavoce.engines.whisper_model import Loading, Request, WhisperModel
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import AudioFormat, LogProb
from vivavoce.registry import read_options

STRETCH_SECONDS: Final = 15
"""Each stretch costs Whisper the same, up to its window of 30 s: fewer are cheaper, more are sooner done."""
SHORTEST_SAMPLES: Final = RATE_HZ // 10
"""Less is no word."""
_SUBJECT: Final = "The transcriber 'faster_whisper'"
_FILES: Final = ("*config.json", "model.bin", "tokenizer.json", "vocabulary.*")
"""Only the newer models have a `preprocessor_config.json`."""


def _weights(repository: str, megabytes: int) -> Weights:
    """Whisper is OpenAI's, Distil-Whisper Hugging Face's, both under the MIT licence."""
    return Weights(repository=repository, files=_FILES, size_bytes=megabytes * 1_000_000, licence="MIT")


class Options(Struct, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.faster_whisper]`."""

    model: str = "small"
    """A known name (`FasterWhisper.weights`), a repository of the hub (`owner/name`), or a folder."""
    language: str = ""
    """ISO-639-1, where the client names none. Empty: it is guessed anew for each stretch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: Literal[
        "auto", "default", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
    ] = "auto"
    """`auto`: the fastest that the device can do."""
    beam_size: Annotated[int, Meta(ge=1, le=20)] = 1
    """Texts that are weighed against each other. 5 hears a little better and takes longer."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Stretches decoded at once. Further ones wait."""
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """Processor threads of each worker. 0: the library's choice, 4 at most."""
    phrases: bool = True
    """Tell it words that are likely to come (tools' names, what their parameters may be)."""
    logprobs: bool = False
    """Find out how sure it is of each word: costs a second pass over the text."""


class FasterWhisper:
    """A `Transcriber`."""

    weights: ClassVar[Mapping[str, Weights]] = {
        "tiny": _weights("Systran/faster-whisper-tiny", 78),
        "tiny.en": _weights("Systran/faster-whisper-tiny.en", 78),
        "base": _weights("Systran/faster-whisper-base", 148),
        "base.en": _weights("Systran/faster-whisper-base.en", 148),
        "small": _weights("Systran/faster-whisper-small", 486),
        "small.en": _weights("Systran/faster-whisper-small.en", 486),
        "medium": _weights("Systran/faster-whisper-medium", 1_531),
        "medium.en": _weights("Systran/faster-whisper-medium.en", 1_531),
        "large-v2": _weights("Systran/faster-whisper-large-v2", 3_090),
        "large-v3": _weights("Systran/faster-whisper-large-v3", 3_091),
        "large-v3-turbo": _weights("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_622),
        "distil-small.en": _weights("Systran/faster-distil-whisper-small.en", 335),
        "distil-large-v3": _weights("Systran/faster-distil-whisper-large-v3", 1_516),
    }
    """By the name that `model` takes. Sizes are those that the hub shows, rounded."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        self._options = read_options(options or {}, Options, "cascade.faster_whisper")
        self._pool: ThreadPoolExecutor | None = None
        self._model: WhisperModel | None = None
        self._turns: set[_Turn] = set()

    async def start(self) -> None:
        """Find the weights, load them, decode once. Raises `EngineError`, or `SettingsError` for an unknown language."""
        options = self._options
        folder = await find_weights(options.model, self.weights, _SUBJECT)
        loading = Loading(
            folder=folder,
            device=options.device,
            compute_type=options.compute_type,
            threads=options.threads,
            workers=options.workers,
        )
        model = await asyncio.to_thread(WhisperModel, loading, _SUBJECT)
        if options.language and not model.speaks(options.language):
            raise SettingsError(
                f"engines.cascade.faster_whisper.language: the model knows no {options.language!r}. Write a code like 'en'."
            )
        self._model = model
        self._pool = ThreadPoolExecutor(options.workers, "faster-whisper")

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> _Turn:
        """Begin a turn. Raises `EngineError` where the part was not started."""
        if self._model is None:
            raise EngineError("engine_unavailable", f"{_SUBJECT} is not started.")
        language = hints.language.lower().partition("-")[0]
        hints = msgspec.structs.replace(
            hints,
            language=language if self._model.speaks(language) else self._options.language,
            phrases=hints.phrases if self._options.phrases else (),
        )
        turn = _Turn(self, hints, on_delta)
        self._turns.add(turn)
        return turn

    def forget(self, turn: _Turn) -> None:
        """The turn is over."""
        self._turns.discard(turn)

    async def decode(self, turn: _Turn, samples: Samples, before: str) -> None:
        """Decode a stretch of a turn, once it is its turn; give the turn the words as they come. Raises `EngineError`."""
        if self._pool is None or self._model is None:
            raise EngineError("engine_unavailable", f"{_SUBJECT} is closed.")
        request = Request(
            hints=turn.hints, before=before, beam_size=self._options.beam_size, logprobs=self._options.logprobs
        )
        loop = asyncio.get_running_loop()
        model = self._model

        def work() -> None:
            for segment in () if turn.cancelled else model.segments(samples, request):
                if turn.cancelled:
                    return
                loop.call_soon_threadsafe(turn.take, segment)

        await loop.run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Drop what waits, wait for what runs, free the weights."""
        for turn in list(self._turns):
            turn.cancel()
        pool, self._pool, self._model = self._pool, None, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)


class _Turn:
    """One turn: sound, cut into stretches, and the words of those that are decoded."""

    def __init__(self, transcriber: FasterWhisper, hints: Hints, on_delta: Callable[[Transcript], None]) -> None:
        self.hints = hints
        self.cancelled = False
        """Read by the worker, too, between two segments."""
        self._transcriber = transcriber
        self._on_delta = on_delta
        self._decoder: Decoder | None = None
        self._stretches = Stretches(STRETCH_SECONDS)
        self._waiting: deque[Samples] = deque()
        self._decoding: asyncio.Task[None] | None = None
        self._text = ""
        self._space = ""
        """Space at the end is not passed on before something follows it."""
        self._logprobs: list[LogProb] = []

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """The next audio."""
        if self.cancelled:
            return
        if self._decoder is None:
            self._decoder = Decoder(format.type, RATE_HZ)
        self._hear(self._decoder.feed(audio))

    async def finish(self) -> Transcript:
        """The turn is over: wait for the words. Raises `EngineError`."""
        if self._decoder is not None and not self.cancelled:
            self._hear(self._decoder.flush())
            self._decode(self._stretches.flush())
        try:
            if self._decoding is not None:
                await self._decoding
        except asyncio.CancelledError:
            if not self.cancelled:  # it is the caller who was cancelled
                self.cancel()
                raise
        finally:
            self._transcriber.forget(self)
        return Transcript(self._text, tuple(self._logprobs))

    def cancel(self) -> None:
        """Nobody wants the words: drop what waits. What runs stops at the end of its segment."""
        self.cancelled = True
        self._waiting.clear()
        self._stretches.flush()
        if self._decoding is not None:
            self._decoding.cancel()
        self._transcriber.forget(self)

    def take(self, segment: Transcript) -> None:
        """More words, on the event loop. Whisper puts a space before them where its language wants one."""
        if self.cancelled:
            return
        text = self._space + segment.text if self._text else segment.text.lstrip()
        told = text.rstrip()
        self._logprobs += segment.logprobs
        if told:
            self._text += told
            self._on_delta(Transcript(told, segment.logprobs))
        self._space = text[len(told) :]

    def _hear(self, samples: Samples) -> None:
        stretch = self._stretches.feed(samples)
        if stretch is not None:
            self._decode(stretch)

    def _decode(self, stretch: Samples) -> None:
        """Put a stretch in line, behind those of the same turn."""
        if stretch.size < SHORTEST_SAMPLES:
            return
        self._waiting.append(stretch)
        if self._decoding is None or self._decoding.done():
            self._decoding = asyncio.create_task(self._decode_waiting(self._decoding))
            self._decoding.add_done_callback(_look)

    async def _decode_waiting(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before  # A stretch that failed fails the turn.
        while self._waiting:
            await self._transcriber.decode(self, self._waiting.popleft(), self._text)


def _look(decoding: asyncio.Task[None]) -> None:
    """Whoever awaits it learns why it failed; if nobody does, nobody has to."""
    if not decoding.cancelled():
        decoding.exception()
