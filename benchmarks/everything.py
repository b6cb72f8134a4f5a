"""All benchmarks but the server stacks, their results and the plots: `make bench`, some seven minutes.

Writes `benchmarks/results.json` and `docs/images/bench-*.svg`, and prints the table of marks for `benchmarks/README.md`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import density, floor, latency, memory, offline, start
from benchmarks.floor import Floor
from vivavoce.client.load.figures import LATENCIES
from vivavoce.client.load.plot import Axis, Line, Mark, draw
from vivavoce.client.load.report import Report

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
VOICES = 100
"""The number of sessions at which voice activity is judged."""


def measure() -> dict[str, Any]:
    say("floor")
    before = floor.measure()
    say("one process, one core")
    one = density.measure()
    least = floor.between(before, floor.measure())
    say("two workers")
    two = density.measure((150, 250, 300), workers=2, spread=True)
    say("one session")
    lone = latency.one_session(40)
    say("interruptions")
    cut = latency.interruptions()
    say("memory")
    kept = asyncio.run(memory.measure())
    say("start")
    begun = start.measure()
    say("offline cascade")
    spoken = offline.measure()
    return {
        "floor": least,
        "density": one,
        "workers": two,
        "one_session": lone,
        "interruptions": cut,
        "memory": kept,
        "start": begun,
        "offline": spoken,
    }


def say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


# --- the table ---


def rows(results: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Question, mark, result."""
    least, runs = results["floor"], results["density"]
    hundred = next(run for run in runs if run.sessions == VOICES)
    held = max((run.sessions for run in runs if density.holds(run)), default=0)
    workers = max((run.sessions for run in results["workers"] if density.holds(run)), default=0)
    used = hundred.server.cpu_ms_per_session_second
    inference = used - hundred.server.event_loop_ms_per_session_second
    times = used / least.ms_per_session_second(hundred)
    kept = results["memory"]
    grown = kept["churn_after_kb"] / kept["churn_before_kb"] - 1
    yield (
        "`speech_stopped` → first audio, 1 session",
        "p50 ≤ 3, p99 ≤ 10 ms",
        figure(results["one_session"], "stopped_to_audio_ms"),
    )
    yield "the same, 100 sessions", "p99 ≤ 40 ms", figure(hundred, "stopped_to_audio_ms")
    yield "sessions on one core, all speaking", "≥ 150", f"{held}"
    yield "the same, `--workers 2`, generator on the same two cores", "1.8 times", f"{workers}"
    yield (
        "processor time against the floor, 100 sessions",
        "≤ 2.5 times",
        f"{times:.1f} times ({used:.2f} ms a session-second)",
    )
    yield "voice activity, a session and window, 100 sessions", "≤ 40 µs", f"{inference * 32:.0f} µs"
    yield "onset of speech → answer cancelled", "≤ 150 ms", figure(results["interruptions"], "onset_to_cancelled_ms")
    yield "offline cascade, end of speech → first audio", "≤ 700 ms", figure(results["offline"], "speech_end_to_audio_ms")
    yield "memory of a further idle session", "≤ 150 kB", f"{kept['idle_kb']:.0f} kB"
    yield "memory of ten minutes of conversation, less its audio", "≤ 150 kB", f"{kept['conversation_kb']:.0f} kB"
    yield "what is left of it when its client has gone", "", f"{kept['left_kb']:.0f} kB"
    yield "start to ready, scripted", "≤ 1.5 s", f"{results['start']['scripted']:.2f} s"
    yield "start to ready, offline cascade", "≤ 1.5 s", f"{results['start']['cascade']:.2f} s"
    yield "memory after 10,000 sessions", "within 5 %", f"{grown:+.1%}"


def figure(report: Report, name: str) -> str:
    found = report.latencies_ms[name]
    return f"p50 {found.p50:.1f}, p99 {found.p99:.1f} ms" if found else "not measured"


def table(results: dict[str, Any]) -> Iterator[str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    loads = [run.machine.load_after for run in results["density"]]
    stolen = [run.machine.stolen or 0 for run in results["density"]]
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, load {min(loads):.1f} to {max(loads):.1f}; the host took {min(stolen):.1%} to "
        f"{max(stolen):.1%} of the processors' time."
    )
    yield ""
    yield "| question | mark | result |"
    yield "|---|---|---|"
    for question, mark, result in rows(results):
        yield f"| {question} | {mark} | {result} |"


# --- the plots ---


def plots(results: dict[str, Any]) -> dict[str, str]:
    runs: list[Report] = results["density"]
    least: Floor = results["floor"]
    across = Axis("sessions, all speaking", ticks=tuple((run.sessions, str(run.sessions)) for run in runs))
    slow = [Line(title, list(_p99(runs, name))) for name, title in LATENCIES.items() if name in _FELT]
    processor = [
        Line("server", [(run.sessions, run.server.cpu_ms_per_session_second) for run in runs if run.server]),
        Line("its event loop", [(run.sessions, run.server.event_loop_ms_per_session_second) for run in runs if run.server]),
        Line("floor", [(run.sessions, least.ms_per_session_second(run)) for run in runs]),
    ]
    return {
        "bench-density.svg": draw(
            "One process, one core: how late it gets, 99th percentile",
            across,
            Axis("milliseconds", "log"),
            slow,
            [Mark(50, "50 ms")],
        ),
        "bench-processor.svg": draw("Processor time a session-second", across, Axis("milliseconds"), processor),
    }


_FELT = ("append_to_echo_ms", "stopped_to_audio_ms")


def _p99(runs: list[Report], name: str) -> Iterator[tuple[float, float]]:
    for run in runs:
        if found := run.latencies_ms[name]:
            yield run.sessions, found.p99


def main() -> None:
    results = measure()
    (ROOT / "benchmarks" / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, svg in plots(results).items():
        (IMAGES / name).write_text(svg, encoding="utf-8")
    for line in density_rows(results):
        print(line)
    print("\n".join(table(results)))


def density_rows(results: dict[str, Any]) -> Iterator[str]:
    for run in (*results["density"], *results["workers"]):
        yield density.row(run, results["floor"].ms_per_session_second(run))


if __name__ == "__main__":
    main()
