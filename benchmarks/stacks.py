"""Server stacks side by side: `python -m benchmarks.stacks [rounds]`; needs `pip install picows wsproto`.

The same sessions and the same codec behind each stack, and an engine that does nothing: what differs is the way from the
socket to the session and back. Fifty sessions append 20 ms of audio every 20 ms; the figure is processor time for each of
their seconds. The rounds take turns, so that a busy machine is busy for all.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

import uvicorn

from benchmarks.append_path import Still
from benchmarks.serving import load
from vivavoce.client.load.report import Report
from vivavoce.protocol.codec import GA
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.server_events import ServerEvent
from vivavoce.runner import Runner
from vivavoce.session.boundary import Setup
from vivavoce.transports.connection import Connection
from vivavoce.transports.websocket import WebSocket

SESSIONS = 50
SECONDS = 8.0
ASGI = ("websockets-sansio", "websockets", "wsproto")
STACKS = ("ours", "picows", *ASGI)
LARGEST_BYTES = 24 * 2**20

Send = Callable[[ServerEvent], None]
Close = Callable[[int, str], None]


def runner(send: Send, close: Close = lambda code, reason: None) -> Runner:
    now = time.monotonic()
    setup = Setup(
        seed="bench",
        config=SessionConfig(),
        capabilities=Still.capabilities,
        opened_at=now,
        expires_at=0,
        duration_seconds=3600,
    )
    return Runner(setup, Still(), send=send, close=close)


# --- the stacks ---


async def asgi(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """As most servers are written: a task that reads, a task that writes, a queue between."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
    live = runner(lambda event: outbox.put_nowait(GA.encode(event)))

    async def write() -> None:
        while True:
            if (frame := await outbox.get()) is not None:
                await send({"type": "websocket.send", "text": frame.decode()})

    writer = asyncio.create_task(write())
    live.start()
    while (message := await receive())["type"] == "websocket.receive":
        live.feed(GA.decode(message["text"]))
    writer.cancel()
    live.disconnected()


def ours(config: uvicorn.Config, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
    def endpoint(connection: Connection) -> None:
        WebSocket(connection, GA, runner).start()

    return Connection(endpoint, server_state.connections, LARGEST_BYTES, LARGEST_BYTES)


def serve_uvicorn(stack: str, listener: socket.socket) -> None:
    ws: Any = ours if stack == "ours" else stack
    config = uvicorn.Config(
        asgi, ws=ws, loop="uvloop", http="httptools", lifespan="off", log_level="error", ws_per_message_deflate=False
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve_picows(listener: socket.socket) -> None:
    import picows
    import uvloop

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: Any) -> None:
            def send(event: ServerEvent) -> None:
                if (frame := GA.encode(event)) is not None:
                    transport.send(picows.WSMsgType.TEXT, frame)

            self.live = runner(send)
            self.live.start()

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                self.live.feed(GA.decode(frame.get_payload_as_bytes()))
            elif frame.msg_type == picows.WSMsgType.CLOSE:
                transport.disconnect()

        def on_ws_disconnected(self, transport: Any) -> None:
            self.live.disconnected()

    async def run() -> None:
        server = await picows.ws_create_server(lambda request: Listener(), sock=listener)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run())


# --- measuring ---


def measure(stack: str) -> Report:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    port = listener.getsockname()[1]
    os.set_inheritable(listener.fileno(), True)
    command = [sys.executable, "-m", "benchmarks.stacks", "serve", stack, str(listener.fileno())]
    process = subprocess.Popen(command, pass_fds=[listener.fileno()])
    listener.close()
    try:
        return load(f"http://127.0.0.1:{port}", SESSIONS, seconds=SECONDS, warm_up_seconds=2)
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        stack, listener = sys.argv[2], socket.socket(fileno=int(sys.argv[3]))
        serve_picows(listener) if stack == "picows" else serve_uvicorn(stack, listener)
        return
    spent: dict[str, list[float]] = {}
    echoes: dict[str, list[float]] = {}
    stacks = [stack for stack in STACKS if stack not in ("picows", "wsproto") or find_spec(stack)]
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        for stack in stacks:
            report = measure(stack)
            echo = report.latencies_ms["append_to_echo_ms"]
            spent.setdefault(stack, []).append(report.server.cpu_ms_per_session_second if report.server else float("nan"))
            echoes.setdefault(stack, []).append(echo.p99 if echo else float("nan"))
    for stack in stacks:
        print(
            f"{stack:18}{statistics.median(spent[stack]):7.2f} ms a session-second "
            f"(runs: {', '.join(f'{ms:.2f}' for ms in spent[stack])}); echo p99 {statistics.median(echoes[stack]):.2f} ms"
        )


if __name__ == "__main__":
    main()
