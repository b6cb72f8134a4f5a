"""One session: commands from the event loop to the inference thread, events back.

event loop                                             ┊ inference thread
Listen ──────────────────────────── call ──────────────┊▶ Memory.listen ─▶ job: encode closed blocks, read ahead
Generate ─▶ generate() ──────────── run ───────────────┊▶ job: reply()
               ▲ asyncio.Queue ◀─── call_soon_threadsafe ┊──── each event
StopGenerating closes generate() ── cancel ────────────┊▶ no further step
Transcribe ─▶ SideTranscripts, if there is a transcriber; the answer never looks there
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from vivavoce.engine_api import Emit, EngineCommand, Generate, GenerationDone, Listen, StopListening
from vivavoce.engines.qwen_omni.family import Family
from vivavoce.engines.qwen_omni.inference_thread import InferenceThread
from vivavoce.engines.qwen_omni.memory import Memory
from vivavoce.engines.qwen_omni.replying import Limits, reply
from vivavoce.engines.side_transcripts import SideTranscripts
from vivavoce.engines.streaming import GenerationEvent, StreamingSession
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat

logger = logging.getLogger(__name__)


class QwenOmniSession:
    """One conversation."""

    def __init__(
        self,
        emit: Emit,
        thread: InferenceThread,
        family: Family,
        memory: Memory,
        limits: Limits,
        transcripts: SideTranscripts | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = thread
        self._family = family
        self._memory = memory
        self._limits = limits
        self._transcripts = transcripts
        transcribe = transcripts.transcribe if transcripts is not None else None
        self._streaming = StreamingSession(emit, self._generate, transcribe)

    def submit(self, command: EngineCommand) -> None:
        """Take a command."""
        match command:
            case Listen(item_id=item_id, audio=audio, format=format, final=final):
                self._do(partial(self._listen, item_id, audio, format, final))
                if self._transcripts is not None:
                    self._transcripts.listen(command)
            case StopListening(item_id):
                self._do(partial(self._memory.forget, item_id))
                if self._transcripts is not None:
                    self._transcripts.forget(item_id)
                self._streaming.submit(command)
            case _:
                self._streaming.submit(command)

    def close(self) -> None:
        """Stop everything."""
        self._streaming.close()
        if self._transcripts is not None:
            self._transcripts.close()
        self._do(self._memory.close)

    def _do(self, function: Callable[[], None]) -> None:
        """Call it on the inference thread. Nobody waits for it; the log hears of a failure."""
        self._thread.call(function).add_done_callback(_log_failed_call)

    def _listen(self, item_id: str, audio: bytes, format: AudioFormat, final: bool) -> None:
        """On the inference thread: feed what was heard, and put in the line what can be encoded of it."""
        heard = self._memory.listen(item_id, audio, format, final=final)
        if not final:  # the tail of a turn waits for the answer, which may not be wanted
            self._thread.run(self._memory.hear_ahead(item_id, heard), _log_failure)

    async def _generate(self, request: Generate) -> AsyncIterator[GenerationEvent]:
        """The events of one answer, as the inference thread makes them."""
        events: asyncio.Queue[GenerationEvent | Exception] = asyncio.Queue()

        def put(event: GenerationEvent | Exception) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(events.put_nowait, event)

        job = self._thread.run(reply(self._family, self._memory, self._limits, request, put), put)
        try:
            while True:
                event = await events.get()
                if isinstance(event, Exception):
                    raise _as_engine_error(event)
                yield event
                if isinstance(event, GenerationDone):
                    return
        finally:
            job.cancel()


def _as_engine_error(error: Exception) -> Exception:
    """What the client may know of a failure on the inference thread."""
    if type(error).__name__ == "OutOfMemoryError":
        logger.error("the model ran out of memory", exc_info=error)
        return EngineError("out_of_memory", "The model ran out of memory.")
    return error


def _log_failed_call(call: Future[None]) -> None:
    if error := call.exception():
        logger.error("the inference thread failed at a call", exc_info=error)


def _log_failure(error: Exception) -> None:
    """Hearing ahead failed. The answer will hear for itself, and say what is wrong."""
    logger.error("hearing ahead failed", exc_info=error)
