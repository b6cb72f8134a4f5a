"""What a WebSocket message costs: our connection beside uvicorn's implementations.

    python -m benchmarks.websocket [ours websockets-sansio websockets]

The server runs in a process of its own and does nothing with a message. Printed are CPU microseconds of the server's event
loop for a message of 100 ms of speech (6.4 kB of base64), in and out, and the longest single stretch, in ms, for which a
message of 24 MiB held the event loop. "deflate": the client offers compression.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import socket
import sys
import time
from typing import Any

import uvicorn
from websockets.asyncio.client import connect

from vivavoce.transports.connection import Connection
from vivavoce.transports.frames import Text

MESSAGES = 3000
SPEECH = base64.b64encode(os.urandom(4800)).decode()
LARGE_BYTES = 24 * 2**20


class Meter:
    """The event loop's CPU time, and its longest stretch without a turn for others."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.watching: asyncio.Future[None] | None = None

    async def watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            last = now

    def take(self) -> str:
        longest, self.longest = self.longest, 0.0
        return json.dumps([time.thread_time(), longest])


class Sink:
    """For our connection."""

    def __init__(self, connection: Connection, meter: Meter) -> None:
        self.connection, self.meter = connection, meter

    def text(self, message: Text) -> asyncio.Future[None] | None:
        if message.size > 10:
            return asyncio.ensure_future(self.forget(message)) if len(message.pieces) > 1 else None
        command = bytes(message.pieces[0])
        if command == b"meter":
            self.connection.send(self.meter.take().encode())
        elif command == b"watch":
            self.meter.watching = asyncio.ensure_future(self.meter.watch())
        else:
            for _ in range(MESSAGES):
                self.connection.send(SPEECH.encode())
        return None

    async def forget(self, message: Text) -> None:
        """As `transports/websocket.py` does it."""
        while message.pieces:
            message.pieces.pop()
            await asyncio.sleep(0)

    def binary(self) -> None: ...

    def gone(self) -> None: ...


async def application(scope: Any, receive: Any, send: Any) -> None:
    """For the others."""
    if scope["type"] != "websocket":
        return
    meter = Meter()
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        if text == "meter":
            await send({"type": "websocket.send", "text": meter.take()})
        elif text == "watch":
            meter.watching = asyncio.ensure_future(meter.watch())
        elif text == "speak":
            for _ in range(MESSAGES):
                await send({"type": "websocket.send", "text": SPEECH})


def serve(implementation: str, listener: socket.socket) -> None:
    def ours(config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
        meter = Meter()
        return Connection(lambda c: c.accept(Sink(c, meter), None), server_state.connections, LARGE_BYTES, 10**9)

    ws: Any = ours if implementation == "ours" else implementation
    config = uvicorn.Config(application, ws=ws, ws_max_size=LARGE_BYTES, log_level="error", lifespan="off", loop="uvloop")
    uvicorn.Server(config).run([listener])


async def measure(port: int, compression: str | None) -> list[float]:
    async with connect(f"ws://127.0.0.1:{port}/", compression=compression, max_size=None, max_queue=None) as client:

        async def meter() -> list[float]:
            await client.send("meter")
            figures: list[float] = json.loads(await client.recv())
            return figures

        (start, _) = await meter()
        for _ in range(MESSAGES):
            await client.send(SPEECH)
        (heard, _) = await meter()
        await client.send("speak")
        for _ in range(MESSAGES):
            await client.recv()
        (spoken, _) = await meter()
        await client.send("watch")
        await meter()
        await client.send("x" * (LARGE_BYTES - 1))
        (_, longest) = await meter()
        return [(heard - start) / MESSAGES * 1e6, (spoken - heard) / MESSAGES * 1e6, longest * 1e3]


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    for implementation in sys.argv[1:] or ["ours", "websockets-sansio", "websockets"]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            process = spawn.Process(target=serve, args=(implementation, listener))
            process.start()
            for compression in (None, "deflate"):
                heard, spoken, longest = asyncio.run(measure(listener.getsockname()[1], compression))
                name = f"{implementation}, {compression or 'plain'}"
                print(f"{name:<28} in {heard:6.1f} µs   out {spoken:6.1f} µs   24 MiB {longest:6.1f} ms")
            process.terminate()
            process.join()


if __name__ == "__main__":
    main()
