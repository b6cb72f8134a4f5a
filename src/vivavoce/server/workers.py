"""Several processes on one port. The kernel deals connections out (`SO_REUSEPORT`); they share keys and figures only."""

from __future__ import annotations

import logging
import multiprocessing
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

import msgspec
from msgspec import Struct

from vivavoce.protocol.errors import SettingsError, VivavoceError
from vivavoce.server.logs import configure
from vivavoce.server.serving import listen, serve
from vivavoce.settings import Settings

_logger = logging.getLogger("vivavoce.workers")

_REBIRTH_SECONDS: Final = 1.0
"""A worker that keeps dying is started no more often than this."""
_SPAWN: Final = multiprocessing.get_context("spawn")
"""A fresh interpreter: engines' threads and a forked process do not go together."""


class Ready(Struct, frozen=True):
    """A worker's message: it serves."""

    port: int
    engines: tuple[str, ...]


def supervise(settings: Settings, ready: Callable[[Ready], None]) -> int:
    """Run `settings.workers` workers until SIGTERM or SIGINT; the exit code.

    The first worker starts alone: what is wrong with the settings is said once, not by all of them. `ready` is called when
    it serves. A worker that dies is replaced, but for one that never got to serve. Raises `SettingsError`.
    """
    listen(settings.host, settings.port, shared=False).close()  # Says if somebody else has the port; with SO_REUSEPORT, it
    holder = listen(settings.host, settings.port, shared=True)  # would be shared with them. This one only keeps it.
    settings = msgspec.structs.replace(
        settings, port=holder.getsockname()[1], secret_key=settings.secret_key or secrets.token_hex()
    )
    with tempfile.TemporaryDirectory(prefix="vivavoce-metrics-") as folder:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        try:
            return _Crew(settings, ready).run()
        finally:
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR")
            holder.close()


class _Worker(Struct, eq=False):
    """A worker process, and the pipe on which it says that it serves."""

    process: BaseProcess
    pipe: Connection
    born_at: float
    ready: bool = False


class _Crew:
    """The workers of one server."""

    def __init__(self, settings: Settings, ready: Callable[[Ready], None]) -> None:
        self._settings: Final = settings
        self._ready: Final = ready
        self._workers: Final[list[_Worker]] = []
        self._stopping = False
        self._exit_code = 0

    def run(self) -> int:
        """Until all workers are gone."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._start()
        while self._workers:
            events: list[Any] = [worker.process.sentinel for worker in self._workers]
            events += [worker.pipe for worker in self._workers if not worker.ready]
            happened = wait(events)
            for worker in list(self._workers):
                if worker.pipe in happened and not worker.ready:
                    self._hear(worker)
                if worker.process.sentinel in happened:
                    self._bury(worker)
        return self._exit_code

    def _on_signal(self, *_: object) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.process.terminate()

    def _start(self) -> None:
        ours, theirs = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_work, args=(self._settings, theirs), name="vivavoce-worker")
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, time.monotonic()))

    def _hear(self, worker: _Worker) -> None:
        try:
            message: Ready = worker.pipe.recv()
        except EOFError:
            return  # It died; its sentinel says so too.
        finally:
            worker.ready = True
        is_first = len(self._workers) == 1 and not self._stopping
        if is_first:
            while len(self._workers) < self._settings.workers:
                self._start()
            self._ready(message)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.join()
        code = worker.process.exitcode or 0
        _forget_figures(worker.process.pid)
        if self._stopping:
            return
        if not worker.ready or code in (1, 2):
            self._exit_code = code or 1
            self._on_signal()
            return
        _logger.error("worker %s died with exit code %s; another one takes its place", worker.process.pid, code)
        time.sleep(max(0.0, _REBIRTH_SECONDS - (time.monotonic() - worker.born_at)))
        self._start()


def _work(settings: Settings, pipe: Connection) -> None:
    """A worker's whole life."""
    configure(settings.log, settings.log_level)
    try:
        listener = listen(settings.host, settings.port, shared=True)
        serve(settings, listener, lambda state: pipe.send(Ready(settings.port, tuple(state.engines.names))))
    except VivavoceError as error:
        sys.stderr.write(f"vivavoce: {error}\n")
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _forget_figures(pid: int | None) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # The parent counts nothing itself.

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
