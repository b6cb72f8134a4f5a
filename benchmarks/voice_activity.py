"""What voice activity detection costs: `python -m benchmarks.voice_activity [sessions]`.

The network alone in batches, the price of `submit`, and then so many sessions that speak in real time for some seconds: how
long a score takes, what share of a core the process uses, and how late the event loop gets.
"""

import asyncio
import sys
import time

import numpy as np

from vivavoce.audio import Encoder
from vivavoce.engine_api import DetectSpeech
from vivavoce.engines.silero import SCORE_SAMPLES, Silero
from vivavoce.engines.silero_network import STATE_SIZE, WINDOW_SAMPLES, SileroNetwork
from vivavoce.protocol.objects import PCM, PCMU

CHUNK_SAMPLES = 480
CHUNK_SECONDS = 0.02
SECONDS = 6


def least_us(work, times=200):
    """Microseconds of the fastest of many runs: what it costs on a machine that does nothing else."""
    fastest = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest * 1e6


def network_cost(random):
    network = SileroNetwork()
    for streams in (1, 16, 100, 128):
        windows = random.integers(-9_000, 9_000, (streams, WINDOW_SAMPLES), dtype=np.int16)
        state = np.zeros((2, streams, STATE_SIZE), np.float32)
        cost = least_us(lambda windows=windows, state=state: network.step(windows, state))
        print(f"network, batch of {streams:3}: {cost / streams:6.1f} µs a window, {cost / 1000:.2f} ms a batch")


async def submit_cost(engine):
    session, audio = engine.open(lambda score: None), bytes(CHUNK_SAMPLES * 2)
    at = 0

    def submit():
        nonlocal at
        session.submit(DetectSpeech(at, audio, PCM))
        at += CHUNK_SAMPLES

    costs = []
    for _ in range(500):
        started = time.perf_counter()
        submit()
        costs.append((time.perf_counter() - started) * 1e6)
        await asyncio.sleep(0.001)  # let the worker fall asleep: waking it is part of the price
    print(f"submit of 20 ms: median {np.median(costs):.1f} µs, 99 % under {np.percentile(costs, 99):.1f} µs")
    session.close()


async def real_time(engine, sessions, random):
    """Sessions that speak 20 ms chunks in real time, spread evenly over the 20 ms."""
    loop = asyncio.get_running_loop()
    waits, sent, heard = [], {}, 0

    def hear(n, score):
        nonlocal heard
        heard += 1
        waits.append(time.perf_counter() - sent[n, -(-score.end_samples // CHUNK_SAMPLES)])

    def emit_for(n):
        return lambda score: loop.call_soon_threadsafe(hear, n, score)

    async def speak(n):
        session = engine.open(emit_for(n))
        await asyncio.sleep(n / sessions * CHUNK_SECONDS)
        started = time.perf_counter()
        for chunk in range(int(SECONDS / CHUNK_SECONDS)):
            await asyncio.sleep(max(0, started + chunk * CHUNK_SECONDS - time.perf_counter()))
            audio = chunks[random.integers(len(chunks))]
            sent[n, chunk + 1] = time.perf_counter()
            session.submit(DetectSpeech(chunk * CHUNK_SAMPLES, audio, PCM))

    async def watch():
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - started - 0.005)

    chunks = [random.integers(-9_000, 9_000, CHUNK_SAMPLES, dtype=np.int16).tobytes() for _ in range(50)]
    late = []
    watcher, used = asyncio.create_task(watch()), time.process_time()
    await asyncio.gather(*map(speak, range(sessions)))
    await asyncio.sleep(0.1)
    watcher.cancel()
    share = (time.process_time() - used) / SECONDS
    wanted = sessions * (SECONDS * 24_000 // SCORE_SAMPLES)
    waits_ms, late_ms = np.array(waits) * 1000, np.array(late) * 1000
    print(
        f"{sessions} sessions in real time: {heard} of {wanted} scores; a score takes {np.median(waits_ms):.2f} ms, "
        f"99 % under {np.percentile(waits_ms, 99):.1f} ms; process uses {share:.0%} of a core; "
        f"event loop late by {np.median(late_ms):.2f} ms, 99 % under {np.percentile(late_ms, 99):.1f} ms"
    )


async def main():
    random = np.random.default_rng(0)
    engine = Silero({})
    await engine.start()
    network_cost(random)
    encoder, pcm = Encoder(PCMU.type), random.integers(-9_000, 9_000, 2_400, dtype=np.int16).tobytes()
    print(f"encoding 100 ms as µ-law: {least_us(lambda: encoder.feed(pcm)):.0f} µs")
    await submit_cost(engine)
    for sessions in [int(argument) for argument in sys.argv[1:]] or [1, 10, 100]:
        await real_time(engine, sessions, random)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
