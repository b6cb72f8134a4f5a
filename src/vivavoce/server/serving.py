"""One process that serves: its port, its event loop, and what is loaded when.

Engines load first, and the routes are imported meanwhile: a recogniser takes as long to load as all of the server.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from vivavoce.engines import weights
from vivavoce.protocol.errors import SettingsError
from vivavoce.server import heap
from vivavoce.server.engines import Engines
from vivavoce.settings import Settings

if TYPE_CHECKING:
    from vivavoce.server.state import ServerState


def serve(settings: Settings, listener: socket.socket, ready: Callable[[ServerState], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once engines are warm and the port answers.

    Raises `SettingsError` and `EngineError` before that.
    """

    def warm(state: ServerState) -> None:
        gc.collect()
        gc.freeze()  # What is loaded by now stays: no collection has to look at it again.
        ready(state)

    weights.configure(settings.weights_folder, offline=settings.offline)
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # For libraries that would look for something newer by themselves.
    engines = Engines(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, engines, listener, warm))


async def _serve(
    settings: Settings, engines: Engines, listener: socket.socket, ready: Callable[[ServerState], None]
) -> None:
    starting = asyncio.create_task(engines.start())
    try:
        await asyncio.to_thread(importlib.import_module, "vivavoce.server.http_server")
        from vivavoce.server.http_server import Server
        from vivavoce.server.state import make_state

        server = Server(make_state(settings, engines), listener, ready)
    except BaseException:
        starting.cancel()
        raise
    trimming = asyncio.create_task(heap.keep_trimmed())
    await server.run_until_stopped()
    trimming.cancel()


# --- sockets and signals ---


def listen(host: str, port: int, shared: bool) -> socket.socket:
    """Take the port. `shared`: other processes of ours take it too. Raises `SettingsError` if it is not to be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"Cannot listen on {host}: {error.strerror}.") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Is another server running? Try --port {port + 1}."
        ) from None
    listener.setblocking(False)
    return listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # Not to be had on every platform.
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
