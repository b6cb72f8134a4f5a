"""The sessions that live in this process: how many there may be, and how they end when the server does."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from vivavoce.runner import Runner
from vivavoce.server.errors import HttpError

RETRY_SECONDS: Final = 5
"""What a client that was turned away is told to wait."""


class Sessions:
    """`limit` is for the whole server; each of its workers takes its share."""

    def __init__(self, limit: int, workers: int) -> None:
        self._limit: Final = math.ceil(limit / workers)
        self._runners: Final[set[Runner]] = set()
        self._none_left: Final = asyncio.Event()
        self.draining = False

    def __len__(self) -> int:
        return len(self._runners)

    def check_room(self) -> None:
        """Raise `HttpError` 503 if no further session may begin."""
        wait = {"retry-after": str(RETRY_SECONDS)}
        if self.draining:
            raise HttpError(503, "server_shutting_down", "The server is restarting. Try again in a moment.", headers=wait)
        if len(self._runners) >= self._limit:
            message = "The server has as many sessions as it can serve. Try again later."
            raise HttpError(503, "server_overloaded", message, headers=wait)

    def add(self, runner: Runner) -> None:
        """A session begins."""
        self._runners.add(runner)

    def remove(self, runner: Runner) -> None:
        """A session is over."""
        self._runners.discard(runner)
        if not self._runners:
            self._none_left.set()

    async def drain(self, grace_seconds: float, stop_waiting: asyncio.Event) -> None:
        """Let running responses finish, then close every session with 1001. Sessions in which nothing runs close at once."""
        self.draining = True
        for runner in list(self._runners):
            runner.drain()
        if self._runners:
            self._none_left.clear()
            waits = [asyncio.ensure_future(event.wait()) for event in (self._none_left, stop_waiting)]
            await asyncio.wait(waits, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        for runner in list(self._runners):
            runner.stop(1001, "The server is restarting.")
