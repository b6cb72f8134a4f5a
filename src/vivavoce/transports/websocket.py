"""A session over a WebSocket: text frames become events, events text frames, in the connection's dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from vivavoce.protocol.codec import Dialect, binary_frame
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import Error, ServerEvent
from vivavoce.runner import Runner
from vivavoce.transports.connection import Connection
from vivavoce.transports.frames import Text
from vivavoce.transports.large_frames import LARGE_FRAME_BYTES, NotAnAppend, steps

SUBPROTOCOL: Final = "realtime"


class WebSocket:
    """Joins a `Connection` and a `Runner`. `open_runner` gets the two functions that a runner writes to."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        open_runner: Callable[[Callable[[ServerEvent], None], Callable[[int, str], None]], Runner],
    ) -> None:
        self._connection: Final = connection
        self._dialect: Final = dialect
        self.runner: Final = open_runner(self._send, connection.close)
        self._errors = 0

    def start(self) -> None:
        """Answer the handshake and begin the session.

        Exactly `realtime` is echoed, and only to a client that offers it: "if the server includes a subprotocol that was not
        offered, the client must fail the connection".
        """
        offered = SUBPROTOCOL in self._connection.request.subprotocols
        self._connection.accept(self, SUBPROTOCOL if offered else None)
        self.runner.start()

    # --- the session's side ---

    def _send(self, event: ServerEvent) -> None:
        if isinstance(event, Error):
            self._errors += 1
        frame = self._dialect.encode(event)
        if frame is not None:
            self._connection.send(frame)

    # --- the connection's side: `Receiver` ---

    def text(self, message: Text) -> asyncio.Future[None] | None:
        """Hand a frame's event to the session: at once, or bit by bit where the frame is large."""
        if message.size > LARGE_FRAME_BYTES:
            return asyncio.ensure_future(self._take_large(message))
        pieces = message.pieces
        self._take(bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces))
        return None

    def binary(self) -> None:
        """Events travel in text frames."""
        self.runner.rejected(binary_frame())

    def gone(self) -> None:
        """The client is gone."""
        self.runner.disconnected()

    # --- frames to events ---

    def _take(self, frame: bytes) -> None:
        try:
            event = self._dialect.decode(frame)
        except RequestError as error:
            self.runner.rejected(error)
        except Exception:
            self.runner.fail("a frame")
        else:
            self.runner.feed(event)

    async def _take_large(self, message: Text) -> None:
        try:
            await self._take_append(message)
        except NotAnAppend:
            await self._take_whole(message)
        except Exception:
            self.runner.fail("a large frame")
        while message.pieces:  # To give back 24 MiB at once takes 10 ms.
            message.pieces.pop()
            await asyncio.sleep(0)

    async def _take_append(self, message: Text) -> None:
        """One error is enough for one frame, however many appends it became."""
        errors = self._errors
        for event in steps(message.pieces, self._dialect):
            if event is not None:
                self.runner.feed(event)
            if self._errors > errors:
                return
            await asyncio.sleep(0)

    async def _take_whole(self, message: Text) -> None:
        try:
            event = await asyncio.to_thread(lambda: self._dialect.decode(b"".join(message.pieces)))
        except RequestError as error:
            self.runner.rejected(error)
        except Exception:
            self.runner.fail("a large frame")
        else:
            self.runner.feed(event)
