"""`vivavoce bench`: load a server, and tell how it bore it."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from vivavoce.client.errors import UsageError
from vivavoce.client.load import crew, server_processes
from vivavoce.client.load.crew import Progress
from vivavoce.client.load.figures import LATENCIES, Tally
from vivavoce.client.load.plan import Plan
from vivavoce.client.load.plot import Axis, Line, draw
from vivavoce.client.load.report import Machine, Report, report_of, table
from vivavoce.client.load.utterances import voices
from vivavoce.client.local_server import found_or_started
from vivavoce.client.recording import Recording, read_recording

_BAR_COLUMNS: Final = 40
_PERCENTS: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit code. Raises `ClientError` and `UsageError`."""
    recordings = [read_recording(name) for name in args.files]
    with found_or_started(args, lambda text: print(f"server: {text}", file=sys.stderr)) as server:
        plan = Plan(
            server=server,
            sessions=args.sessions,
            processes=min(args.processes, args.sessions),
            seconds=args.seconds,
            warm_up_seconds=args.warm_up,
            ramp_seconds=args.ramp,
            pause_seconds=args.pause,
            interrupting=args.interrupt,
            silence_ms=args.silence_ms,
            seed=args.seed,
        )
        report, tally = measure(plan, recordings, bar if sys.stderr.isatty() else quiet)
    for line in table(report):
        print(line)
    if args.json:
        _write(args.json, msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    if args.plot:
        _write(args.plot, plot_of(report, tally))
    return 1 if report.errors or report.refusals else 0


def measure(plan: Plan, recordings: list[Recording], progress: Progress) -> tuple[Report, Tally]:
    """Run a plan: its report, and the times behind it. Raises `ClientError`."""
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    pids = server_processes.find(plan.server)
    load_before, stolen_before, began_at = os.getloadavg()[0], server_processes.stolen_seconds(), time.monotonic()
    outcome = crew.run(plan, voices(recordings, plan.sessions), pids, progress)
    stolen_after, took_seconds = server_processes.stolen_seconds(), time.monotonic() - began_at
    machine = Machine(
        cores=os.cpu_count() or 0,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load_before=round(load_before, 2),
        load_after=round(os.getloadavg()[0], 2),
        stolen=_share_stolen(stolen_before, stolen_after, took_seconds),
    )
    return report_of(plan, outcome, len(pids), started_at, machine), outcome.tally


def _share_stolen(before_seconds: float | None, after_seconds: float | None, took_seconds: float) -> float | None:
    if before_seconds is None or after_seconds is None:
        return None
    return round((after_seconds - before_seconds) / took_seconds / (os.cpu_count() or 1), 4)


def bar(what: str, share: float) -> None:
    """A progress bar on the terminal's last line."""
    filled = round(share * _BAR_COLUMNS)
    end = "\n" if share >= 1 else ""
    sys.stderr.write(f"\r{what:12}{'━' * filled}{'╌' * (_BAR_COLUMNS - filled)} {share:4.0%}{end}")
    sys.stderr.flush()


def quiet(_what: str, _share: float) -> None:
    """No progress bar: nobody looks."""


def plot_of(report: Report, tally: Tally) -> str:
    """How long what took, from the quickest to the slowest. Raises `UsageError` if nothing was measured."""
    lines = []
    for name, title in LATENCIES.items():
        ordered = sorted(tally.latencies_ms[name])
        if ordered:
            last = len(ordered) - 1
            points = [(percent, max(ordered[round(percent / 100 * last)], 0.01)) for percent in _PERCENTS]
            lines.append(Line(title, points))
    if not lines:
        raise UsageError("Nothing was measured, so there is nothing to plot. Let it run for longer: --seconds 60.")
    ticks = tuple((float(percent), f"{percent}") for percent in (1, 25, 50, 75, 99))
    title = f"{report.sessions} sessions speaking, {report.machine.cores} cores"
    return draw(title, Axis("percentile", ticks=ticks), Axis("milliseconds", "log"), lines)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from None
