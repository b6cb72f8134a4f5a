"""A server on a free port, in the test's own event loop, and two clients for it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from vivavoce.server.http_server import Server
from vivavoce.server.serving import listen
from vivavoce.server.state import make_state
from vivavoce.settings import Limits, Settings


class Answer(msgspec.Struct):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The API's error; fails where the body is anything else."""
        body = self.json
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "code", "param"}
        error: dict[str, Any] = body["error"]
        return error


class Served:
    """A server that runs."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.state = server.state
        self.port = port

    async def sessions(self, count: int) -> None:
        """Wait until so many sessions are open."""
        async with asyncio.timeout(10):
            while len(self.state.sessions) != count:  # noqa: ASYNC110  # The server has no event for it.
                await asyncio.sleep(0.005)

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """An HTTP request. Underscores in header names become hyphens."""
        return await asyncio.to_thread(self._request, method, path, body, headers)

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body)
        connection.request(method, path, content, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        connection.close()
        return answer

    def connect(self, path: str = "/v1/realtime", protocols: Sequence[str] = (), **options: Any) -> connect:
        """A WebSocket client, for `async with`."""
        subprotocols = [Subprotocol(name) for name in protocols] or None
        return connect(f"ws://127.0.0.1:{self.port}{path}", subprotocols=subprotocols, **options)


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Served]:
    """A server with these settings. It is stopped, and its end awaited, when the block is left."""
    limits = {name: changes.pop(name) for name in Limits.__struct_fields__ if name in changes}
    settings = Settings(**{"engine": "scripted", "limits": Limits(**limits), "grace_seconds": 0.0, **changes})
    listener = listen("127.0.0.1", 0, shared=False)
    ready = asyncio.Event()
    server = Server(make_state(settings), listener, lambda _: ready.set())
    port = listener.getsockname()[1]
    running = asyncio.ensure_future(server.run_until_stopped())
    starting = asyncio.ensure_future(ready.wait())
    await asyncio.wait([running, starting], return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        if not running.done():
            yield Served(server, port)
    finally:
        server.stop()
        await running


def run(test: Callable[[Served], Awaitable[None]], **settings: Any) -> None:
    """A test, with a server of its own."""

    async def main() -> None:
        async with serving(**settings) as served:
            await test(served)

    asyncio.run(main())


async def receive(client: ClientConnection) -> dict[str, Any]:
    """The next event."""
    event: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), 20))
    return event


async def until(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next event of this type."""
    while (event := await receive(client))["type"] != kind:
        pass
    return event


async def send(client: ClientConnection, kind: str, **fields: Any) -> None:
    """Send an event."""
    await client.send(json.dumps({"type": kind, **fields}))


def handshake() -> str:
    """The head of a WebSocket request, for clients that are written by hand."""
    return (
        "GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate for localhost and its key, made on the spot."""
    names = str(folder / "cert.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    assert os.system(f"{command} -addext subjectAltName=IP:127.0.0.1 -out {names[0]} -keyout {names[1]} 2>/dev/null") == 0
    return names
