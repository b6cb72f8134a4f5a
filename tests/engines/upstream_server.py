"""A real HTTP server on 127.0.0.1 that answers as a test wants: well, slowly, wrongly, or not at all."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from msgspec import Struct

QUICK = {"first_seconds": 0.3, "silence_seconds": 0.3}
"""Options for those that would wait for ever."""


class Received(Struct):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def form(self) -> dict[str, bytes]:
        """The fields of a multipart body."""
        boundary = self.headers["content-type"].partition("boundary=")[2].encode()
        fields = {}
        for part in self.body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            fields[head.split(b'name="')[1].split(b'"')[0].decode()] = content.removesuffix(b"\r\n")
        return fields


class Out:
    """The response. Bodies are chunked; `end` is written when the answer returns."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.begun = False

    async def head(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        self.begun = True
        lines = [f"HTTP/1.1 {status} Reason", f"content-type: {content_type}", "transfer-encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()

    async def write(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def event(self, content: Any) -> None:
        data = content if isinstance(content, str) else json.dumps(content)
        await self.write(f"data: {data}\n\n".encode())

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def whole(self, status: int, content_type: str, body: bytes, **headers: str) -> None:
        await self.head(status, content_type, **headers)
        await self.write(body)

    def cut(self) -> None:
        """Break the connection where it stands."""
        self._writer.transport.abort()
        raise ConnectionAbortedError

    async def silence(self) -> None:
        await asyncio.Event().wait()


Answer = Callable[[Received, Out], Awaitable[None]]


class UpstreamServer:
    """The server. `answer` may be exchanged at any time."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.requests: deque[Received] = deque(maxlen=20)
        self.connections = 0
        self.broken = asyncio.Event()
        """A client closed its connection in the middle of an answer."""

    @property
    def last(self) -> Received:
        return [request for request in self.requests if request.method == "POST"][-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Cancelled where the test ends first: Python 3.11 would complain of it.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (request := await self._read(reader)) is not None:
                self.requests.append(request)
                await self._answered(request, reader, writer)
        writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Received | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Received(method, path, headers, body)

    async def _answered(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer; stop where the client goes away."""
        out = Out(writer)
        answering = asyncio.ensure_future(self.answer(request, out))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            gone.exception()  # A connection that breaks while it is written to is no news.
        if not answering.done():
            answering.cancel()
            self.broken.set()
            raise ConnectionResetError
        if not gone.done():
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        answering.result()
        if out.begun:
            await out.raw(b"0\r\n\r\n")


@asynccontextmanager
async def upstream(answer: Answer) -> AsyncIterator[UpstreamServer]:
    """The server, in this event loop."""
    served = UpstreamServer(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield served
    server.close()


@contextmanager
def upstream_thread(answer: Answer) -> Iterator[UpstreamServer]:
    """The server, in a thread of its own: what it computes is not the engine's."""
    loop = asyncio.new_event_loop()
    served = UpstreamServer(answer)
    server = loop.run_until_complete(asyncio.start_server(served.serve, "127.0.0.1", 0))
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield served
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


# --- how well-behaved servers answer ---


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def called(name: str, arguments: str, **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


async def models(request: Received, out: Out) -> None:
    await out.whole(200, "application/json", b'{"object":"list","data":[{"id":"nomic-embed-text"},{"id":"tiny"}]}')


async def well(request: Received, out: Out) -> None:
    """A whole stack of models, as fakes: says back what it was told; calls a tool whose name it hears; FALL fails."""
    match request.path.removeprefix("/v1/"):
        case "models":
            await models(request, out)
        case "chat/completions":
            await _chat(request.json, out)
        case "audio/transcriptions":
            await out.head()
            for word in ("Hello", " there."):
                await out.event({"type": "transcript.text.delta", "delta": word})
            await out.event({"type": "transcript.text.done", "text": "Hello there."})
        case "audio/speech":
            await out.head(content_type="audio/pcm")
            for character in request.json["input"]:
                await out.write((1000 + ord(character)).to_bytes(2, "little") * 240)


async def _chat(body: dict[str, Any], out: Out) -> None:
    said = body["messages"][-1]["content"].splitlines()[-1]
    if "FALL" in said:
        await out.whole(500, "text/html", b"<html><h1>Internal Server Error</h1></html>")
        return
    await out.head()
    await out.event(chunk(role="assistant", content=""))
    for tool in body.get("tools", ()):
        name = tool["function"]["name"]
        if name in said:
            await out.event(chunk(tool_calls=[called(name, "", index=0, id="call_7")]))
            await out.event(chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"city": '}}]))
            await out.event(chunk("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": '"Paris"}'}}]))
            await out.event("[DONE]")
            return
    for word in f"You said: {said}".split(" "):
        await out.event(chunk(content=f"{word} "))
    await out.event(chunk("stop"))
    await out.event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}})
    await out.event("[DONE]")
