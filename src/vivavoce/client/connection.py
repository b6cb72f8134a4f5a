"""The socket to a Realtime server: where it is, who we are, events out and in."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode

from vivavoce.client.errors import ClientError, UsageError
from vivavoce.client.received import Received, received

DEFAULT_URL: Final = "http://127.0.0.1:8000"
CLOSED: Final = "The server closed the connection."
OPEN_SECONDS: Final = 10.0
_FRAME_BYTES: Final = 32 * 2**20
"""The largest frame that is taken. Ours stay below 1 MiB; other servers send items with minutes of audio."""


class Server(Struct, frozen=True, kw_only=True):
    """Which server, and how to speak to it."""

    url: str = DEFAULT_URL
    """`http`, `https`, `ws` or `wss`; with the path of the endpoint, or with none."""
    model: str = "gpt-realtime"
    api_key: str | None = None
    beta: bool = False

    @property
    def address(self) -> str:
        """The WebSocket's address. Raises `UsageError`."""
        parts = urlsplit(self.url if "://" in self.url else f"http://{self.url}")
        scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
        if scheme is None or not parts.netloc:
            raise UsageError(f"{self.url} is no server's address. Write it as {DEFAULT_URL}")
        path = parts.path.rstrip("/")
        if not path.endswith("/realtime"):
            path = f"{path or '/v1'}/realtime"
        query = "&".join(part for part in (parts.query, urlencode({"model": self.model})) if part)
        return urlunsplit((scheme, parts.netloc, path, query, ""))

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the upgrade."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return headers | ({"OpenAI-Beta": "realtime=v1"} if self.beta else {})

    @property
    def is_loopback(self) -> bool:
        """The server is on this machine."""
        return urlsplit(self.address).hostname in ("127.0.0.1", "localhost", "::1")


Watch = Callable[[str, str | bytes], None]
"""Sees each frame: `sent` or `received`, and the frame."""


class Connection:
    """An open WebSocket that speaks events. Iterate it for the server's; the end of the iteration is a clean close."""

    def __init__(self, socket: ClientConnection, watch: Watch | None) -> None:
        self._socket: Final = socket
        self._watch: Final = watch

    async def send(self, event: dict[str, Any]) -> None:
        """Send a client event; `bytes` in it become base64. Raises `ClientError` once the connection is closed."""
        frame = msgspec.json.encode(event).decode()
        if self._watch:
            self._watch("sent", frame)
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise _broken(closed) from None

    async def __aiter__(self) -> AsyncIterator[Received]:
        """Each server event as it comes. Raises `ClientError` where the server broke off."""
        try:
            async for frame in self._socket:
                if self._watch:
                    self._watch("received", frame)
                yield received(frame)
        except ConnectionClosed as closed:
            raise _broken(closed) from None


@asynccontextmanager
async def connected(server: Server, watch: Watch | None = None) -> AsyncIterator[Connection]:
    """A connection, closed at the end. Raises `ClientError` where the server refuses it."""
    here = server.is_loopback
    opening = connect(
        server.address,
        additional_headers=server.headers,
        open_timeout=OPEN_SECONDS,
        close_timeout=2,
        max_size=_FRAME_BYTES,
        compression=None if here else "deflate",
        proxy=None if here else True,
    )
    try:
        socket = await opening
    except InvalidStatus as refused:
        raise ClientError(_refusal(refused)) from None
    except (InvalidHandshake, ConnectionClosed, ValueError) as error:
        raise ClientError(f"{server.url} answers, but not as a Realtime server: {error}.") from None
    except TimeoutError:
        raise ClientError(f"{server.url} does not answer within {OPEN_SECONDS:.0f} s.") from None
    except OSError:
        raise ClientError(f"No server answers at {server.url}. Start one: vivavoce serve") from None
    try:
        yield Connection(socket, watch)
    finally:
        await socket.close()


def _refusal(refused: InvalidStatus) -> str:
    """The server's own words, where its error has the API's form."""
    status = refused.response.status_code
    try:
        message = str(json.loads(refused.response.body or b"")["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = refused.response.reason_phrase or "no reason given"
    hint = " Give it with --api-key or in VIVAVOCE_API_KEY." if status == 401 else ""
    return f"The server refuses the connection with HTTP {status}: {message}{hint}"


def _broken(closed: ConnectionClosed) -> ClientError:
    if closed.rcvd is None:
        return ClientError("The connection broke off.")
    if closed.rcvd.code == CloseCode.NORMAL_CLOSURE:
        return ClientError(CLOSED)
    reason = f": {closed.rcvd.reason}" if closed.rcvd.reason else ""
    return ClientError(f"The server closed the connection with {int(closed.rcvd.code)}{reason}")


def server_options(args: argparse.Namespace, url: str) -> Server:
    """`Server` from the flags of `say` and `talk`."""
    api_key = args.api_key or os.environ.get("VIVAVOCE_API_KEY") or os.environ.get("OPENAI_API_KEY")
    return Server(url=url, model=args.model, api_key=api_key, beta=args.beta)
