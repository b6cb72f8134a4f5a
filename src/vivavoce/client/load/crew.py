"""All processes of a run: start them, tell them when to measure, look at the server meanwhile, add up what they say."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from msgspec import Struct

from vivavoce.client.errors import ClientError
from vivavoce.client.load import generator, server_processes
from vivavoce.client.load.figures import Tally
from vivavoce.client.load.generator import Measure, Opened, Refused
from vivavoce.client.load.plan import Plan
from vivavoce.client.load.server_processes import Use
from vivavoce.client.load.utterances import Voice

_SPAWN: Final = multiprocessing.get_context("spawn")
_GRACE_SECONDS: Final = 60.0
"""How long opening, or handing over the figures, may take beyond its time."""


_BROKEN: Final = "A process of the load generator broke. Its error stands above."


class Outcome(Struct, frozen=True, kw_only=True):
    """What a run brought."""

    sessions: int
    """Those that opened."""
    tally: Tally
    refusals: Counter[str]
    server: Use | None
    """What the server used in measured time; `None` where it cannot be looked at."""
    memory_before_bytes: int = 0
    memory_after_bytes: int = 0


Progress = Callable[[str, float], None]
"""Hears what is being done, and what share of it is done."""


def run(plan: Plan, voices: list[Voice], pids: list[int], progress: Progress) -> Outcome:
    """Run a plan. Raises `ClientError` where no session opens, or a process of ours breaks."""
    with _started(plan, voices) as pipes:
        before = server_processes.use(pids)
        refusals = _await_opening(plan, pipes, progress)
        opened = plan.sessions - refusals.total()
        if not opened:
            raise ClientError(next(iter(refusals)))
        begin_at = time.monotonic() + plan.warm_up_seconds
        measure = Measure(begin_at, begin_at + plan.seconds)
        for pipe in pipes:
            _send(pipe, measure)
        _sleep(plan.warm_up_seconds, "warming up", progress)
        first = server_processes.use(pids)
        _sleep(measure.end_at - time.monotonic(), "measuring", progress)
        last = server_processes.use(pids)
        tally = Tally()
        for pipe in pipes:
            tally.add(_received(pipe))
    return Outcome(
        sessions=opened,
        tally=tally,
        refusals=refusals,
        server=last.since(first) if pids else None,
        memory_before_bytes=before.memory_bytes,
        memory_after_bytes=last.memory_bytes,
    )


@contextmanager
def _started(plan: Plan, voices: list[Voice]) -> Iterator[list[Connection]]:
    pipes, processes = [], []
    for number in range(plan.processes):
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=generator.run, args=(plan, number, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            _send(pipe, voices)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(5)
            process.terminate()


def _await_opening(plan: Plan, pipes: list[Connection], progress: Progress) -> Counter[str]:
    """Until every session is open or refused; the reasons of those that are refused."""
    refusals: Counter[str] = Counter()
    done, until = 0, time.monotonic() + plan.ramp_seconds + _GRACE_SECONDS
    while done < plan.sessions:
        ready: list[Any] = wait(pipes, max(0.0, until - time.monotonic()))
        if not ready:
            raise ClientError(f"Only {done} of {plan.sessions} sessions opened within {_GRACE_SECONDS:.0f} s.")
        for pipe in ready:
            message = _received(pipe)
            done += 1
            if isinstance(message, Refused):
                refusals[message.reason] += 1
            assert isinstance(message, Opened | Refused)
        progress("opening", done / plan.sessions)
    return refusals


def _send(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:
        raise ClientError(_BROKEN) from None


def _received(pipe: Connection) -> Any:
    try:
        if not pipe.poll(_GRACE_SECONDS):
            raise ClientError("A process of the load generator does not answer.")
        return pipe.recv()
    except (EOFError, OSError):
        raise ClientError(_BROKEN) from None


def _sleep(seconds: float, what: str, progress: Progress) -> None:
    began = time.monotonic()
    while (gone := time.monotonic() - began) < seconds:
        progress(what, gone / seconds)
        time.sleep(min(0.25, seconds - gone))
    progress(what, 1.0)
