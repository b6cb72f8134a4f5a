"""What voice activity detection costs: `python -m benchmarks.voice_activity [sessions …]`.

The network alone in batches, the price of `submit`, and then so many sessions that speak in real time for some seconds: how
long a score takes, what share of a core the process uses, and how late the event loop gets.
"""

import asyncio
import sys
import time
from collections.abc import Callable

import numpy as np

from vivavoce.audio import Encoder
from vivavoce.engine_api import DetectSpeech, EngineEvent, SpeechScore
from vivavoce.engines.silero import SCORE_SAMPLES, Silero
from vivavoce.engines.silero_network import STATE_SIZE, WINDOW_SAMPLES, SileroNetwork
from vivavoce.protocol.objects import PCM

CHUNK_SAMPLES = 480
CHUNK_SECONDS = 0.02
CHUNKS = 300
RANDOM = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    """Samples of nothing in particular; what they hold changes no cost."""
    return RANDOM.integers(-9_000, 9_000, shape, dtype=np.int16)


def least_us(work: Callable[[], object], times: int = 200) -> float:
    """Microseconds of the fastest of many runs: what it costs on a machine that does nothing else."""
    fastest = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest * 1e6


def print_network_cost() -> None:
    network = SileroNetwork()
    for streams in (1, 16, 100, 128):
        windows, state = noise(streams, WINDOW_SAMPLES), np.zeros((2, streams, STATE_SIZE), np.float32)
        cost_us = least_us(lambda windows=windows, state=state: network.step(windows, state))
        print(f"network, batch of {streams:3}: {cost_us / streams:5.1f} µs a window, {cost_us / 1000:.2f} ms a batch")


async def print_submit_cost(engine: Silero) -> None:
    session, audio, costs_us = engine.open(lambda score: None), bytes(CHUNK_SAMPLES * 2), []
    for chunk in range(500):
        started = time.perf_counter()
        session.submit(DetectSpeech(chunk * CHUNK_SAMPLES, audio, PCM))
        costs_us.append((time.perf_counter() - started) * 1e6)
        await asyncio.sleep(0.001)  # let the worker fall asleep: waking it is part of the price
    print(f"submit of 20 ms: median {np.median(costs_us):.1f} µs, 99 % under {np.percentile(costs_us, 99):.1f} µs")
    session.close()


class Speaker:
    """A session that says 20 ms every 20 ms, and notes how long each score takes to reach the event loop."""

    def __init__(self, engine: Silero) -> None:
        self.session = engine.open(self.emit)
        self.loop = asyncio.get_running_loop()
        self.sent: list[float] = []
        self.waits_ms: list[float] = []
        self.all_heard = asyncio.Event()

    async def speak(self, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        started, audio = time.perf_counter(), noise(CHUNK_SAMPLES).tobytes()
        for chunk in range(CHUNKS):
            await asyncio.sleep(max(0, started + chunk * CHUNK_SECONDS - time.perf_counter()))
            self.sent.append(time.perf_counter())
            self.session.submit(DetectSpeech(chunk * CHUNK_SAMPLES, audio, PCM))
        await self.all_heard.wait()

    def emit(self, event: EngineEvent) -> None:
        self.loop.call_soon_threadsafe(self.hear, event)

    def hear(self, score: SpeechScore) -> None:
        last_chunk = -(-score.end_samples // CHUNK_SAMPLES) - 1
        self.waits_ms.append((time.perf_counter() - self.sent[last_chunk]) * 1000)
        if len(self.waits_ms) == CHUNKS * CHUNK_SAMPLES // SCORE_SAMPLES:
            self.all_heard.set()


async def watch(late_ms: list[float]) -> None:
    """Note by how much the event loop misses its appointments."""
    while True:
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        late_ms.append((time.perf_counter() - started) * 1000 - 5)


async def print_real_time(engine: Silero, sessions: int) -> None:
    late_ms: list[float] = []
    watcher = asyncio.create_task(watch(late_ms))
    speakers, used_seconds = [Speaker(engine) for _ in range(sessions)], time.process_time()
    await asyncio.gather(*(speaker.speak(n / sessions * CHUNK_SECONDS) for n, speaker in enumerate(speakers)))
    share = (time.process_time() - used_seconds) / (CHUNKS * CHUNK_SECONDS)
    watcher.cancel()
    waits_ms = np.concatenate([speaker.waits_ms for speaker in speakers])
    print(
        f"{sessions:3} sessions in real time: a score takes {np.median(waits_ms):.2f} ms (99 % under "
        f"{np.percentile(waits_ms, 99):.1f}); the process uses {share:.0%} of a core; "
        f"the event loop is late by {np.median(late_ms):.2f} ms (99 % under {np.percentile(late_ms, 99):.1f})"
    )


async def main() -> None:
    engine = Silero({})
    await engine.start()
    print_network_cost()
    encoder, pcm = Encoder("audio/pcmu"), noise(2_400).tobytes()
    print(f"encoding 100 ms as µ-law: {least_us(lambda: encoder.feed(pcm)):.0f} µs")
    await print_submit_cost(engine)
    for sessions in [int(argument) for argument in sys.argv[1:]] or [1, 10, 100]:
        await print_real_time(engine, sessions)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
