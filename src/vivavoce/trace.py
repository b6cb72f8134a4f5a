"""A session's trace: JSON lines of what went in and what came out, and how to run it again.

    {"version":"0.1.0","setup":{…}}                      the first line
    {"now":12.5,"input":null,"outputs":[…]}              what `open` answered
    {"now":12.6,"input":{"type":"…",…},"outputs":[…]}    one line for each input

Inputs are whole, the user's audio included. In outputs, audio stands as a digest: replaying the trace makes it again. No
key is in a trace, because none ever enters a session.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TextIO

import msgspec
from msgspec import Raw, Struct

from vivavoce import __version__
from vivavoce.session.boundary import Input, Output, Setup
from vivavoce.session.session import Session

_logger = logging.getLogger("vivavoce.trace")


class Head(Struct, frozen=True):
    """The first line."""

    version: str
    setup: Setup


class Step(Struct, frozen=True):
    """Every other line. `input` is `None` for the session's opening."""

    now: float
    input: Input | None
    outputs: Raw


class Difference(Struct, frozen=True):
    """Where a replay left the trace."""

    line: int
    """Of the file, counted from 1."""
    now: float
    input: Input | None
    recorded: str
    """The outputs in the trace, as JSON."""
    replayed: str
    """The outputs of the replay, as JSON."""


def encoded(outputs: Sequence[Output]) -> bytes:
    """Outputs as a trace holds them: a JSON list, bytes as digests."""
    return msgspec.json.encode(_digested(msgspec.to_builtins(outputs, builtin_types=(bytes,))))


def _digested(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _digested(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_digested(inner) for inner in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}"
    return value


# --- recording ---


class Traces:
    """A folder of traces, one file a session, written by a thread of its own: `step` costs the event loop a queue entry."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder: Final = folder
        self._queue: Final[SimpleQueue[tuple[Trace, Step | Head | None, Sequence[Output]] | None]] = SimpleQueue()
        self._thread: Final = threading.Thread(target=self._write, name="vivavoce-trace", daemon=True)
        self._thread.start()

    def begin(self, name: str, setup: Setup) -> Trace:
        """A new trace in the file `NAME.jsonl`."""
        trace = Trace(self._queue, self._folder / f"{name}.jsonl")
        self._queue.put((trace, Head(__version__, setup), ()))
        return trace

    def close(self) -> None:
        """Write what is queued, then stop. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        files: dict[Trace, TextIO] = {}
        while entry := self._queue.get():
            trace, line, outputs = entry
            try:
                _write_line(files, trace, line, outputs)
            except Exception:
                _logger.exception("the trace %s is incomplete", trace.path)
                files.pop(trace, None)
        for file in files.values():
            file.close()


def _write_line(files: dict[Trace, TextIO], trace: Trace, line: Step | Head | None, outputs: Sequence[Output]) -> None:
    if line is None:
        files.pop(trace).close()
        return
    if isinstance(line, Head):
        files[trace] = trace.path.open("w", encoding="utf-8", buffering=1)
    else:
        line = Step(line.now, line.input, Raw(encoded(outputs)))
    if file := files.get(trace):
        file.write(msgspec.json.encode(line).decode() + "\n")


class Trace:
    """One session's trace. An observer of its `Runner`."""

    def __init__(self, queue: SimpleQueue[Any], path: Path) -> None:
        self._queue: Final = queue
        self.path: Final = path

    def step(self, now: float, input: Input | None, outputs: Sequence[Output]) -> None:
        """Write down one step. Never blocks."""
        self._queue.put((self, Step(now, input, _EMPTY), outputs))

    def end(self) -> None:
        """The session is over."""
        self._queue.put((self, None, ()))


_EMPTY: Final = Raw(b"[]")


# --- replay ---


def read(path: Path) -> tuple[Setup, Iterator[tuple[int, Step]]]:
    """A trace's setup and its numbered steps. Raises `ValueError` for a file that is no trace.

    A last line without its end is left out: the server was killed while it wrote.
    """
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    if not lines:
        raise ValueError(f"{path} is empty.")
    try:
        head = msgspec.json.decode(lines[0], type=Head)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} is not a trace: {error}") from None
    return head.setup, ((number, _STEP.decode(line)) for number, line in enumerate(lines[1:], 2))


def replay(path: Path) -> Difference | None:
    """Run a recorded session again; the first step that answers differently, or `None` if every one is the same.

    What the recorded session raised, the replay raises too: that is what a bug report is for.
    """
    setup, steps = read(path)
    session = Session(setup)
    for number, step in steps:
        outputs = session.open(step.now) if step.input is None else session.handle(step.input, step.now)
        replayed = encoded(outputs)
        if replayed != bytes(step.outputs):
            return Difference(number, step.now, step.input, bytes(step.outputs).decode(), replayed.decode())
    return None


_STEP: Final = msgspec.json.Decoder(Step)
