"""A server in a process of its own, and load on it: what the other benchmarks share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from vivavoce.client.connection import Server
from vivavoce.client.load.bench import bar, measure, quiet
from vivavoce.client.load.plan import Plan
from vivavoce.client.load.report import Report
from vivavoce.client.recording import Recording, read_recording

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[2] / "shared" / "audio"))
NAMES = ("goforward", "something", "hello-world", "weather-question", "cards-001", "cards-002", "cards-003")
NAMES += ("austen-0870", "austen-0880", "austen-0890")
SAY = "Hello there. This answer is as long as most answers are in a conversation, some five seconds or so."
AT_ONCE = f"turns: [{{say: '{SAY}'}}]\n"
"""An engine that answers at once: what is left is the server."""
TWICE_AS_FAST = f"turns: [{{say: '{SAY} {SAY}', pace: 2}}]\n"
"""An answer that takes half of its length to come: long enough to be interrupted."""
READY_SECONDS = 60


class Started(Struct, frozen=True):
    """A server that runs."""

    url: str
    pid: int
    ready_seconds: float
    """From the start of the process to the line that says that it serves."""


@contextmanager
def server(script: str = AT_ONCE, cores: set[int] | None = None, **settings: Any) -> Iterator[Started]:
    """A server with the scripted engine, unless `engine` says otherwise; on these cores only, if any are named."""
    with tempfile.TemporaryDirectory() as folder:
        play, log = Path(folder) / "script.yaml", Path(folder) / "log"
        play.write_text(script)
        values = {"engine": "scripted", "engines.scripted.script": play, "limits.max_sessions": 100_000, **settings}
        flags = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
        began = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "vivavoce.cli", "serve", "--port", "0", *flags],
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
            )
        try:
            yield Started(_url(process, log, began + READY_SECONDS), process.pid, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _url(process: subprocess.Popen[bytes], log: Path, until: float) -> str:
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"ready\. API: (http://[^/]+)", log.read_text()):
            return found[1]
        time.sleep(0.01)
    raise SystemExit(f"The server did not start:\n{log.read_text()}")


def recordings() -> list[Recording]:
    """What the sessions say. `RECORDINGS` names another folder: then all WAV files in it."""
    files = [RECORDINGS / f"{name}.wav" for name in NAMES]
    if not all(file.exists() for file in files):
        files = sorted(RECORDINGS.glob("*.wav"))
    return [read_recording(str(file)) for file in files]


def load(
    url: str, sessions: int, *, cores: set[int] | None = None, spoken: list[Recording] | None = None, **plan: Any
) -> Report:
    """Load a server. The generator keeps to its cores, if any are named, so that it does not take the server's."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        progress = bar if sys.stderr.isatty() else quiet
        report, _ = measure(Plan(server=Server(url=url), sessions=sessions, **plan), spoken or recordings(), progress)
    finally:
        os.sched_setaffinity(0, before)
    return report
