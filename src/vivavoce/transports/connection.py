"""One WebSocket connection on the event loop: the frames of `frames.py` over an asyncio transport.

    HANDSHAKE ──accept──▶ OPEN ──close, or the client's close──▶ CLOSING ──▶ CLOSED
        └───refuse───────────────────────────────────────────────────────────▲

Everything is a callback: no task, no queue, no lock, and no message that waits for a turn of the loop. Reading gives way to
other connections after half a millisecond. Writing goes to the transport until that is full, then to a bounded backlog; a
client that lets the backlog overflow is closed with 1008.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from vivavoce.transports import frames
from vivavoce.transports.frames import Binary, Closing, FrameError, FrameReader, Oversized, Ping, Text
from vivavoce.transports.handshake import HandshakeError, Request, acceptance, parse, refusal

_logger = logging.getLogger("vivavoce.websocket")

SLICE_SECONDS: Final = 0.0005
"""How long one connection may hold the event loop while others wait."""
PING_SECONDS: Final = 20.0
"""After so much silence the client is asked whether it lives, and given as long again to answer."""
CLOSE_SECONDS: Final = 5.0
"""How long a client may take to read what is left and to answer a close frame."""
FAIL_SECONDS: Final = 1.0
"""The same for a client that broke the protocol: its answer could not be understood."""
_WRITE_BUFFER_BYTES: Final = 256 * 1024
_LONG_READ_BYTES: Final = 64 * 1024
"""After a read of this length it is the others' turn: libuv would go on for 32 reads of 256 KiB."""


class Receiver(Protocol):
    """Who takes a connection's messages. Called on the event loop."""

    def text(self, message: Text) -> asyncio.Future[None] | None:
        """A text message. Where a future comes back, nothing more is read until it is done."""

    def binary(self) -> None:
        """A binary message."""

    def gone(self) -> None:
        """The client is gone, or is being closed for its own fault. Called once; nothing comes after it."""


class _State(enum.Enum):
    HANDSHAKE = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Connection(asyncio.Protocol):
    """`endpoint` answers the handshake, at once, with `accept` or `refuse`. `peers` holds every connection that is alive."""

    def __init__(
        self, endpoint: Callable[[Connection], None], peers: set[Any], max_message_bytes: int, max_backlog_bytes: int
    ) -> None:
        self.request: Request
        self.bytes_in = 0
        self.bytes_out = 0
        self.address = ""
        self._endpoint: Final = endpoint
        self._peers: Final = peers
        self._max_backlog_bytes: Final = max_backlog_bytes
        self._state = _State.HANDSHAKE
        self._reader: Final = FrameReader(max_message_bytes)
        self._receiver: Receiver | None = None
        self._loop: Final = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._backlog: Final[deque[bytes]] = deque()
        self._backlog_bytes = 0
        self._writing_paused = False
        self._pong: bytes | None = None
        self._busy = False
        """A message is being worked on, or this connection waits for its next turn: nothing is read."""
        self._deaf = False
        """What the client says has no meaning any more: it was refused, or it broke the protocol."""
        self._heard = True
        self._timer: asyncio.TimerHandle | None = None

    # --- for the endpoint and the receiver ---

    def accept(self, receiver: Receiver, subprotocol: str | None) -> None:
        """Open the WebSocket."""
        self._receiver = receiver
        self._state = _State.OPEN
        self._transport.write(acceptance(self.request, subprotocol))
        self._timer = self._loop.call_later(PING_SECONDS, self._keep_alive)

    def refuse(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer with an HTTP error and a JSON body instead."""
        self._finish(refusal(status, body, headers))

    def send(self, text: bytes) -> None:
        """Send a text message, UTF-8. Nothing happens once the connection is closing."""
        if self._state is not _State.OPEN:
            return
        data = frames.frame(frames.TEXT, text)
        self.bytes_out += len(data)
        if not self._writing_paused:
            self._transport.write(data)
        elif self._backlog_bytes + len(data) <= self._max_backlog_bytes:
            self._backlog.append(data)
            self._backlog_bytes += len(data)
        else:
            self._backlog.clear()
            self.close(1008, "The client does not read what the server sends.")
            self._tell_gone()

    def close(self, code: int, reason: str) -> None:
        """Close, after what was sent so far. A client that does not take part is cut off."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSING
        self._write(frames.close_frame(code, reason))
        self._set_timer(CLOSE_SECONDS, self.abort)

    def abort(self) -> None:
        """Cut the connection off."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server stops."""
        if self._state is _State.HANDSHAKE:
            self._transport.close()
        self.close(1001, "The server is restarting.")

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands, and the HTTP server has handed it over."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._peers.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The TCP connection is gone."""
        self._state = _State.CLOSED
        self._peers.discard(self)
        self._backlog.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._tell_gone()

    def data_received(self, data: bytes) -> None:
        """First the handshake's head, in one piece; then frames."""
        if self._deaf:
            return
        if self._state is _State.HANDSHAKE:
            self._shake_hands(data)
        else:
            self._heard = True
            self.bytes_in += len(data)
            self._reader.feed(data)
            if not self._busy:
                self._read()
            if not self._busy and len(data) >= _LONG_READ_BYTES:
                self._wait()
                self._loop.call_soon(self._go_on)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writing_paused = False
        if self._pong is not None:
            pong, self._pong = self._pong, None
            self._transport.write(pong)
        while self._backlog and not self._writing_paused:
            data = self._backlog.popleft()
            self._backlog_bytes -= len(data)
            self._transport.write(data)

    # --- reading ---

    def _shake_hands(self, head: bytes) -> None:
        try:
            self.request = parse(head)
        except HandshakeError as error:
            self._finish(error.response)
        else:
            self._endpoint(self)

    def _read(self) -> None:
        """Take messages until there are none, or the slice is over, or one of them takes longer."""
        reader, until = self._reader, time.monotonic() + SLICE_SECONDS
        try:
            while (message := reader.next()) is not None:
                work = self._take(message)
                if work is not None:
                    self._wait()
                    work.add_done_callback(self._go_on)
                    return
                if not reader.has_more:
                    return
                if time.monotonic() > until:
                    self._wait()
                    self._loop.call_soon(self._go_on)
                    return
        except FrameError as error:
            self._fail(error)

    def _take(self, message: frames.Message) -> asyncio.Future[None] | None:
        if isinstance(message, Closing):
            self._on_closing(message)
        elif self._state is not _State.OPEN or self._receiver is None:
            return None
        elif isinstance(message, Text):
            return self._receiver.text(message)
        elif isinstance(message, Binary):
            self._receiver.binary()
        elif isinstance(message, Ping):
            self._answer_ping(message.payload)
        elif isinstance(message, Oversized):
            self.close(1009, "The message is too big.")
            self._tell_gone()
        return None

    def _wait(self) -> None:
        self._busy = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _go_on(self, work: asyncio.Future[None] | None = None) -> None:
        self._busy = False
        if self._deaf or self._state is _State.CLOSED:
            return
        self._read()
        if not self._busy and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- control frames ---

    def _answer_ping(self, payload: bytes) -> None:
        # "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to previous Ping frame(s), the
        # endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame." So pings fill no memory.
        pong = frames.frame(frames.PONG, payload)
        if self._writing_paused:
            self._pong = pong
        else:
            self._transport.write(pong)

    def _on_closing(self, message: Closing) -> None:
        self._backlog.clear()
        if self._state is _State.OPEN:
            self._transport.write(frames.close_frame(message.code, ""))
        self._state = _State.CLOSING
        self._transport.close()  # "the server MUST close the TCP connection immediately"
        self._set_timer(CLOSE_SECONDS, self.abort)
        self._tell_gone()

    def _fail(self, error: FrameError) -> None:
        """Tell the client what it did; then only wait until it has read it. Closing at once could destroy the message."""
        if self._state is _State.OPEN:
            self.close(error.code, error.reason)
        self._deaf = True
        if self._transport.can_write_eof() and not self._writing_paused:
            self._transport.write_eof()
        self._set_timer(FAIL_SECONDS, self.abort)
        self._tell_gone()

    def _keep_alive(self) -> None:
        if self._state is not _State.OPEN:
            return
        if not self._heard:
            self.close(1011, "keepalive ping timeout")
            self._tell_gone()
            return
        self._heard = False
        if not self._writing_paused:
            self._transport.write(frames.frame(frames.PING, b""))
        self._timer = self._loop.call_later(PING_SECONDS, self._keep_alive)

    # --- writing and ending ---

    def _write(self, data: bytes) -> None:
        if self._writing_paused:
            self._backlog.append(data)
        else:
            self._transport.write(data)

    def _finish(self, response: bytes) -> None:
        self._deaf = True
        self._transport.write(response)
        self._transport.close()
        self._set_timer(CLOSE_SECONDS, self.abort)

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback)

    def _tell_gone(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.gone()
