"""What a person, or a program, reads while a conversation goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from vivavoce.client.dialogue import Turn

_LABEL_COLUMNS: Final = 11


class Screen:
    """Lines with a label on the left: `you        go forward ten meters`. On a terminal, progress too.

    A transcript and an answer may grow at the same time. The one that began first has the screen until it is finished;
    the other waits.
    """

    def __init__(self, out: TextIO) -> None:
        self._out: Final = out
        self._growing: str | None = None
        self._waiting: dict[str, str] = {}
        self._finished: set[str] = set()
        self._progress_columns = 0

    def line(self, label: str, text: str) -> None:
        """A line of its own, at once."""
        self.end()
        self._write(f"{label:<{_LABEL_COLUMNS}}{text}\n")

    def stream(self, label: str, text: str) -> None:
        """More of the line with this label."""
        if self._growing not in (None, label):
            self._waiting[label] = self._waiting.get(label, "") + text
            return
        if self._growing is None:
            self._clear_progress()
            self._write(f"{label:<{_LABEL_COLUMNS}}")
            self._growing = label
        self._write(text)

    def finish(self, label: str) -> None:
        """The line with this label is whole."""
        if self._growing not in (None, label):
            self._finished.add(label)
            return
        if self._growing == label:
            self._write("\n")
            self._growing = None
        for waiting in list(self._waiting):
            self.stream(waiting, self._waiting.pop(waiting))
            if waiting in self._finished:
                self._finished.remove(waiting)
                self.finish(waiting)
            break

    def progress(self, text: str) -> None:
        """A line that the next output replaces. Only on a terminal, and never into a growing line."""
        if self._growing is None and self._out.isatty():
            self._write("\r" + text.ljust(self._progress_columns))
            self._progress_columns = len(text)

    def end(self) -> None:
        """Leave the cursor at the beginning of a clean line."""
        self._clear_progress()
        if self._growing is not None:
            self._write("\n")
            self._growing = None

    def _clear_progress(self) -> None:
        if self._progress_columns:
            self._write("\r" + " " * self._progress_columns + "\r")
            self._progress_columns = 0

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class JsonLines:
    """Every event as a JSON line, with its moment and its direction; audio as its length. Shows nothing else."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.perf_counter) -> None:
        self._out: Final = out
        self._clock: Final = clock
        self._began: Final = clock()

    def line(self, label: str, text: str) -> None:
        """Told by the events already."""

    def stream(self, label: str, text: str) -> None:
        """Told by the events already."""

    def finish(self, label: str) -> None:
        """Told by the events already."""

    def progress(self, text: str) -> None:
        """Not for programs."""

    def end(self) -> None:
        """Each line has ended already."""

    def watch(self, direction: str, frame: str | bytes) -> None:
        """A frame, `sent` or `received`. Appended audio is left out: fifty lines a second of it tell nothing."""
        event = json.loads(frame)
        if event.get("type") != "input_audio_buffer.append":
            self.write({direction: _without_audio(event)})

    def write(self, entry: dict[str, Any]) -> None:
        """A line of our own."""
        at_ms = round((self._clock() - self._began) * 1000, 1)
        self._out.write(json.dumps({"at_ms": at_ms, **entry}, ensure_ascii=False) + "\n")
        self._out.flush()


def _without_audio(event: dict[str, Any]) -> dict[str, Any]:
    if event.get("type") in ("response.output_audio.delta", "response.audio.delta"):
        return event | {"delta": f"<{len(event['delta']) * 3 // 4} bytes>"}
    return event


# --- time lines ---

_NAMES: Final = {"first_text": "first text", "first_audio": "first audio"}


def time_line(turn: Turn, zero: str) -> list[str]:
    """A turn's time line for people. `zero` says what the milliseconds count from."""
    rows = [(_NAMES.get(step, step), ms) for step, ms in turn.times.after_ms().items() if ms is not None]
    return [f"{'time line':<{_LABEL_COLUMNS}}ms after {zero}", *(f"  {name:<16}{ms:>6}" for name, ms in rows)]


def turn_report(turn: Turn) -> dict[str, Any]:
    """A turn for programs."""
    return {
        "turn": turn.name,
        "transcript": turn.transcript,
        "answer": turn.answer,
        "calls": [{"name": call.name, "arguments": call.arguments} for call in turn.calls],
        "status": turn.status,
        "problem": turn.problem,
        "speech_end_ms": turn.times.zero_ms,
        "time_line_ms": turn.times.after_ms(),
    }
