"""One process of the load generator: it opens its share of the sessions, speaks, measures, and hands over a `Tally`."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from msgspec import Struct

from vivavoce.client.load.figures import Tally
from vivavoce.client.load.plan import Plan
from vivavoce.client.load.speaker import Speaker
from vivavoce.client.load.utterances import Voice
from vivavoce.client.load.wire import Wire, begin_measuring, opened

_OPENING_AT_ONCE: Final = 16


class Opened(Struct, frozen=True):
    """This many more sessions speak."""

    count: int = 1


class Refused(Struct, frozen=True):
    """A session could not be opened, for this reason."""

    reason: str


class Measure(Struct, frozen=True):
    """Measure between these two moments, in monotonic seconds, which all processes of a machine share."""

    begin_at: float
    end_at: float


def run(plan: Plan, process: int, pipe: Connection) -> None:
    """A process's whole life.

    The voices come through the pipe; `Opened` or `Refused` goes, for each session; then `Measure` comes, and a `Tally` goes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent hears it and closes the pipe.
    voices: list[Voice] = pipe.recv()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_Generator(plan, voices, process, pipe).run())


class _Generator:
    def __init__(self, plan: Plan, voices: list[Voice], process: int, pipe: Connection) -> None:
        self._plan = plan
        self._voices = voices
        self._numbers = plan.share(process)
        self._pipe = pipe
        self._turn = asyncio.Semaphore(_OPENING_AT_ONCE)
        self._wires: list[Wire] = []

    async def run(self) -> None:
        await asyncio.gather(*map(self._open, self._numbers))
        try:
            measure: Measure = await asyncio.to_thread(self._pipe.recv)
        except EOFError:
            return  # The parent gave up.
        self._pipe.send(await self._measured(measure))
        for wire in self._wires:
            wire.close()
        await asyncio.sleep(0.2)

    async def _open(self, number: int) -> None:
        await asyncio.sleep(self._plan.ramp_seconds * number / self._plan.sessions)
        async with self._turn:
            speaker = Speaker(self._plan, self._voices[number % len(self._voices)], number)
            wire = await opened(self._plan.server, speaker)
        if isinstance(wire, Wire):
            self._wires.append(wire)
            self._pipe.send(Opened())
        else:
            self._pipe.send(Refused(wire))

    async def _measured(self, measure: Measure) -> Tally:
        await asyncio.sleep(measure.begin_at - time.monotonic())
        tally = begin_measuring(self._wires)
        used_before = time.process_time()
        await asyncio.sleep(measure.end_at - time.monotonic())
        tally.own_cpu_seconds = time.process_time() - used_before
        for wire in self._wires:
            wire.speaker.tally = None
        return tally


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], Any] = uvloop.new_event_loop
    return factory
