"""The connection to another Realtime server: made when it is first wanted, made anew when it died and is wanted again.

    idle ── wake ──▶ connecting ── greeting sent ──▶ open ──▶ lost: everyone is told why ──▶ idle

Two tasks for each session, both there from its beginning: one connects and reads, one writes. What is sent while the
connection is being made waits; what was not sent when it broke is forgotten, because the server forgot the rest too.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from vivavoce import __version__
from vivavoce.engines.realtime_wire import Event, Received, received
from vivavoce.engines.upstream_options import is_loopback
from vivavoce.protocol.errors import EngineError

logger = logging.getLogger(__name__)

_quiet = logging.getLogger(f"{__name__}.socket")
_quiet.setLevel(logging.WARNING)
"""For the library: at `debug` it would log the handshake, key included."""

_PING_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 1.0
_LARGEST_FRAME_BYTES: Final = 32 * 2**20
_LARGE_AUDIO_BYTES: Final = 64 * 2**10
"""Larger events are encoded in a thread."""
_MOST_WAITING_BYTES: Final = 64 * 2**20
"""What may wait for a server that does not read. Far above an hour of phone calls in a minute."""


class Target(Struct, frozen=True, kw_only=True):
    """Which server, and how to speak to it."""

    name: str
    """Its path in the settings."""
    subject: str
    """What messages call it."""
    base_url: str
    model: str = ""
    key: str = ""
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    connect_seconds: float = 5.0
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Target({self.base_url!r})"

    @property
    def address(self) -> str:
        """The WebSocket's URL."""
        parts = urlsplit(self.base_url)
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        query = urlencode({**({"model": self.model} if self.model else {}), **self.query})
        return urlunsplit((scheme, parts.netloc, f"{parts.path}/realtime", query, ""))

    async def connect(self) -> ClientConnection:
        """A connection. Raises `EngineError`."""
        here = is_loopback(urlsplit(self.base_url).hostname or "")
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            return await _Connect(
                self.address,
                additional_headers={**key, **self.headers},
                user_agent_header=f"vivavoce/{__version__}",
                open_timeout=self.connect_seconds,
                close_timeout=_CLOSE_SECONDS,
                ping_interval=None,  # The writer does it: a task that comes later would look like a leak.
                max_size=_LARGEST_FRAME_BYTES,
                compression=None,
                proxy=None if here else True,
                ssl=self.tls,
                logger=_quiet,
            )
        except InvalidStatus as refused:
            raise self._refusal(refused) from None
        except TimeoutError:
            raise self.failure("upstream_timeout", "did not answer in time.") from None
        except (WebSocketException, EOFError) as error:
            raise self.failure("upstream_invalid", "answers, but not as a Realtime server.", _detail(error)) from None
        except OSError as error:
            raise self.failure("upstream_unreachable", "cannot be reached.", _detail(error)) from None

    def failure(self, code: str, message: str, detail: object = "") -> EngineError:
        """What went wrong: `message` follows the subject and is for everyone, `detail` is for the operator's log."""
        logger.warning("%s", self._redacted(f"{self.name} at {self.base_url}: {code}: {detail or message}"))
        return EngineError(code, self._redacted(f"{self.subject} {message}"))

    def closed(self, error: ConnectionClosed) -> EngineError:
        """The connection is over, and nobody here wanted that."""
        return self.failure("upstream_disconnected", "broke the connection.", _detail(error))

    def _refusal(self, refused: InvalidStatus) -> EngineError:
        """The handshake was answered with a status. What it says is left out: it may quote the key."""
        status = refused.response.status_code
        detail = f"HTTP {status}."
        if status == 429:
            wait = refused.response.headers.get("retry-after", "")
            again = f" Try again in {wait} s." if wait.replace(".", "", 1).isdecimal() else ""
            return self.failure("rate_limit_exceeded", f"has had enough requests.{again}", detail)
        if status in (401, 403):
            return self.failure("upstream_unauthorized", "refused the credentials in the settings.", detail)
        if 300 <= status < 400:
            return self.failure("upstream_rejected", "moved: redirects are not followed.", detail)
        code = "upstream_failed" if status >= 500 else "upstream_rejected"
        return self.failure(code, f"refused the connection (HTTP {status}).", detail)

    def _redacted(self, text: str) -> str:
        return text.replace(self.key, "********") if self.key else text


class _Connect(connect):
    """Goes where the operator said and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """No redirect is followed."""
        return exc


class Owner(Protocol):
    """Whose line it is."""

    def greeting(self) -> Event:
        """The first event of each connection."""

    def take(self, event: Received) -> None:
        """An event of the server's."""

    def lost(self, error: EngineError) -> None:
        """There is no connection any more, or none could be made."""


class Line:
    """One session's connection. Lives on the event loop."""

    def __init__(self, target: Target, owner: Owner) -> None:
        self.target: Final = target
        self.epoch = 0
        """Counts connections: what was said on an earlier one is forgotten there."""
        self._owner: Final = owner
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._open = asyncio.Event()
        self._opening: asyncio.Future[EngineError | None] | None = None
        """`None`: idle."""
        self._socket: ClientConnection | None = None
        self._outbox: deque[Event] = deque()
        self._outbox_bytes = 0
        self._has_more = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._dropped: EngineError | None = None
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._write())]

    @property
    def is_open(self) -> bool:
        """There is a connection, as far as anybody knows."""
        return self._socket is not None

    def wake(self) -> None:
        """Have a connection, soon."""
        if self._opening is None:
            self.epoch += 1
            self._opening = self._loop.create_future()
            self._wanted.set()

    async def ready(self) -> None:
        """Wait for the connection. Raises `EngineError`."""
        self.wake()
        assert self._opening is not None
        if (error := await asyncio.shield(self._opening)) is not None:
            raise EngineError(error.code, error.message)

    def send(self, event: Event) -> None:
        """Send an event, in order. Never blocks."""
        self.wake()
        self._outbox.append(event)
        self._outbox_bytes += _audio_bytes(event)
        self._has_more.set()
        if self._outbox_bytes > _MOST_WAITING_BYTES:
            self.drop(self.target.failure("upstream_timeout", "does not read what it is sent."))

    def drop(self, error: EngineError) -> None:
        """Break the connection: the server is not where it should be."""
        if self._patience is not None and self._dropped is None:
            self._dropped = error
            self._patience.reschedule(self._loop.time())

    def close(self) -> None:
        """The session is over."""
        for task in self._tasks:
            task.cancel()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            socket = None
            try:
                socket = await self.target.connect()
                self._opened(socket)
                await self._read(socket)
            except EngineError as error:
                self._lost(error)
            except Exception:
                logger.exception("%s: reading failed", self.target.name)
                self._lost(EngineError("server_error", "The engine failed. The server's log says why."))
            finally:
                if socket is not None:
                    await socket.close()

    def _opened(self, socket: ClientConnection) -> None:
        assert self._opening is not None
        self._socket = socket
        self._outbox.appendleft(self._owner.greeting())
        self._open.set()
        self._opening.set_result(None)

    def _lost(self, error: EngineError) -> None:
        opening, self._opening = self._opening, None
        self._open.clear()
        self._socket = None
        self._outbox.clear()
        self._outbox_bytes = 0
        if opening is not None and not opening.done():
            opening.set_result(error)
        self._owner.lost(error)

    async def _read(self, socket: ClientConnection) -> None:
        """Take events until the connection is over. Raises `EngineError`, always."""
        self._dropped = None
        try:
            async with asyncio.timeout(None) as self._patience:
                while self._dropped is None:
                    self._owner.take(self._understood(await socket.recv()))
                raise self._dropped
        except TimeoutError:
            raise self._dropped or EngineError("upstream_disconnected", "The connection was given up.") from None
        except ConnectionClosed as error:
            raise self.target.closed(error) from None
        finally:
            self._patience = None

    def _understood(self, frame: str | bytes) -> Received:
        try:
            return received(frame)
        except (ValueError, msgspec.DecodeError) as error:
            raise self.target.failure("upstream_invalid", "sent something that is no event.", error) from None

    async def _write(self) -> None:
        pong: Any = None
        while True:
            await self._open.wait()
            self._has_more.clear()
            if not self._outbox:
                try:
                    async with asyncio.timeout(_PING_SECONDS):
                        await self._has_more.wait()
                except TimeoutError:
                    pong = await self._ping(pong)
            elif (socket := self._socket) is not None:
                event = self._outbox.popleft()
                size = _audio_bytes(event)
                self._outbox_bytes -= size
                data = await asyncio.to_thread(_encoded, event) if size > _LARGE_AUDIO_BYTES else _encoded(event)
                try:
                    await socket.send(data)
                except ConnectionClosed:  # The reader says why, and tells everyone.
                    if self._socket is socket:
                        self._open.clear()

    async def _ping(self, pong: Any) -> Any:
        """Nothing to say: see whether the server is still there. Returns what its answer to this one will be."""
        socket = self._socket
        if socket is None:
            return None
        if pong is not None and not pong.done():
            self.drop(self.target.failure("upstream_disconnected", "is gone."))
            return None
        try:
            return await socket.ping()
        except ConnectionClosed:
            if self._socket is socket:
                self._open.clear()
            return None


def _encoded(event: Event) -> str:
    return msgspec.json.encode(event).decode()


def _audio_bytes(event: Event) -> int:
    """How much sound is in an event."""
    if isinstance(audio := event.get("audio"), bytes):
        return len(audio)
    items = [event.get("item"), *(event.get("response") or {}).get("input", ())]
    parts = [part for item in items if item for part in item.get("content", ())]
    return sum(len(part["audio"]) for part in parts if isinstance(part.get("audio"), bytes))


def _detail(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
