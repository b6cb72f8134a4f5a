"""An engine from one async generator.

    class Parrot(StreamingEngine):
        async def generate(self, request: Generate) -> AsyncIterator[Output]:
            yield "Hello. "
            yield pcm

Everything else an engine owes is done here: each `Generate` runs as a task of its own, `StopGenerating` closes its generator
at once, `max_output_tokens` is kept, exactly one `GenerationDone` or `GenerationFailed` comes last, and other sessions get
their turn between any two outputs. What blocks (inference, files) belongs in a thread: `await asyncio.to_thread(…)`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from vivavoce.engine_api import (
    Capabilities,
    Emit,
    EngineCommand,
    EngineEvent,
    EngineSession,
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    GenerationFailed,
    OutputAudio,
    OutputText,
    OutputTranscript,
    StopGenerating,
    StopListening,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.budget import Budget
from vivavoce.protocol.errors import EngineError

logger = logging.getLogger(__name__)

GenerationEvent = OutputText | OutputAudio | OutputTranscript | FunctionCallStarted | FunctionCallArguments | GenerationDone
Output = GenerationEvent | str | bytes
"""What `generate` yields. A `str` is words: the transcript of a spoken answer, the text of a written one. `bytes` are
speech: PCM16 mono at 24,000 Hz. The events say more: marks, calls, why the answer stops."""

Words = TranscriptDelta | TranscriptDone | str
"""What `transcribe` yields. A `str` is more of the user's words; `TranscriptDone` is added where it is missing."""

OUR_FAULT: Final = "server_error"
OUR_FAULT_MESSAGE: Final = "The engine failed. The server's log says why."

Key = tuple[type[EngineCommand], str]
"""What a running generator answers: the command's class and its id."""
Failed = Callable[[str, str], EngineEvent]
"""Makes the terminal event of a failure from its code and message."""

T = TypeVar("T")


class StreamingEngine:
    """Subclass it, write `generate`, say in `capabilities` what it can do. `options` are the operator's settings."""

    capabilities: Capabilities = Capabilities()

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options: Mapping[str, Any] = options or {}

    async def start(self) -> None:
        """Load weights, warm up. Raises `EngineError`."""

    def generate(self, request: Generate) -> AsyncIterator[Output]:
        """Answer: an async generator. It is closed when nobody wants the rest. Raises `EngineError`."""
        raise NotImplementedError

    def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        """Tell the client what was said: an async generator, wanted only with `Capabilities.transcribes`."""
        raise NotImplementedError

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session."""
        return StreamingSession(emit, self.generate, self.transcribe if self.capabilities.transcribes else None)

    async def close(self) -> None:
        """Free everything."""


class StreamingSession:
    """Runs two async generators for one session. An engine that keeps state for each session passes bound methods of it."""

    def __init__(
        self,
        emit: Emit,
        generate: Callable[[Generate], AsyncIterator[Output]],
        transcribe: Callable[[Transcribe], AsyncIterator[Words]] | None = None,
    ) -> None:
        self._emit = emit
        self._generate = generate
        self._transcribe = transcribe
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def submit(self, command: EngineCommand) -> None:
        """Start or stop a generator. Commands that need neither are ignored."""
        match command:
            case Generate(response_id=response_id):
                answer = partial(_answer, self._generate, command)
                self._start((Generate, response_id), answer, partial(GenerationFailed, response_id))
            case StopGenerating(response_id=response_id):
                self._stop((Generate, response_id))
            case Transcribe(item_id=item_id) if self._transcribe is not None:
                words = partial(_words, self._transcribe, command)
                self._start((Transcribe, item_id), words, partial(TranscriptFailed, item_id))
            case StopListening(item_id=item_id):
                self._stop((Transcribe, item_id))

    def close(self) -> None:
        """Close every generator."""
        for key in list(self._tasks):
            self._stop(key)

    def _start(self, key: Key, work: Callable[[Emit], Awaitable[EngineEvent]], failed: Failed) -> None:
        self._stop(key)
        task = self._tasks[key] = asyncio.create_task(self._run(key, work, failed))
        task.add_done_callback(lambda done: self._forget(key, done))

    def _stop(self, key: Key) -> None:
        if task := self._tasks.pop(key, None):
            task.cancel()

    def _forget(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    async def _run(self, key: Key, work: Callable[[Emit], Awaitable[EngineEvent]], failed: Failed) -> None:
        """Emit what comes of `work`, and last of all how it ended."""
        me = asyncio.current_task()

        def emit(event: EngineEvent) -> None:
            # A generator that outlives its cancellation has nothing more to say.
            if self._tasks.get(key) is me:
                self._emit(event)

        try:
            emit(await work(emit))
        except EngineError as error:
            emit(failed(error.code, error.message))
        except asyncio.CancelledError:
            emit(failed(OUR_FAULT, OUR_FAULT_MESSAGE))  # somebody else's doing: `_stop` would have silenced `emit`
        except Exception:
            logger.exception("%s %s: the engine's generator failed", key[0].__name__, key[1])
            emit(failed(OUR_FAULT, OUR_FAULT_MESSAGE))


async def _answer(generate: Callable[[Generate], AsyncIterator[Output]], request: Generate, emit: Emit) -> EngineEvent:
    """Emit what the generator yields, as far as `max_output_tokens` reaches; return how it ends."""
    budget = Budget(request.max_output_tokens)
    async with closing(generate(request)) as outputs:
        async for output in outputs:
            event = _named(output, request)
            if isinstance(event, GenerationDone):
                return event
            if fitting := _within(budget, event):
                emit(fitting)
            if budget.exceeded:
                return GenerationDone(request.response_id, "max_output_tokens")
            # A generator that never waits must not keep the loop from others, nor from its own `StopGenerating`.
            await asyncio.sleep(0)
    return GenerationDone(request.response_id)


async def _words(transcribe: Callable[[Transcribe], AsyncIterator[Words]], request: Transcribe, emit: Emit) -> EngineEvent:
    """Emit the words that the generator yields; return them all."""
    text = ""
    async with closing(transcribe(request)) as words:
        async for more in words:
            event = TranscriptDelta(request.item_id, more) if isinstance(more, str) else more
            if isinstance(event, TranscriptDone):
                return event
            text += event.text
            emit(event)
            await asyncio.sleep(0)
    return TranscriptDone(request.item_id, text)


def _named(output: Output, request: Generate) -> GenerationEvent:
    """The event that a shorthand stands for."""
    if isinstance(output, str):
        spoken = "audio" in request.modalities
        return OutputTranscript(request.response_id, output) if spoken else OutputText(request.response_id, output)
    if isinstance(output, bytes):
        return OutputAudio(request.response_id, output)
    if isinstance(output, GenerationEvent):
        return output
    raise TypeError(f"generate() may not yield {type(output).__name__}")


def _within(budget: Budget, event: GenerationEvent) -> GenerationEvent | None:
    """The event, cut to what `max_output_tokens` leaves; `None` if that is nothing."""
    match event:
        case OutputText(response_id, text):
            text = budget.text(text)
            return OutputText(response_id, text) if text else None
        case OutputTranscript(response_id, text, marks):
            text = budget.text(text)
            marks = () if budget.exceeded else marks
            return OutputTranscript(response_id, text, marks) if text or marks else None
        case OutputAudio(response_id, pcm):
            pcm = budget.audio(pcm)
            return OutputAudio(response_id, pcm) if pcm else None
        case FunctionCallArguments(response_id, call_id, delta):
            delta = budget.text(delta)
            return FunctionCallArguments(response_id, call_id, delta) if delta else None
    return event


@asynccontextmanager
async def closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close an async iterator on the way out, if it is one that can be closed."""
    if isinstance(iterator, Coroutine):
        iterator.close()
        raise TypeError(f"{iterator!r} has to be an async generator: it never yields")
    try:
        yield iterator
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
