"""The HTTP server of one process: uvicorn, its routes, its start and its end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from vivavoce.protocol.errors import SettingsError
from vivavoce.server.app import make_app
from vivavoce.server.realtime import Realtime
from vivavoce.server.state import ServerState
from vivavoce.transports.connection import CLOSE_SECONDS, Connection

_BACKLOG: Final = 2048
_HTTP_GRACE_SECONDS: Final = round(CLOSE_SECONDS) + 1


class Server(uvicorn.Server):
    """uvicorn, but that a stop lets running responses finish first."""

    def __init__(self, state: ServerState, listener: socket.socket, ready: Callable[[ServerState], None]) -> None:
        super().__init__(_uvicorn_config(state))
        self.state: Final = state
        self._listener: Final = listener
        self._ready: Final = ready
        self._signals: Final[set[int]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._hurry: asyncio.Event

    async def run_until_stopped(self) -> None:
        """Warm the engines up, serve, and put everything away. Raises `SettingsError` and `EngineError`."""
        self._loop = asyncio.get_running_loop()
        self._hurry = asyncio.Event()
        try:
            await self.state.engines.start()
            await self.state.front_ends.start()
            watch = self._loop.create_task(self.state.metrics.watch_loop())
            await self.serve(sockets=[self._listener])
            watch.cancel()
            await self.state.engines.close()
            self.state.front_ends.close()
        finally:
            self._listener.close()
            if self.state.traces is not None:
                await asyncio.to_thread(self.state.traces.close)

    def stop(self) -> None:
        """As SIGTERM does. On the event loop."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._ready(self.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, drain the sessions, then stop."""
        for server in self.servers:
            server.close()
        await self.state.sessions.drain(self.state.settings.grace_seconds, self._hurry)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop gracefully; at once where the same signal comes again: Ctrl-C gives a worker SIGINT, and its parent SIGTERM.

        uvicorn would raise the signal again in the end. A stop that was asked for is no failure, so it does not get to know.
        """
        if sig in self._signals:
            self.force_exit = True
            self._loop.call_soon_threadsafe(self._hurry.set)
        self._signals.add(sig)
        self.stop()


def _uvicorn_config(state: ServerState) -> uvicorn.Config:
    settings = state.settings
    limits = settings.limits
    endpoint = Realtime(state)

    def connection(config: uvicorn.Config, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
        return Connection(endpoint, server_state.connections, limits.frame_bytes, limits.outbox_bytes)

    config = uvicorn.Config(
        make_app(state),
        http="httptools",
        ws=connection,  # type: ignore[arg-type]  # A factory of protocols is what is called.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        ssl_certfile=settings.certfile,
        ssl_keyfile=settings.keyfile,
        timeout_graceful_shutdown=_HTTP_GRACE_SECONDS,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"certfile and keyfile do not work: {error}.") from None
    return config
