"""`vivavoce say`: speak recordings to a server, hear the answer, and measure how long it took."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import numpy as np

from vivavoce.audio import Samples, g711_decode
from vivavoce.client.connection import Server, connected
from vivavoce.client.conversation import Conversation, Exchange, Plan
from vivavoce.client.errors import UsageError
from vivavoce.client.local_server import found_or_started
from vivavoce.client.recording import read_recording, speech_end_seconds, write_wav
from vivavoce.client.screen import JsonLines, Screen, time_line, turn_report
from vivavoce.client.session_options import session_options


def run(args: argparse.Namespace) -> int:
    """Carry `say` out; the exit code. Raises `ClientError` and `UsageError`."""
    show = JsonLines(sys.stdout) if args.json else Screen(sys.stdout)
    plan = _plan(args)
    with found_or_started(args, lambda text: show.line("server", text)) as server:
        try:
            return asyncio.run(_say(plan, server, show, args.out))
        finally:
            show.end()


def _plan(args: argparse.Namespace) -> Plan:
    """What the flags ask for. Raises `UsageError`."""
    if not args.files and not args.text:
        raise UsageError("nothing to say. Name a recording, or use --text.")
    if args.interrupt_after is not None and (len(args.files) < 2 or args.push_to_talk):
        raise UsageError("--interrupt-after needs two files, and turn detection: the second is spoken over the answer.")
    if args.files.count("-") > 1:
        raise UsageError("standard input can be read once only.")
    return Plan(
        inputs=(*(read_recording(file) for file in args.files), *args.text),
        session=session_options(args),
        paced=not args.fast,
        interrupt_after_seconds=args.interrupt_after,
        timeout_seconds=args.timeout,
    )


async def _say(plan: Plan, server: Server, show: Screen | JsonLines, out: Path) -> int:
    watch = show.watch if isinstance(show, JsonLines) else None
    answered = True
    async with connected(server, watch) as connection:
        number = 0
        async for exchange in Conversation(connection, plan, show).hold(server.beta):
            number += 1
            _report(exchange, plan, show, out if len(plan.inputs) == 1 else out.with_stem(f"{out.stem}-{number}"))
            answered = answered and exchange.answered
    return 0 if answered else 1


def _report(exchange: Exchange, plan: Plan, show: Screen | JsonLines, out: Path) -> None:
    """What became of one recording or typed message: the answer's file, and the time line of each turn in it."""
    samples, rate_hz = _answer(exchange, plan)
    if samples.size:
        write_wav(out, samples, rate_hz)
        show.line("spoken", f"{samples.size / rate_hz:.2f} s, in {out}")
    for turn in exchange.turns:
        if isinstance(show, JsonLines):
            seconds = round(samples.size / rate_hz, 3)
            loudness = None if isinstance(exchange.input, str) else round(speech_end_seconds(exchange.input), 3)
            files = {"out": str(out) if samples.size else None, "answer_seconds": seconds}
            show.write(
                {**turn_report(turn), **files, "recording_starts_ms": exchange.start_ms, "loud_until_seconds": loudness}
            )
            continue
        for line in time_line(turn, _zero(exchange, turn.times.zero_ms, plan.paced)):
            print(line, flush=True)


def _zero(exchange: Exchange, zero_ms: int | None, paced: bool) -> str:
    """What the time line counts from."""
    if isinstance(exchange.input, str):
        return "the message was sent"
    if zero_ms is None:
        return f"the end of {exchange.input.name}"
    where = f"{(zero_ms - exchange.start_ms) / 1000:.2f} s into {exchange.input.name}"
    return f"the end of speech, {where}" if paced else f"the end of speech was sent (not paced), {where}"


def _answer(exchange: Exchange, plan: Plan) -> tuple[Samples, int]:
    """The spoken answer, at the rate in which it came."""
    audio = b"".join(bytes(part) for turn in exchange.turns for part in turn.spoken.values())
    if plan.session.encoding == "audio/pcm":
        return np.frombuffer(audio[: len(audio) // 2 * 2], "<i2").astype(np.int16, copy=False), 24_000
    return g711_decode(audio, plan.session.encoding), 8_000
