"""How quick an answer and an interruption are: `python -m benchmarks.latency`."""

from __future__ import annotations

from benchmarks.serving import TWICE_AS_FAST, load, server
from vivavoce.client.load.report import Report, table


def one_session(seconds: float = 60.0) -> Report:
    """A lone conversation."""
    with server() as started:
        return load(started.url, 1, seconds=seconds, warm_up_seconds=3, pause_seconds=0.1)


def interruptions(sessions: int = 10, seconds: float = 40.0) -> Report:
    """Every answer is spoken over."""
    with server(TWICE_AS_FAST) as started:
        return load(started.url, sessions, seconds=seconds, warm_up_seconds=3, interrupting=1.0)


def main() -> None:
    for title, report in (("one session", one_session()), ("interruptions", interruptions())):
        print(f"\n{title}\n")
        print("\n".join(table(report)))


if __name__ == "__main__":
    main()
