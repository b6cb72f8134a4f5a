"""A speaker on a socket: one timer, one protocol, no task.

Frames come in through `websockets`' protocol; they go out past it, because they are finished already.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from vivavoce.client.connection import OPEN_SECONDS, Server
from vivavoce.client.load.figures import Tally
from vivavoce.client.load.frames import text_frame
from vivavoce.client.load.plan import CHUNK_MS
from vivavoce.client.load.speaker import Speaker, read_event

_CHUNK_SECONDS: Final = CHUNK_MS / 1000
_LARGEST_BYTES: Final = 32 * 2**20


class Wire(asyncio.Protocol):
    """One connection. `opened` is done once the server has taken the settings, or with the reason why it has not."""

    def __init__(self, server: Server, speaker: Speaker) -> None:
        self.opened: Final[asyncio.Future[str | None]] = asyncio.get_running_loop().create_future()
        self.speaker: Final = speaker
        self._server: Final = server
        self._loop: Final = asyncio.get_running_loop()
        self._protocol: Final = ClientProtocol(parse_uri(server.address), max_size=_LARGEST_BYTES)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._fragments: list[bytes] = []

    def close(self) -> None:
        """Stop speaking and leave."""
        if self._timer is not None:
            self._timer.cancel()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        request = self._protocol.connect()
        request.headers.update(Headers(self._server.headers))
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take the server's frames."""
        now = time.monotonic()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event, now)
            elif isinstance(event, Response):
                self._on_response(event)
        self._flush()

    def eof_received(self) -> None:
        """The server is done."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; mid-run that is an error."""
        if self._timer is not None and not self._timer.cancelled():
            self._timer.cancel()
            if self.speaker.tally is not None:
                self.speaker.tally.errors["connection_lost"] += 1
        self._settle(f"The server closed the connection{f': {error}' if error else ''}.")

    # --- steps ---

    def _on_response(self, response: Response) -> None:
        if self._protocol.handshake_exc is not None:
            status = f"HTTP {response.status_code}: {(response.body or b'').decode(errors='replace')[:200]}"
            self._settle(f"The server refuses the connection with {status}")
            return
        self._transport.write(text_frame(self.speaker.settings()))

    def _on_frame(self, frame: Frame, now: float) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        text = b"".join(self._fragments)
        self._fragments.clear()
        try:
            event = read_event(text)
        except msgspec.DecodeError:
            if self.speaker.tally is not None:
                self.speaker.tally.errors["unreadable_event"] += 1
            return
        self.speaker.hear(event, now)
        if self._timer is None and self.speaker.ready:
            self._settle(None)
            self._due = now
            self._speak()

    def _speak(self) -> None:
        """Send the chunk that is due, and see to the next one. A chunk that is late does not delay those after it."""
        now = time.monotonic()
        self._transport.write(self.speaker.chunk(now))
        if self.speaker.tally is not None:
            self.speaker.tally.own_lag_ms.append((now - self._due) * 1000)
        self._due += _CHUNK_SECONDS
        self._timer = self._loop.call_later(max(0.0, self._due - now), self._speak)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    def _settle(self, problem: str | None) -> None:
        if not self.opened.done():
            self.opened.set_result(problem)


async def opened(server: Server, speaker: Speaker) -> Wire | str:
    """A session that speaks, or why there is none."""
    address = urlsplit(server.address)
    secure = address.scheme == "wss"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            port = address.port or (443 if secure else 80)
            host, tls = address.hostname or "", True if secure else None
            _, wire = await loop.create_connection(lambda: Wire(server, speaker), host, port, ssl=tls)
            return await wire.opened or wire
    except TimeoutError:
        return f"{server.url} does not open a session within {OPEN_SECONDS:.0f} s."
    except OSError as error:
        return f"No server answers at {server.url}: {error.strerror or error}."


def begin_measuring(wires: list[Wire]) -> Tally:
    """From now on all sessions count into one tally."""
    tally = Tally()
    for wire in wires:
        wire.speaker.tally = tally
    return tally
