"""Recognition that needs no download: CMU PocketSphinx, with the American English model that its wheel carries.

It is a recogniser of the 2000s: expect a quarter to a half of the words wrong, and the clearer the voice, the fewer. See
`docs/decisions` for what was measured. Install it with `pip install 'vivavoce[offline]'`.

It decodes while the user speaks. PocketSphinx holds the GIL while it does, so each turn is recognised in a process of its
own, forked from one that has the model loaded (`fork_server`):

    event loop   recognize ─▶ _Turn ─ Begin, Sound…, Finish ─▶ ┊ pocketsphinx_process ┊ ─ Words…, Done ─▶ on_delta, finish

A process that dies fails its own turn, with `EngineError`, and no other.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from vivavoce.engines.fork_server import ForkServer
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.pocketsphinx_messages import (
    Begin,
    Done,
    Finish,
    Sound,
    ToProcess,
    Words,
    encode,
    messages_from_process,
)
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat, LogProb
from vivavoce.registry import read_options

logger = logging.getLogger(__name__)

PROCESS: Final = "vivavoce.engines.pocketsphinx_process"

_TURNS_A_CORE: Final = 4
"""One core keeps up with three or four voices at once."""


class Options(Struct, frozen=True):
    """What the operator can choose: `[engines.cascade.pocketsphinx]`."""

    turns: Annotated[int, Meta(ge=1, le=1000)] = _TURNS_A_CORE * (os.cpu_count() or 1)
    """Turns recognised at once, each by a process of 25 MB. Further ones wait for a place, and lose nothing."""


class Pocketsphinx:
    """Speech to text by PocketSphinx. English only, whatever language is asked for."""

    drafts: bool = False
    """It decodes at half of the speed of speech on one core: a turn that goes on after a draft would be answered late."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        self._options = read_options(options or {}, Options, "cascade.pocketsphinx")
        self._processes: ForkServer | None = None
        self._places = asyncio.Semaphore(self._options.turns)
        self._turns: set[_Turn] = set()

    async def start(self) -> None:
        """Load the model, in a child process: about a second. Raises `EngineError`."""
        if importlib.util.find_spec("pocketsphinx") is None:
            raise EngineError("engine_unavailable", "PocketSphinx is not installed: pip install 'vivavoce[offline]'.")
        processes = ForkServer(PROCESS)
        await processes.start()
        self._processes = processes

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> _Turn:
        """Begin a turn. `on_delta` gets the words up to each pause, when the pause has come. Raises `EngineError`."""
        if self._processes is None:
            raise EngineError("engine_unavailable", "PocketSphinx is not started.")
        turn = _Turn(self._processes, self._places, hints, on_delta)
        self._turns.add(turn)
        turn.over.add_done_callback(lambda _: self._turns.discard(turn))
        return turn

    async def close(self) -> None:
        """Stop all turns and the child process."""
        for turn in list(self._turns):
            turn.cancel()
        if self._processes:
            await self._processes.close()
            self._processes = None


class _Turn:
    """One turn being recognised: the server's side of its process. Lives on the event loop."""

    def __init__(
        self,
        processes: ForkServer,
        places: asyncio.Semaphore,
        hints: Hints,
        on_delta: Callable[[Transcript], None],
    ) -> None:
        self._processes = processes
        self._places = places
        self._on_delta = on_delta
        self._unsent: list[bytes] = []
        """Messages that wait for the process."""
        self._writer: asyncio.StreamWriter | None = None
        self._text = ""
        self._logprobs: list[LogProb] = []
        self._send(Begin(hints.phrases))
        self.over = asyncio.create_task(self._run())

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """The next audio. Never blocks; a chunk may end in the middle of a sample."""
        self._send(Sound(audio, format.type))

    async def finish(self) -> Transcript:
        """The turn is over: wait for the words. Raises `EngineError`."""
        self._send(Finish())
        try:
            await asyncio.shield(self.over)
        except asyncio.CancelledError:
            if not self.over.cancelled():  # it is the caller who was cancelled
                raise
        return Transcript(self._text, tuple(self._logprobs))

    def cancel(self) -> None:
        """Nobody wants the words: the process exits after at most 100 ms of work."""
        self.over.cancel()

    def _send(self, message: ToProcess) -> None:
        """Hand over a message, once there is a process to hand it to."""
        if self._writer:
            self._writer.write(encode(message))
        else:
            self._unsent.append(encode(message))

    async def _run(self) -> None:
        """The turn's whole life."""
        async with self._places:
            reader, self._writer = await asyncio.open_unix_connection(sock=self._processes.open())
            try:
                self._writer.writelines(self._unsent)
                self._unsent.clear()
                await self._listen(reader)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise EngineError("transcription_failed", "The recogniser died in the middle of the turn.") from error
            finally:
                self._writer.transport.abort()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Take the words as they come, until there are no more."""
        async for message in messages_from_process(reader):
            match message:
                case Words(text, logprobs):
                    self._text += text
                    self._logprobs += logprobs
                    self._on_delta(Transcript(text, logprobs))
                case Done():
                    return
