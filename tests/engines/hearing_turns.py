"""Turns for a transcriber under test: sound goes in piece by piece, words are collected."""

import asyncio
import threading
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vivavoce.engines.parts import Hints, Recognition, Transcriber, Transcript
from vivavoce.protocol.objects import PCM, AudioFormat

PATIENCE_SECONDS = 20.0


class Turn:
    """One turn, and the words that came while it was spoken."""

    def __init__(self, transcriber: Transcriber, hints: Hints | None = None) -> None:
        self.deltas: list[str] = []
        self.more = asyncio.Event()
        self.recognition: Recognition = transcriber.recognize(hints or Hints(), self._on_delta)

    def _on_delta(self, delta: Transcript) -> None:
        self.deltas.append(delta.text)
        self.more.set()

    def feed(self, audio: bytes, format: AudioFormat = PCM, chunk_bytes: int = 4801) -> None:
        """Chunks that end in the middle of samples."""
        for start in range(0, len(audio), chunk_bytes):
            self.recognition.feed(audio[start : start + chunk_bytes], format)

    async def until(self, wanted: Callable[[str], bool]) -> str:
        """The words so far, as soon as they are wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not wanted("".join(self.deltas)):
                self.more.clear()
                await self.more.wait()
        return "".join(self.deltas)

    async def finish(self) -> Transcript:
        """The words. What was said before they were final is their beginning."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            transcript = await self.recognition.finish()
        told = "".join(self.deltas)
        assert transcript.text.startswith(told)
        assert transcript.text.strip() == transcript.text
        return transcript


class Barrier:
    """Stands before a library's decoder: can keep who comes waiting, or send them away with an error."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Event()
        self.error: Exception | None = None

    def passed(self) -> None:
        """In the decoder's thread: returns when it may go on."""
        self.arrived.set()
        assert self.open.wait(PATIENCE_SECONDS)
        if self.error:
            raise self.error

    def shut(self) -> None:
        """Whoever comes next waits."""
        self.arrived.clear()
        self.open.clear()

    async def until_somebody_waits(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, PATIENCE_SECONDS)


async def heard(transcriber: Transcriber, audio: bytes, hints: Hints | None = None, format: AudioFormat = PCM) -> str:
    """What the transcriber makes of the sound."""
    turn = Turn(transcriber, hints)
    turn.feed(audio, format)
    return (await turn.finish()).text


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * 24_000) * 2)


def noise(seconds: float, loudness: float = 1500.0) -> bytes:
    """Hiss, PCM."""
    return np.random.default_rng(7).normal(0, loudness, round(seconds * 24_000)).astype("<i2").tobytes()


def recorded(name: str) -> bytes:
    """One of the recorded voices, as PCM at the rate that it has."""
    with wave.open(str(Path(__file__).parents[3] / "shared" / "audio" / name)) as file:
        return file.readframes(file.getnframes())
