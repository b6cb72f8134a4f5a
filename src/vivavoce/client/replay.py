"""`vivavoce replay`: run a recorded session again, or read it."""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vivavoce.client.errors import UsageError
from vivavoce.client.event_log import About, read_log
from vivavoce.client.trace_log import Row, log_lines, row_lines
from vivavoce.trace import Difference, Step, read, replay

MAX_PATHS = 8
"""How many differing fields of an output are shown."""


def run(args: argparse.Namespace) -> int:
    """Carry `replay` out; the exit code. Raises `UsageError`."""
    if (log := _event_log(args.file)) is not None:
        return _tell(*log)
    steps = _steps(args.file)
    if args.events:
        for line in log_lines(step for _, step in steps):
            print(line)
        return 0
    return _replay(args.file, steps)


def _event_log(file: Path) -> tuple[About, list[Row]] | None:
    """A client's log, if the file is one. Raises `UsageError`."""
    try:
        return read_log(file)
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{file} is a log with a broken line: {error}") from None


def _tell(about: About, rows: list[Row]) -> int:
    for line in row_lines(rows):
        print(line)
    missing = f", {about.dropped} older ones forgotten" if about.dropped else ""
    print(f"{len(rows)} rows{missing}: the log of a client ({about.client}). It cannot be run again, because")
    print("it does not hold what the engine said; a trace, which `vivavoce serve --trace DIR` writes, can.")
    return 0


def _steps(file: Path) -> list[tuple[int, Step]]:
    """The steps by their lines. Raises `UsageError`."""
    try:
        return list(read(file)[1])
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{file} is not a trace that this version reads: {error}") from None


def _replay(file: Path, steps: list[tuple[int, Step]]) -> int:
    try:
        difference = replay(file)
    except Exception:  # What the recorded session broke on, the replay breaks on too.
        traceback.print_exc()
        print("The session breaks. Please report this with the trace.")
        return 1
    if difference is not None:
        began = steps[0][1].now
        for line in explained(difference, began, len(steps)):
            print(line)
        return 1
    seconds = steps[-1][1].now - steps[0][1].now if steps else 0.0
    print(f"{len(steps)} steps, {seconds:.1f} s, identical")
    return 0


# --- differences ---


def explained(difference: Difference, began: float, steps: int) -> Iterator[str]:
    """A difference in lines for people: which step, which output, which fields."""
    what = "the opening" if difference.input is None else type(difference.input).__name__
    yield f"step {difference.line - 1} of {steps} (line {difference.line}) answers {what} differently,"
    yield f"{difference.now - began:.3f} s into the session"
    recorded, replayed = json.loads(difference.recorded), json.loads(difference.replayed)
    for number in range(max(len(recorded), len(replayed))):
        before = recorded[number] if number < len(recorded) else None
        after = replayed[number] if number < len(replayed) else None
        if before != after:
            yield from _explained_output(number + 1, before, after)
            return


def _explained_output(number: int, before: Any, after: Any) -> Iterator[str]:
    if before is None or after is None or before.get("type") != after.get("type"):
        yield f"output {number}"
        yield f"  recorded  {_short(before) if before else 'nothing more'}"
        yield f"  replayed  {_short(after) if after else 'nothing more'}"
        return
    yield f"output {number}, {before['type']}"
    paths = list(_differing(before, after, "$"))
    for path, old, new in paths[:MAX_PATHS]:
        yield f"  {path}"
        yield f"    recorded  {_short(old)}"
        yield f"    replayed  {_short(new)}"
    if len(paths) > MAX_PATHS:
        yield f"  and {len(paths) - MAX_PATHS} more"


class _Absent:
    """Where one side has no such field."""

    def __repr__(self) -> str:
        return "(absent)"


_ABSENT = _Absent()


def _differing(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The innermost places at which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differing(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differing(old, new, f"{path}[{index}]")
    elif before != after:
        yield path, before, after


def _short(value: Any) -> str:
    text = repr(value) if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:157]}…"
