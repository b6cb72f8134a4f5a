"""The flags of `bench`. What it does is imported when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_ABOUT: Final = "Load a Realtime server with sessions that speak recordings, and measure it."
_EXAMPLES: Final = """\
  vivavoce bench question.wav                                        ten sessions for half a minute
  vivavoce bench *.wav --sessions 100 --json run.json --plot run.svg
  vivavoce bench *.wav --interrupt 0.5                               every other answer is spoken over
  vivavoce bench *.wav --url https://voice.example.com --beta

The server's processor time and memory are told where it runs on this machine, under Linux.
exit code: 0 no errors; 1 errors, or no server; 2 the command was wrong"""


def add_bench(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `vivavoce bench`."""
    parser = add(commands, "bench", _bench, _ABOUT, _EXAMPLES)
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings to speak: WAV; others with soundfile installed")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the server; without it http://127.0.0.1:8000 if one answers there, else one is started for the occasion",
    )
    parser.add_argument("--model", metavar="NAME", default="gpt-realtime", help="the model to ask for (%(default)s)")
    parser.add_argument("--api-key", metavar="KEY", help="the key; else VIVAVOCE_API_KEY or OPENAI_API_KEY is taken")
    parser.add_argument("--beta", action="store_true", help="speak the dialect of 2024 (header OpenAI-Beta: realtime=v1)")
    parser.add_argument("--sessions", type=_count, default=10, metavar="N", help="sessions at once (%(default)s)")
    parser.add_argument("--seconds", type=_seconds, default=30.0, metavar="S", help="how long to measure (%(default).0f)")
    parser.add_argument("--warm-up", type=_seconds, default=5.0, metavar="S", help="speak so long before (%(default).0f)")
    parser.add_argument("--ramp", type=_seconds, default=2.0, metavar="S", help="open over so long (%(default).0f)")
    parser.add_argument("--processes", type=_count, default=1, metavar="N", help="processes that speak (%(default)s)")
    parser.add_argument(
        "--pause",
        type=_seconds,
        default=0.5,
        metavar="S",
        help="between an answer's last event and the next words (%(default)s)",
    )
    parser.add_argument(
        "--interrupt", type=_share, default=0.0, metavar="SHARE", help="how many answers to speak over, 0 to 1 (%(default)s)"
    )
    parser.add_argument(
        "--silence-ms", type=_count, default=500, metavar="MS", help="the server's silence_duration_ms (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another order of words and pauses (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the times as SVG")


def _bench(args: argparse.Namespace) -> int:
    from vivavoce.client.load.bench import run

    return run(args)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _seconds(text: str) -> float:
    if not 0 <= (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError("at least 0")
    return number


def _share(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError("from 0 to 1")
    return number
