"""One thread for all inference: many jobs, a step of each in turn.

A job is a generator. Between two steps it yields for how many seconds nobody misses its next one: 0 where somebody waits,
the length of the sound that is made and not yet played where an answer is ahead of its listener. Jobs that are missed take
turns, whichever session they are of; those that are far enough ahead get what is left over.

    inbox ─▶ calls, new jobs        ┌─▶ missed jobs, in turn ─┐
              (before each step)    └── the others, in turn ◀─┘  one step

A model is loaded, used and freed on this thread, so nothing of it needs a lock, and the event loop never waits for it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Final, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

Steps = Generator[float, None, None]
"""A job, step by step. It yields for how many seconds its next step is not missed."""

COMFORT_SECONDS: Final = 1.0
"""A listener who has this much to hear is not about to miss anything."""


class Job:
    """A job in the line. `cancel` from any thread."""

    def __init__(self, steps: Steps, failed: Callable[[Exception], None]) -> None:
        self._steps = steps
        self._failed = failed
        self._cancelled = False
        self.due = 0.0
        """When its next step begins to be missed."""

    def cancel(self) -> None:
        """Make no further step. What the job holds is freed before the next step of anybody."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Nobody wants the rest."""
        return self._cancelled

    def step(self, now: Callable[[], float]) -> bool:
        """Make one step, or end it. False where there is no other."""
        try:
            if not self._cancelled:
                ahead = next(self._steps, None)
                if ahead is not None:
                    self.due = now() + max(0.0, ahead - COMFORT_SECONDS)
                    return True
            self._steps.close()
        except Exception as error:
            self._tell(error)
        return False

    def _tell(self, error: Exception) -> None:
        """Whoever asked may be gone; the thread goes on for the others."""
        try:
            self._failed(error)
        except Exception:
            logger.exception("nobody could be told that a job failed: %r", error)


class InferenceThread:
    """The thread. `call` and `run` may be used from any other."""

    def __init__(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._inbox: queue.SimpleQueue[Callable[[], None] | Job | None] = queue.SimpleQueue()
        self._jobs: deque[Job] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Call a short function on the thread, before the next step of any job and after earlier calls."""
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._inbox.put(work)
        return future

    def run(self, steps: Steps, failed: Callable[[Exception], None]) -> Job:
        """Put a job in the line. `failed` is called on the thread with what it raised."""
        job = Job(steps, failed)
        self._inbox.put(job)
        return job

    def close(self) -> None:
        """End all jobs, then the thread; wait for it."""
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._closed:
            self._take_all(wait=not self._jobs)
            if self._jobs and not self._closed:
                job = self._next()
                if job.step(self._now):
                    self._jobs.append(job)
        for job in self._jobs:
            job.cancel()
            job.step(self._now)
        self._jobs.clear()

    def _take_all(self, *, wait: bool) -> None:
        """What came in; with `wait`, not before something has."""
        while True:
            try:
                thing = self._inbox.get(block=wait)
            except queue.Empty:
                return
            wait = False
            if thing is None:
                self._closed = True
            elif isinstance(thing, Job):
                self._jobs.append(thing)
            else:
                thing()

    def _next(self) -> Job:
        """The first in the line that was cancelled or is missed; else the first."""
        now = self._now()
        for place, job in enumerate(self._jobs):
            if job.cancelled or job.due <= now:
                del self._jobs[place]
                return job
        return self._jobs.popleft()
