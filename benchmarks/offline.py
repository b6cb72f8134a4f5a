"""The offline cascade (pocketsphinx, rules, espeak-ng), alone on the machine: `python -m benchmarks.offline`.

End of speech → first audio holds 500 ms of silence, recognition, the answer and its first samples. It makes no draft
responses: PocketSphinx has recognised nearly all of a turn when it ends, and takes half of its length to hear it again.
"""

from __future__ import annotations

from benchmarks.serving import load, server
from vivavoce.client.load.report import Report, table


def measure(seconds: float = 40.0) -> Report:
    """One conversation."""
    with server(engine="cascade") as started:
        return load(started.url, 1, seconds=seconds, warm_up_seconds=5)


def main() -> None:
    print("\n".join(table(measure())))


if __name__ == "__main__":
    main()
