"""How well and how fast the offline recogniser hears: `python -m benchmarks.recognition [directory of recordings] [--fast]`.

First each recording through the decoding alone, in this process: words that are wrong, processor time, memory. Then each
through the engine at the pace of speech (`--fast`: as fast as it goes), as a turn would come: the recording, then half a
second in which the speaker is silent and the turn not yet over. What counts is how long the words take after that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import time
from pathlib import Path

import numpy as np
import soundfile
from msgspec import Struct

from vivavoce.audio import Decoder, Encoder, Resampler
from vivavoce.engines.parts import Hints
from vivavoce.engines.pocketsphinx import Pocketsphinx
from vivavoce.engines.pocketsphinx_decoding import FRAME_BYTES, RATE_HZ, Decoding, Turn
from vivavoce.protocol.objects import PCM, PCMU, AudioFormat

SAMPLE_HZ = 24_000
CHUNK_MS = 20
SILENCE_SECONDS = 0.5
"""What server VAD waits for by default."""

SPOKEN = {
    "goforward.wav": "go forward ten meters",
    "something.wav": "go somewhere and do something",
    "hello-world.wav": "hello world",
    "weather-question.wav": "what is the weather in paris",
    "cards-001.wav": "ten of clubs",
    "cards-002.wav": "four queen of clubs",
    "cards-003.wav": "seven of clubs",
    "austen-0870.wav": "",
    "austen-0880.wav": "",
    "austen-0890.wav": "",
    "jfk.flac": "and so my fellow americans ask not what your country can do for you ask what you can do for your country",
}
"""What is said. Where nothing stands here, the words are in a text file beside the recording."""


class Recording(Struct, frozen=True):
    name: str
    pcm: bytes
    """At 24,000 Hz."""
    spoken: str

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / SAMPLE_HZ


def read_recordings(folder: Path) -> list[Recording]:
    """All of them, as a client would send them."""
    recordings = []
    for name, spoken in SPOKEN.items():
        path = folder / name
        samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
        mono = np.rint(samples.mean(axis=1)).astype(np.int16)
        resampler = Resampler(rate_hz, SAMPLE_HZ)
        pcm = np.concatenate([resampler.feed(mono), resampler.flush()]).astype("<i2").tobytes()
        recordings.append(Recording(name, pcm, spoken or path.with_suffix(".txt").read_text().strip()))
    return recordings


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower().replace("-", " "))


def count_errors(spoken: str, heard: str) -> int:
    """Words to put in, take out or replace: Levenshtein's distance."""
    row = list(range(len(words_of(heard)) + 1))
    for index, word in enumerate(words_of(spoken), 1):
        before, row = row, [index]
        for column, other in enumerate(words_of(heard), 1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (word != other)))
    return row[-1]


def memory_mb() -> int:
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("Rss:"))


def hear(decoding: Decoding, pcm: bytes, format: AudioFormat) -> str:
    """All the words of a recording, by the decoding alone."""
    decoder = Decoder(format.type, RATE_HZ)
    sound = np.concatenate([decoder.feed(pcm), decoder.flush()]).astype("<i2").tobytes()
    sound += bytes(int(SILENCE_SECONDS * RATE_HZ) * 2)
    turn = Turn(decoding)
    words = []
    for start in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
        words += turn.hear(sound[start : start + FRAME_BYTES])
    return " ".join(word.text for word in words + turn.end())


def measure_decoding(recordings: list[Recording]) -> None:
    before_mb, started = memory_mb(), time.process_time()
    decoding = Decoding()
    print(f"load: {time.process_time() - started:.2f} s of processor time, {memory_mb() - before_mb} MB\n")
    print(f"{'recording':22}{'words':>6}{'wrong':>6}{'G.711':>6}{'load':>7}  heard")
    total = wrong = wrong_by_phone = 0
    for recording in recordings:
        started = time.process_time()
        heard = hear(decoding, recording.pcm, PCM)
        load = (time.process_time() - started) / recording.seconds
        encoder = Encoder("audio/pcmu")
        heard_by_phone = hear(decoding, encoder.feed(recording.pcm) + encoder.flush(), PCMU)
        words, errors = len(words_of(recording.spoken)), count_errors(recording.spoken, heard)
        errors_by_phone = count_errors(recording.spoken, heard_by_phone)
        total, wrong, wrong_by_phone = total + words, wrong + errors, wrong_by_phone + errors_by_phone
        print(f"{recording.name:22}{words:6}{errors:6}{errors_by_phone:6}{load:6.0%}   {heard}", flush=True)
    print(f"{'word error rate':22}{total:6}{wrong / total:6.1%}{wrong_by_phone / total:6.1%}\n")


async def finish_seconds(engine: Pocketsphinx, recording: Recording, pace: float) -> float:
    """Plays a recording and its silence; how long the words take from then on."""
    pcm = recording.pcm + bytes(int(SILENCE_SECONDS * SAMPLE_HZ) * 2)
    chunk_bytes = SAMPLE_HZ * CHUNK_MS // 1000 * 2
    turn = engine.recognize(Hints(), lambda words: None)
    due = time.perf_counter()
    for start in range(0, len(pcm), chunk_bytes):
        turn.feed(pcm[start : start + chunk_bytes], PCM)
        due += CHUNK_MS / 1000 * pace
        await asyncio.sleep(due - time.perf_counter())
    ended = time.perf_counter()
    await turn.finish()
    return time.perf_counter() - ended


async def measure_engine(recordings: list[Recording], pace: float) -> None:
    started = time.perf_counter()
    engine = Pocketsphinx()
    await engine.start()
    print(f"engine ready after {time.perf_counter() - started:.2f} s, on {os.cpu_count()} cores")
    waits = {recording.name: await finish_seconds(engine, recording, pace) for recording in recordings}
    for name, seconds in waits.items():
        print(f"{name:22}{seconds * 1000:6.0f} ms")
    print(f"{'median':22}{statistics.median(waits.values()) * 1000:6.0f} ms from the end of the turn to its words")
    await engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "audio")
    parser.add_argument("--fast", action="store_true", help="do not wait for the pace of speech")
    arguments = parser.parse_args()
    recordings = read_recordings(arguments.recordings)
    measure_decoding(recordings)
    asyncio.run(measure_engine(recordings, 0.0 if arguments.fast else 1.0))


if __name__ == "__main__":
    main()
