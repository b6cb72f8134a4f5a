"""Memory that was freed goes back to the system."""

import asyncio
import os
import platform
from pathlib import Path

import pytest

from vivavoce.server import heap

BLOCK_BYTES = 64_000
BLOCKS = 1_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fill_with_holes() -> list[bytes]:
    """Take 64 MB, and give back all but a block in a hundred."""
    blocks = [bytes([1]) * BLOCK_BYTES for _ in range(BLOCKS)]
    return blocks[::100]


def test_holes_between_what_stays_go_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    trim = heap.trimmer()
    assert trim is not None
    stays = fill_with_holes()
    before = resident_bytes()
    trim()
    assert resident_bytes() < before - BLOCKS * BLOCK_BYTES // 2
    assert len(stays) == BLOCKS // 100


def test_it_trims_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def until_trimmed_twice() -> None:
        loop, trimmed, times = asyncio.get_running_loop(), asyncio.Event(), []

        def trim() -> None:
            times.append(1)
            if len(times) == 2:
                loop.call_soon_threadsafe(trimmed.set)

        monkeypatch.setattr(heap, "trimmer", lambda: trim)
        trimming = asyncio.create_task(heap.keep_trimmed(0))
        await trimmed.wait()
        trimming.cancel()

    asyncio.run(until_trimmed_twice())


def test_it_ends_at_once_where_nothing_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "trimmer", lambda: None)
    asyncio.run(heap.keep_trimmed())
