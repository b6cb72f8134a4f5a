"""How quick an answer and an interruption are: `python -m benchmarks.latency`."""

from __future__ import annotations

from benchmarks.serving import TWICE_AS_FAST, load, recordings, server
from vivavoce.client.load.report import Report, table
from vivavoce.client.load.utterances import voices

CLEAR_ONSET_SECONDS = 0.2


def one_session(seconds: float = 60.0) -> Report:
    """A lone conversation."""
    with server() as started:
        return load(started.url, 1, seconds=seconds, warm_up_seconds=3, pause_seconds=0.1)


def interruptions(sessions: int = 10, seconds: float = 40.0) -> Report:
    """Every answer is spoken over, in words that begin after a silence: so there is no doubt where the speech begins."""
    spoken = [recording for recording in recordings() if voices([recording], 1)[0][0].onset_seconds >= CLEAR_ONSET_SECONDS]
    with server(TWICE_AS_FAST) as started:
        return load(started.url, sessions, spoken=spoken, seconds=seconds, warm_up_seconds=3, interrupting=1.0)


def main() -> None:
    for title, report in (("one session", one_session()), ("interruptions", interruptions())):
        print(f"\n{title}\n")
        print("\n".join(table(report)))


if __name__ == "__main__":
    main()
