"""Threads that work a step at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vivavoce.engines.step_threads import StepThreads
from vivavoce.protocol.errors import EngineError


def play(scene: Callable[[StepThreads], Coroutine[Any, Any, None]], count: int = 1) -> None:
    async def run() -> None:
        threads = StepThreads("test", count)
        try:
            await asyncio.wait_for(scene(threads), 20)
        finally:
            await asyncio.to_thread(threads.close)

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() <= before


class Gate:
    """A step that a test lets go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.opened.wait(20)
        return "done"


def test_results_and_errors_come_back() -> None:
    async def scene(threads: StepThreads) -> None:
        assert await threads.do(lambda: threading.current_thread().name) == "test-0"
        with pytest.raises(ZeroDivisionError):
            await threads.do(lambda: 1 / 0)
        assert await threads.do(lambda: 3) == 3

    play(scene)


def test_first_steps_go_before_further_ones() -> None:
    async def scene(threads: StepThreads) -> None:
        gate, order = Gate(), []
        steps = [asyncio.create_task(threads.do(gate))]
        await asyncio.to_thread(gate.began.wait)
        for name in ("a", "b"):
            steps.append(asyncio.create_task(threads.do(lambda name=name: order.append(name))))
        for name in ("c", "d"):
            steps.append(asyncio.create_task(threads.do(lambda name=name: order.append(name), first=True)))
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*steps)
        assert order == ["c", "d", "a", "b"]

    play(scene)


def test_as_many_at_once_as_there_are_threads() -> None:
    async def scene(threads: StepThreads) -> None:
        gates = [Gate(), Gate(), Gate()]
        steps = [asyncio.create_task(threads.do(gate)) for gate in gates]
        await asyncio.to_thread(gates[0].began.wait)
        await asyncio.to_thread(gates[1].began.wait)
        assert not gates[2].began.is_set()
        gates[1].opened.set()
        await asyncio.to_thread(gates[2].began.wait)
        for gate in gates:
            gate.opened.set()
        assert await asyncio.gather(*steps) == ["done"] * 3

    play(scene, count=2)


def test_a_cancelled_step_is_never_begun() -> None:
    async def scene(threads: StepThreads) -> None:
        running, waiting = Gate(), Gate()
        first, second = asyncio.create_task(threads.do(running)), asyncio.create_task(threads.do(waiting))
        await asyncio.to_thread(running.began.wait)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        running.opened.set()
        assert await first == "done"
        assert await threads.do(lambda: "after") == "after"
        assert not waiting.began.is_set()

    play(scene)


def test_after_close_nothing_is_begun() -> None:
    async def scene(threads: StepThreads) -> None:
        running, waiting = Gate(), Gate()
        first, second = asyncio.create_task(threads.do(running)), asyncio.create_task(threads.do(waiting))
        await asyncio.to_thread(running.began.wait)
        closing = asyncio.create_task(asyncio.to_thread(threads.close))
        while not threads._closed:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        running.opened.set()
        await closing
        assert await first == "done"
        for step in (second, threads.do(waiting)):
            with pytest.raises(EngineError, match="closed"):
                await step
        assert not waiting.began.is_set()

    play(scene)
