"""A server that runs beside the test, in a thread of its own: for subprocesses and for code that knows no event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.serving import serving


@contextmanager
def live(**settings: Any) -> Iterator[str]:
    """The address of a server with these settings, `http://127.0.0.1:PORT`; it is stopped when the block is left."""
    started, stop = threading.Event(), threading.Event()
    found: list[str] = []
    failed: list[BaseException] = []

    async def serve() -> None:
        async with serving(**settings) as served:
            found.append(f"http://127.0.0.1:{served.port}")
            started.set()
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="live server")
    thread.start()
    started.wait(60)
    try:
        if failed or not found:
            raise RuntimeError("The server did not start.") from (failed[0] if failed else None)
        yield found[0]
    finally:
        stop.set()
        thread.join(30)
