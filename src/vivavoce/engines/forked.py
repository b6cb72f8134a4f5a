"""The child's side of a `fork_server`: loads once, then forks for each piece of work.

Imports little: until it has loaded, the server waits for it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Final, NoReturn

READY: Final = b"ready\n"
"""What the child says on its standard output once it has loaded."""

Work = Callable[[socket.socket], None]
"""One piece of work: talks through a blocking socket, returns when it is done."""


def serve(load: Callable[[], Work]) -> NoReturn:
    """Load, then fork for each socket that comes, until the server is gone. `sys.argv[1]` is the control socket."""
    # Ctrl-C and a stopping service signal the whole group. The server decides when work ends, and does so by its sockets.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    with socket.socket(fileno=int(sys.argv[1])) as control:
        work = load()
        gc.freeze()  # a collection would write to every object, and so copy all of the shared memory
        _say_ready()
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                sys.exit(0)
            if _fork() == 0:
                control.close()  # or the next control socket's end of stream would never come
                _do(work, descriptors[0])
            os.close(descriptors[0])


def _say_ready() -> None:
    """Tell the server, and let go of the pipe: from now on, what libraries print goes to the error output."""
    os.write(sys.stdout.fileno(), READY)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _fork() -> int:
    """Fork. Where the system refuses, the work's socket ends, which tells its owner."""
    try:
        return os.fork()
    except OSError:
        traceback.print_exc()
        return -1


def _do(work: Work, descriptor: int) -> NoReturn:
    """The forked process's whole life."""
    status = 1
    with socket.socket(fileno=descriptor) as connection:
        try:
            work(connection)
            status = 0
        except (ConnectionError, EOFError):
            status = 0  # nobody wants the result any more
        except BaseException:
            traceback.print_exc()  # before the socket ends: whoever hears the end can read why
        finally:
            os._exit(status)
