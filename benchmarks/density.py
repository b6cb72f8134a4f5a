"""How many sessions a server holds: `python -m benchmarks.density [sessions …]`.

All sessions speak, in chunks of 20 ms. The server gets one core, the load generator another. Where there are but two cores,
the run with two workers shares both of them with the generator.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec

from benchmarks import floor
from benchmarks.serving import load, server
from vivavoce.client.load.report import Report

SESSIONS = (10, 50, 100, 150, 200)
LARGEST_LAG_MS = 50.0
WORKERS_SECONDS = 4
"""The first worker says that the server is ready; the others follow."""


def holds(report: Report) -> bool:
    """It keeps up: an echo in time, no sound too late, no errors, everybody there."""
    echo = report.latencies_ms["append_to_echo_ms"]
    in_time = echo is not None and echo.p99 <= LARGEST_LAG_MS
    return in_time and not (report.late_deltas or report.errors or report.refusals)


def measure(
    counts: tuple[int, ...] = SESSIONS, seconds: float = 12.0, workers: int = 1, spread: bool = False
) -> list[Report]:
    """One run for each count. `spread`: on all cores, generator included."""
    last = (os.cpu_count() or 1) - 1
    apart = last > 0 and not spread
    with server(cores={0} if apart else None, workers=workers) as started:
        time.sleep(WORKERS_SECONDS if workers > 1 else 0)
        return [
            load(started.url, count, seconds=seconds, warm_up_seconds=5, cores={last} if apart else None) for count in counts
        ]


def row(report: Report, floor_ms: float) -> str:
    echo, audio = report.latencies_ms["append_to_echo_ms"], report.latencies_ms["stopped_to_audio_ms"]
    used = report.server.cpu_ms_per_session_second if report.server else float("nan")
    loop = report.server.event_loop_ms_per_session_second if report.server else float("nan")
    machine = report.machine
    return (
        f"{report.sessions:5} sessions: echo p50 {echo.p50 if echo else -1:6.2f} p99 {echo.p99 if echo else -1:7.2f} ms, "
        f"stopped to audio p50 {audio.p50 if audio else -1:6.2f} p99 {audio.p99 if audio else -1:7.2f} ms, "
        f"late {report.late_deltas}, {used:.2f} ms a session-second ({loop:.2f} event loop; floor {floor_ms:.2f}, "
        f"{used / floor_ms:.1f} times), load {machine.load_after:.1f}, host took {machine.stolen or 0:.1%}: "
        f"{'held' if holds(report) else 'NOT HELD'}"
    )


def main() -> None:
    counts = tuple(int(text) for text in sys.argv[1:]) or SESSIONS
    least = floor.measure()
    print(msgspec.json.encode(least).decode())
    for report in measure(counts):
        print(row(report, least.ms_per_session_second(report)))


if __name__ == "__main__":
    main()
