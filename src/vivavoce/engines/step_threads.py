"""Threads that work a step at a time, for models that many sessions share.

    speak ─ await do(step) ─▶ ┊ queue: first steps before further ones ┊ ─▶ thread ─▶ result

A step is small: a frame of sound, a clause. Whoever has more to do queues again, so sessions take turns; a step that is
cancelled while it waits is never begun. What it needs (torch, onnxruntime) lets go of the GIL while it computes.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, NoReturn, TypeVar

from vivavoce.protocol.errors import EngineError

T = TypeVar("T")

_FIRST, _FURTHER, _END = range(3)
"""Somebody waits in silence for a first step. The end comes after everything that was asked for."""


class StepThreads:
    """As many threads as steps may run at the same time. They start at once and end with `close`."""

    def __init__(self, name: str, count: int) -> None:
        self._order: Final = itertools.count()
        self._steps: queue.PriorityQueue[tuple[int, int, Callable[[], Any] | None, Future[Any]]] = queue.PriorityQueue()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    async def do(self, step: Callable[[], T], *, first: bool = False) -> T:
        """Have a step done, and wait for what it returns or raises: `begin`, awaited."""
        return await self.begin(step, first=first)

    def begin(self, step: Callable[[], T], *, first: bool = False) -> asyncio.Future[T]:
        """Have a step done: what it will return or raise. `first`: nothing of this utterance was heard yet.

        When the future is cancelled, a step that waits is dropped, and one that runs is left to end by itself.
        """
        if self._closed:
            _refuse()
        future: Future[T] = Future()
        self._steps.put((_FIRST if first else _FURTHER, next(self._order), step, future))
        return asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads. Blocks until the steps that run are over; those that wait fail."""
        self._closed = True
        for _ in self._threads:
            self._steps.put((_END, next(self._order), None, Future()))
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            _, _, step, future = self._steps.get()
            if step is None:
                return
            if future.set_running_or_notify_cancel():
                _settle(future, _refuse if self._closed else step)
            del step, future  # what a result holds must not live until the next step


def _refuse() -> NoReturn:
    raise EngineError("engine_unavailable", "The engine is closed.")


def _settle(future: Future[T], step: Callable[[], T]) -> None:
    try:
        result = step()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
