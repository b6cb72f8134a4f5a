"""The wire between a client and the server, with a judge on it.

    client ──▶ Wire (127.0.0.1, a port for each test) ──▶ server
                 └─▶ Oracle: every event, in both directions

Bytes pass through as they are: HTTP, handshakes, pings and close codes are the client's and the server's own. What a judge
finds is kept until the test ends, and then fails it; the conversation goes on, as it would without us.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final

from tests.clients.frame_reader import CLOSE, TEXT, FrameReader
from tests.oracle import Oracle
from tests.oracle_words import DialectName

CLOSING_SECONDS: Final = 10
"""How long connections may stay open after the test's last line."""


class Wire:
    """A port that leads to the server. `url` and `ws_url` are what a client is told."""

    def __init__(self, upstream: tuple[str, int], dialect: DialectName, tls: ssl.SSLContext | None) -> None:
        self.dialect = dialect
        self.connections: list[Connection] = []
        """Every WebSocket that was opened, in order."""
        self.expected_errors: set[str] = set()
        """Codes of `error` events that this test provokes. Any other fails it."""
        self.hangs_up = False
        """This test goes away in the middle of things: what is open then may stay open."""
        self.port = 0
        self._upstream = upstream
        self._tls = tls
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL of the API, as SDKs want it."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/v1"

    @property
    def ws_url(self) -> str:
        """The WebSocket endpoint."""
        return f"{'wss' if self._tls else 'ws'}://{self._host}:{self.port}/v1/realtime"

    @property
    def _host(self) -> str:
        return "localhost" if self._tls else "127.0.0.1"

    async def listen(self) -> asyncio.Server:
        """Begin."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def settle(self) -> None:
        """Wait until every connection is closed, then pronounce judgement. Raises AssertionError."""
        if self._carrying:
            _, still_open = await asyncio.wait(self._carrying, timeout=CLOSING_SECONDS)
            assert not still_open, f"{len(still_open)} connections are still open"
        for connection in self.connections:
            connection.judge(finished=not self.hangs_up, expected_errors=self.expected_errors)

    def cut(self) -> None:
        """Break all connections, as a network does: no close frame, no goodbye."""
        for connection in self.connections:
            connection.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        tls = ssl.create_default_context() if self._tls else None
        if tls is not None:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._upstream, ssl=tls)
            connection = Connection(self, writer, far_writer)
            await asyncio.gather(
                _pump(reader, far_writer, connection.from_client), _pump(far_reader, writer, connection.from_server)
            )
        finally:
            self._carrying.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], None]) -> None:
    """Carry bytes one way until they end."""
    try:
        while data := await reader.read(65_536):
            look(data)
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        with suppress(ConnectionError, RuntimeError):
            writer.close()


class Connection:
    """One TCP connection, which may become a WebSocket: then it has an oracle."""

    def __init__(self, wire: Wire, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._wire = wire
        self._writers = (near, far)
        self._heads: dict[str, bytes | None] = {"client": b"", "server": b""}
        """The HTTP head as far as it came; None once it is over."""
        self._frames = {"client": FrameReader(), "server": FrameReader()}
        self.oracle = Oracle(wire.dialect)
        self.from_client_events: list[dict[str, Any]] = []
        """All that the client said, but for audio."""
        self.close_code: int | None = None
        """With which code the server closed, if it did."""
        self.failure: AssertionError | None = None
        self.is_websocket = False

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that the server said."""
        return self.oracle.events

    @property
    def at_rest(self) -> bool:
        """No response is in progress."""
        types = [event["type"] for event in self.events]
        return types.count("response.created") == types.count("response.done")

    def cut(self) -> None:
        """Break it."""
        for writer in self._writers:
            writer.transport.abort()

    def from_client(self, data: bytes) -> None:
        """The client sends this."""
        for opcode, payload in self._messages("client", data):
            if opcode == TEXT:
                self.oracle.saw_client(payload)
                self._remember(json.loads(payload))

    def _remember(self, event: dict[str, Any]) -> None:
        if event["type"] != "input_audio_buffer.append":
            self.from_client_events.append(event)

    def from_server(self, data: bytes) -> None:
        """The server sends this."""
        for opcode, payload in self._messages("server", data):
            if opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")
            elif self.failure is None:
                try:
                    assert opcode == TEXT, f"the server sent a frame with opcode {opcode}"
                    self.oracle.saw_server(payload)
                except AssertionError as failure:
                    self.failure = failure

    def judge(self, *, finished: bool, expected_errors: set[str]) -> None:
        """Raise what was found."""
        if self.failure is not None:
            raise self.failure
        if finished:
            self.oracle.finish()
        errors = [event["error"] for event in self.events if event["type"] == "error"]
        unexpected = [error for error in errors if error["code"] not in expected_errors]
        assert not unexpected, f"the server complained: {unexpected}"

    def _messages(self, side: str, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The WebSocket messages in `data`; nothing while it is HTTP."""
        if self._heads[side] is not None:
            data = self._after_head(side, data)
        if self.is_websocket:
            yield from self._frames[side].feed(data)

    def _after_head(self, side: str, data: bytes) -> bytes:
        """What stands behind the HTTP head. The answer's status says whether this becomes a WebSocket."""
        head, end, rest = ((self._heads[side] or b"") + data).partition(b"\r\n\r\n")
        self._heads[side] = None if end else head
        if end and side == "server" and head.startswith(b"HTTP/1.1 101"):
            assert b"permessage-deflate" not in head.lower(), "the wire cannot read compressed frames"
            self.is_websocket = True
            self._wire.connections.append(self)
        return rest


class WireLoop:
    """The event loop in which wires live: a thread's own, so that a test may block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._thread.start()

    @contextmanager
    def wire(self, upstream: tuple[str, int], dialect: DialectName, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
        """A wire for one test. Leaving it waits for the connections to close and raises what the judges found."""
        wire = Wire(upstream, dialect, tls)
        server = self._run(wire.listen())
        try:
            yield wire
            self._run(wire.settle())
        finally:
            self._loop.call_soon_threadsafe(server.close)

    def cut(self, wire: Wire) -> None:
        """Break the wire's connections, from any thread."""
        self._loop.call_soon_threadsafe(wire.cut)

    def close(self) -> None:
        """The end of the session."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()
