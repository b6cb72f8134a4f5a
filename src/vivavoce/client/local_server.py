"""A server for one command: the one that runs already, else one of our own, in a process that ends with the command."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final

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
    named = args.url or os.environ.get("VIVAVOCE_URL")
    if named or answers(DEFAULT_URL):
        url = named or DEFAULT_URL
        say(url)
        yield server_options(args, url)
        return
    with started(say) as url:
        yield Server(url=url, model=args.model, beta=args.beta)


@contextmanager
def started(say: Callable[[str], None]) -> Iterator[str]:
    """A server on a free port with the default engines; yields its address."""
    say(f"none at {DEFAULT_URL}: starting one")
    with tempfile.TemporaryDirectory() as folder, _terminable():
        log = Path(folder) / "server.log"
        process = _spawn(log)
        try:
            began = time.monotonic()
            url = _address_once_ready(process, log)
            say(f"{url}, ready after {time.monotonic() - began:.1f} s")
            yield url
        finally:
            _stop(process)


def _spawn(log: Path) -> subprocess.Popen[bytes]:
    """Its own process group, so that Ctrl-C is ours to pass on; no settings but the defaults."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VIVAVOCE_")}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "vivavoce.cli", "serve", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _address_once_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the server tells once it is ready."""
    until = time.monotonic() + START_SECONDS
    while not (found := _ADDRESS.search(log.read_bytes())):
        if process.poll() is not None:
            raise ClientError(f"The server did not start:\n{_tail(log)}")
        if time.monotonic() > until:
            raise ClientError(f"The server was not ready within {START_SECONDS:.0f} s:\n{_tail(log)}")
        time.sleep(0.05)
    return found[1].decode()


_ADDRESS: Final = re.compile(rb"ready\. API: (\S+)/v1 ")


def _tail(log: Path) -> str:
    return b"\n".join(log.read_bytes().splitlines()[-15:]).decode(errors="replace")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, so that the server ends too."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
