"""A server for one command: the one that runs already, else one of our own, in a process that ends with the command."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import IO, Final

from vivavoce.client.connection import DEFAULT_URL, Server, server_options
from vivavoce.client.errors import ClientError

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0


def answers(url: str) -> bool:
    """A healthy Vivavoce is at this address. Blocks for half a second at most."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=0.5) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


@contextmanager
def found_or_started(args: argparse.Namespace, say: Callable[[str], None]) -> Iterator[Server]:
    """The server that the flags mean. One that is started here is stopped at the end. Raises `ClientError`."""
    if args.url or answers(DEFAULT_URL):
        url = args.url or DEFAULT_URL
        say(url)
        yield server_options(args, url)
        return
    with started(say) as url:
        yield Server(url=url, model=args.model, beta=args.beta)


@contextmanager
def started(say: Callable[[str], None]) -> Iterator[str]:
    """A server on a free port with the default engines; yields its address."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    say(f"none at {DEFAULT_URL}: starting one on port {port} …")
    with tempfile.TemporaryFile() as log:
        process = _spawn(port, log)
        try:
            began = time.monotonic()
            _wait_until_ready(process, url, log)
            say(f"{url}, ready after {time.monotonic() - began:.1f} s")
            yield url
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Its own process group, so that Ctrl-C is ours to pass on; no settings but the defaults."""
    code = "from vivavoce.cli import main; raise SystemExit(main())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VIVAVOCE_")}
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", code, "serve", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None:
            raise ClientError(f"The server did not start:\n{_tail(log)}")
        if time.monotonic() > until:
            raise ClientError(f"The server was not ready within {START_SECONDS:.0f} s:\n{_tail(log)}")
        time.sleep(0.05)


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return b"\n".join(log.read().splitlines()[-15:]).decode(errors="replace")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
