"""A runner with everything around it: a loop whose time is set by hand, an engine and an observer that write things down."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from vivavoce.engine_api import Capabilities, Emit, EngineCommand, Generate
from vivavoce.protocol.client_events import ResponseCreate
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.server_events import ServerEvent
from vivavoce.runner import Runner
from vivavoce.session.boundary import Input, Output, Setup


class FakeLoop:
    """An event loop whose time is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: deque[Callable[[], object]] = deque()
        self.wakings = 0
        self._timers: list[Any] = []

    def clock(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self.wakings += 1
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any:
        timer = Timer(self.now + delay, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def run(self) -> None:
        while self.soon:
            self.soon.popleft()()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0].when <= end:
            timer = heapq.heappop(self._timers)
            self.now = max(self.now, timer.when)
            if not timer.cancelled:
                timer.callback()
            self.run()
        self.now = end


class Timer:
    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Notebook:
    """An engine that writes down its commands. The test emits for it."""

    capabilities = Capabilities(transcribes=True)

    def __init__(self) -> None:
        self.commands: list[EngineCommand] = []
        self.emit: Emit
        self.closed = 0
        self.raises = False

    async def start(self) -> None: ...

    def open(self, emit: Emit) -> Notebook:
        self.emit = emit
        return self

    def submit(self, command: EngineCommand) -> None:
        self.commands.append(command)
        if self.raises:
            raise RuntimeError("the engine's own secret")

    def close(self) -> Any:
        self.closed += 1

    def of(self, kind: type) -> list[Any]:
        return [command for command in self.commands if isinstance(command, kind)]


class News(asyncio.Event):
    """Set whenever something happened, for those who wait until it is what they want."""

    async def until(self, met: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not met():
                self.clear()
                await self.wait()


class Watcher:
    """An observer that writes down what it sees."""

    def __init__(self, raises_on: type | None = None) -> None:
        self.steps: list[tuple[float, Input | None, Sequence[Output]]] = []
        self.ended = 0
        self._raises_on = raises_on

    def step(self, now: float, input: Input | None, outputs: Sequence[Output]) -> None:
        self.steps.append((now, input, outputs))
        if self._raises_on and isinstance(input, self._raises_on):
            raise RuntimeError("an inner detail")

    def end(self) -> None:
        self.ended += 1


class World:
    """A runner with everything around it."""

    def __init__(self, *, account: Any = None, watcher: Watcher | None = None, loop: Any = None, **setup: Any) -> None:
        self.loop = loop or FakeLoop()
        self.engine = Notebook()
        self.watcher = watcher or Watcher()
        self.sent: list[ServerEvent] = []
        self.closings: list[tuple[int, str]] = []
        self.on_send: Callable[[ServerEvent], None] = lambda event: None
        clock = self.loop.clock if isinstance(self.loop, FakeLoop) else self.loop.time
        settings = {
            "seed": "s",
            "config": SessionConfig(output_modalities=("text",)),
            "capabilities": Capabilities(),
            "opened_at": clock(),
            "expires_at": 0,
        }
        self.runner = Runner(
            Setup(**{**settings, **setup}),
            self.engine,
            send=self._send,
            close=lambda code, reason: self.closings.append((code, reason)),
            account=account,
            observers=[self.watcher],
            clock=clock,
            loop=self.loop,
        )
        self.runner.start()

    def _send(self, event: ServerEvent) -> None:
        self.sent.append(event)
        self.on_send(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.sent if isinstance(event, kind)]

    def generate(self) -> str:
        """Start a response; its id."""
        self.runner.feed(ResponseCreate())
        command = self.engine.commands[-1]
        assert isinstance(command, Generate)
        return command.response_id
