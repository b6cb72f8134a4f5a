"""What a session keeps: `python -m benchmarks.memory`.

Resident memory of the server for each idle session; for a conversation of ten minutes, sent as fast as the server takes it,
less the audio that the conversation keeps; what is left of it when its client has gone; and before and after ten thousand
sessions.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.serving import recordings, server
from vivavoce.client.load import server_processes
from vivavoce.server.heap import TRIM_SECONDS

IDLE = 500
CONVERSATIONS = 4
MINUTES = 10
CHURN = 10_000
AT_ONCE = 20
SETTLE_SECONDS = TRIM_SECONDS + 1
"""A real conversation takes ten minutes, in which the server trims its heap 60 times. This one takes some seconds."""


def resident_kb(pid: int) -> float:
    return server_processes.use([pid]).memory_bytes / 1000


async def opened(url: str) -> ClientConnection:
    client = await connect(f"{url.replace('http', 'ws')}/v1/realtime", compression=None, max_size=None)
    await client.recv()
    return client


async def idle(url: str, pid: int) -> float:
    """Kilobytes for a further idle session."""
    clients = [await opened(url) for _ in range(50)]  # The first ones pay for what all share.
    before = resident_kb(pid)
    clients += [await opened(url) for _ in range(IDLE)]
    grown = (resident_kb(pid) - before) / IDLE
    await asyncio.gather(*(client.close() for client in clients))
    return grown


def turn() -> list[str]:
    """An utterance of some seconds with its silence, in frames of 100 ms."""
    speech = np.concatenate([recordings()[0].samples, np.zeros(24_000, np.int16)])
    chunks = [speech[start : start + 2400].tobytes() for start in range(0, speech.size, 2400)]
    return [msgspec.json.encode({"type": "input_audio_buffer.append", "audio": chunk}).decode() for chunk in chunks]


async def converse(client: ClientConnection, frames: list[str], minutes: float) -> float:
    """Talk for so many minutes of audio; the kilobytes of audio that the conversation keeps."""
    kept_bytes, heard_seconds = 0.0, 0.0
    started_ms = 0
    while heard_seconds < minutes * 60:
        for frame in frames:
            await client.send(frame)
        heard_seconds += len(frames) * 0.1
        while True:
            event: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), 20))
            if event["type"] == "input_audio_buffer.speech_started":
                started_ms = event["audio_start_ms"]
            elif event["type"] == "input_audio_buffer.speech_stopped":
                kept_bytes += (event["audio_end_ms"] - started_ms) * 48
            elif event["type"] == "response.output_audio.delta":
                kept_bytes += len(event["delta"]) * 3 / 4
                heard_seconds += len(event["delta"]) * 3 / 4 / 48_000
            elif event["type"] == "response.done":
                break
    return kept_bytes / 1000


async def conversation(url: str, pid: int) -> tuple[float, float]:
    """Kilobytes for a conversation of ten minutes, without its audio, and what is left of it in the end."""
    frames = turn()
    first = await opened(url)
    await converse(first, frames, MINUTES)  # What all share.
    clients = [await opened(url) for _ in range(CONVERSATIONS)]
    await asyncio.sleep(SETTLE_SECONDS)
    before = resident_kb(pid)
    kept = [await converse(client, frames, MINUTES) for client in clients]
    await asyncio.sleep(SETTLE_SECONDS)
    grown = resident_kb(pid) - before - sum(kept)
    await asyncio.gather(*(client.close() for client in clients))
    await asyncio.sleep(SETTLE_SECONDS)
    left = resident_kb(pid) - before
    await first.close()
    return grown / CONVERSATIONS, left / CONVERSATIONS


async def churn(url: str, pid: int, sessions: int = CHURN) -> tuple[float, float]:
    """Kilobytes after the first tenth of so many sessions, and after all of them."""

    async def some(count: int) -> None:
        for _ in range(count):
            client = await opened(url)
            await client.close()

    await asyncio.gather(*(some(sessions // 10 // AT_ONCE) for _ in range(AT_ONCE)))
    await asyncio.sleep(1)
    before = resident_kb(pid)
    await asyncio.gather(*(some(sessions * 9 // 10 // AT_ONCE) for _ in range(AT_ONCE)))
    await asyncio.sleep(1)
    return before, resident_kb(pid)


async def measure() -> dict[str, float]:
    with server() as started:
        figures = {"idle_kb": await idle(started.url, started.pid)}
    with server() as started:
        figures["conversation_kb"], figures["left_kb"] = await conversation(started.url, started.pid)
    with server() as started:
        before, after = await churn(started.url, started.pid)
    return figures | {"churn_before_kb": before, "churn_after_kb": after}


def main() -> None:
    for name, kb in asyncio.run(measure()).items():
        print(f"{name:18}{kb:10.1f}")


if __name__ == "__main__":
    main()
