"""A Realtime server that does what a test wants, and a wire to a real one that can be cut."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

quiet = logging.getLogger("tests.realtime_upstream_server")
quiet.setLevel(logging.WARNING)
"""What a server writes down of a key is its own affair; here it would look like ours."""

Behave = Callable[["Upstream"], Awaitable[None]]


class Upstream:
    """One connection, as the server sees it."""

    def __init__(self, socket: ServerConnection, seen: list[dict[str, Any]]) -> None:
        self._socket = socket
        self.seen = seen

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The client's next event of these types."""
        while True:
            event = json.loads(await self._socket.recv())
            self.seen.append(event)
            if event["type"] in kinds:
                return event

    async def say(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, "event_id": "event_x", **fields}))

    async def raw(self, frame: str | bytes) -> None:
        await self._socket.send(frame)

    async def begin(self, response_id: str = "theirs") -> dict[str, Any]:
        """Wait for a request and begin an answer."""
        asked = await self.next("response.create")
        await self.say("response.created", response={"id": response_id, "status": "in_progress"})
        return asked

    async def done(self, response_id: str = "theirs", **fields: Any) -> None:
        await self.say("response.done", response={"id": response_id, "status": "completed", **fields})

    async def speak(
        self, words: str, delta: str = "AAAA", response_id: str = "theirs", item_id: str = "item_theirs"
    ) -> None:
        """A spoken item."""
        at = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        await self.say("response.output_item.added", response_id=response_id, item={"id": item_id, "type": "message"})
        await self.say("response.output_audio_transcript.delta", delta=words, **at)
        await self.say("response.output_audio.delta", delta=delta, **at)

    async def answer(self) -> None:
        """A whole answer."""
        asked = await self.begin()
        await self.speak("Hello." if not asked["response"].get("input") else "Aside.")
        await self.done()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def cut(self) -> None:
        self._socket.transport.abort()


class FakeServer:
    """The server. `behave` may be exchanged at any time; `refuse` answers handshakes with a status."""

    def __init__(self, behave: Behave) -> None:
        self.behave = behave
        self.refuse: tuple[int, dict[str, str]] | None = None
        self.url = ""
        self.seen: list[dict[str, Any]] = []
        self.handshakes: list[Request] = []
        self.gone = asyncio.Event()

    async def handle(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await self.behave(Upstream(socket, self.seen))
            await socket.wait_closed()
        self.gone.set()

    def check(self, socket: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        if self.refuse is None:
            return None
        status, headers = self.refuse
        response = socket.respond(status, "sk-never-to-be-seen is no good key\n")
        for name, value in headers.items():
            response.headers[name] = value
        return response


@asynccontextmanager
async def fake_server(behave: Behave) -> AsyncIterator[FakeServer]:
    """The server, in this event loop."""
    fake = FakeServer(behave)
    server: Server
    options: dict[str, Any] = {"compression": None, "close_timeout": 0.2, "logger": quiet}
    async with serve(fake.handle, "127.0.0.1", 0, process_request=fake.check, **options) as server:
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield fake


async def answers(upstream: Upstream) -> None:
    """Well, for ever."""
    await upstream.say("session.created", session={})
    while True:
        await upstream.answer()


class Wire:
    """A connection to a real server that can be cut: what is on it is lost, and the next one goes through again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.url = ""
        self.flows = asyncio.Event()
        """While it is clear, nothing passes, and nobody is told."""
        self.flows.set()

    def cut(self) -> None:
        self.flows.set()
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.CancelledError):
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers |= {writer, other_writer}
            await asyncio.gather(self._pass(reader, other_writer), self._pass(other_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A wire to the server at `http://127.0.0.1:PORT`."""
    made = Wire(int(url.rpartition(":")[2]))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield made
    made.cut()
    server.close()
