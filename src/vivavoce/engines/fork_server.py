"""Work in processes of its own, each started in milliseconds with everything loaded.

For a library that holds the GIL while it works. A process of its own for each piece of work would load its model anew: a
second and a hundred megabytes each time. So one child loads it once, and forks for each piece of work. A fork costs a few
milliseconds and the memory that it changes; it begins from the same state as every other, so no work can tell what was done
before it; the kernel shares the cores out among them; and what goes wrong in one stays in it.

    server process                                 fork server                          forked process
    ForkServer.open() ── one end of a new socket ──▶ serve: load, then fork for each ──▶ work(socket), exit
         └── the other end ◀────────── whatever the two have to say to each other ──────────▶┘

An end of stream is how every death is heard. A piece of work that dies ends its own socket and no other. If the fork server
dies, pieces of work go on; a new one is started and reads the same control socket, so that nothing asked for meanwhile is
lost. If the server process dies, however it dies, all sockets end: the fork server and all pieces of work exit.

Needs `fork` and the passing of file descriptors: Linux, macOS, BSD.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from typing import Final

from vivavoce.engines.forked import READY
from vivavoce.protocol.errors import EngineError

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS: Final = 30.0
"""Between two attempts to replace a fork server that does not start any more."""


class ForkServer:
    """Starts the child `python -m MODULE`, keeps it alive, and asks it for processes. The module calls `forked.serve`."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        # Both ends stay open here, so that what is asked for survives the child that should have answered.
        self._control, self._childs_end = socket.socketpair()
        self._control.setblocking(False)

    @property
    def pid(self) -> int | None:
        """Of the child that forks; None before `start` and while a dead one is being replaced."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the child; return when it has loaded. Raises `EngineError`."""
        self._process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep_alive(self._process), name=f"fork server of {self._module}")

    def open(self) -> socket.socket:
        """Ask for a process. Returns at once, with the socket that the process will read. Raises `EngineError`."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
        except OSError as error:  # the control socket is full: hundreds wait already
            ours.close()
            raise EngineError("engine_overloaded", "The recogniser has too much to do.") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        return ours

    async def close(self) -> None:
        """Stop the child. Processes that it forked go on until their work's socket is closed."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # it holds nothing that could be lost
            await self._process.wait()
        self._control.close()
        self._childs_end.close()

    async def _spawn(self) -> asyncio.subprocess.Process:
        """Start a child and wait until it is ready."""
        end = self._childs_end.fileno()
        command = (sys.executable, "-m", self._module, str(end))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, pass_fds=[end]
        )
        try:
            said = await process.stdout.readline() if process.stdout else b""
            if said != READY:
                raise EngineError("engine_unavailable", f"{self._module} did not start: its error output says why.")
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return process

    async def _keep_alive(self, process: asyncio.subprocess.Process) -> None:
        """Replace the child whenever it dies."""
        while True:
            code = await process.wait()
            logger.warning("%s (process %d) died with %d: starting another", self._module, process.pid, code)
            self._process = process = await self._respawn()

    async def _respawn(self) -> asyncio.subprocess.Process:
        """Start a child, as often as it takes."""
        wait_seconds = 1.0
        while True:
            try:
                return await self._spawn()
            except (EngineError, OSError) as error:
                logger.error("%s, next attempt in %.0f s", error, wait_seconds)
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
