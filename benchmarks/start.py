"""How long a server takes to start, warm disk: `python -m benchmarks.start`. Seconds, the median of several starts."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.serving import server

STARTS = 7


def help_seconds() -> float:
    """`vivavoce --help`: what a command line costs."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "vivavoce.cli", "--help"], check=True, capture_output=True)
    return time.monotonic() - began


def ready_seconds(engine: str) -> float:
    """From nothing to a server that answers."""
    with server(engine=engine) as started:
        return started.ready_seconds


def measure() -> dict[str, float]:
    return {
        "help": statistics.median(help_seconds() for _ in range(STARTS)),
        "scripted": statistics.median(ready_seconds("scripted") for _ in range(STARTS)),
        "cascade": statistics.median(ready_seconds("cascade") for _ in range(STARTS)),
    }


def main() -> None:
    for name, seconds in measure().items():
        print(f"{name:10}{seconds:6.2f} s")


if __name__ == "__main__":
    main()
