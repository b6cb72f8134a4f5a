"""The offline cascade (pocketsphinx, rules, espeak-ng), alone on the machine: `python -m benchmarks.offline`.

End of speech → first audio holds 500 ms of silence, recognition, the answer and its first samples; with draft responses, all
but the first 150 ms of the silence is time to recognise and to answer.
"""

from __future__ import annotations

from benchmarks.serving import load, server
from vivavoce.client.load.report import Report, table


def measure(seconds: float = 40.0, *, drafts: bool = True) -> Report:
    """One conversation."""
    with server(engine="cascade", **{"turns.drafts": drafts}) as started:
        return load(started.url, 1, seconds=seconds, warm_up_seconds=5)


def main() -> None:
    for drafts in (False, True):
        print(f"\n{'with' if drafts else 'without'} drafts\n")
        print("\n".join(table(measure(drafts=drafts))))


if __name__ == "__main__":
    main()
