"""What Qwen-Omni in the process costs: how soon it speaks, how far ahead of the listener it stays, how much memory it takes.

    python -m benchmarks.native [MODEL …]           on a GPU: the published sizes, random weights (native_models.py)
    python -m benchmarks.native --tiny [MODEL …]    anywhere: the same plan on the tests' tiny models; proves this script

Each cell of the plan is some sessions at once, of ten turns each, in which the user speaks for 5 or for 60 s. The engine is
driven as the core drives it: `Listen` while the user speaks (`--pace` times as fast as real), then `Generate`. Measured are

    first audio        from the commit (`Generate`) to the first `OutputAudio`, first and tenth turn
    real-time factor   seconds from the first to the last sound, in parts of the sound's seconds; above 1 the listener waits
    memory             at the peak: of the GPU, or of the process where there is none

Marks: 234 ms from the commit to the first sound of one session, as the makers of Qwen3-Omni give for the model alone; and
the tenth turn costs no more than the first. Random weights never end an answer, so each is cut at 64 tokens and 6 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.serving import RECORDINGS
from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ
from vivavoce.client.recording import read_recording
from vivavoce.engine_api import (
    Engine,
    EngineEvent,
    Generate,
    GenerationDone,
    GenerationFailed,
    Listen,
    OutputAudio,
    OutputTranscript,
)
from vivavoce.engines.qwen_omni import engine as omni
from vivavoce.protocol.objects import PCM, InputAudioPart, Item, Message, OutputAudioPart

SESSIONS: Final = (1, 4)
SPEECH_SECONDS: Final = (5, 60)
TURNS: Final = 10
CHUNK_SECONDS: Final = 0.1
MARK_MS: Final = 234
INSTRUCTIONS: Final = "You are a friendly voice assistant. Answer briefly."
ANSWER: Final = {"max_text_tokens": 64, "max_seconds": 6.0, "temperature": 0, "greedy_speech": True, "voice": "chelsie"}
TINY: Final = {"device": "cpu", "threads": 1, "max_text_tokens": 8, "max_seconds": 1.0}


class Turn(Struct, frozen=True):
    """What was measured of one answer."""

    first_audio_ms: float
    real_time_factor: float


class Cell(Struct, frozen=True):
    """What was measured of some sessions at once."""

    model: str
    sessions: int
    speech_seconds: int
    first_turn_ms: float
    tenth_turn_ms: float
    real_time_factor: float
    memory_gib: float


class Talk:
    """One session's conversation with the engine."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[float, EngineEvent]] = asyncio.Queue()
        self._session = engine.open(self._emit)
        self._name = name
        self._items: list[Item] = []

    def _emit(self, event: EngineEvent) -> None:
        self._loop.call_soon_threadsafe(self._events.put_nowait, (time.perf_counter(), event))

    async def turn(self, number: int, pcm: bytes, pace: float) -> Turn:
        """Speak, then be answered."""
        item_id = f"{self._name}_{number}"
        await self._speak(item_id, pcm, pace)
        self._items.append(Message(id=item_id, role="user", content=(InputAudioPart(audio=pcm),)))
        committed = time.perf_counter()
        response_id = f"answer_{item_id}"
        self._session.submit(
            Generate(response_id=response_id, instructions=INSTRUCTIONS, items=tuple(self._items), voice="chelsie")
        )
        sounds, words, ended = await self._answer()
        said = OutputAudioPart(transcript=words)
        self._items.append(Message(id=response_id, role="assistant", content=(said,)))
        first = sounds[0][0]
        heard_seconds = sum(length for _, length in sounds) / PCM_SAMPLE_BYTES / SAMPLE_HZ
        return Turn(1000 * (first - committed), (ended - first) / heard_seconds)

    async def _speak(self, item_id: str, pcm: bytes, pace: float) -> None:
        step = round(CHUNK_SECONDS * SAMPLE_HZ) * PCM_SAMPLE_BYTES
        began = time.perf_counter()
        for number, start in enumerate(range(0, len(pcm), step), 1):
            self._session.submit(Listen(item_id, pcm[start : start + step], PCM))
            await asyncio.sleep(max(0.0, began + number * CHUNK_SECONDS / pace - time.perf_counter()))
        self._session.submit(Listen(item_id, b"", PCM, final=True))

    async def _answer(self) -> tuple[list[tuple[float, int]], str, float]:
        """When how many bytes of sound came, the words, when the last event came."""
        sounds: list[tuple[float, int]] = []
        words = ""
        while True:
            came, event = await self._events.get()
            match event:
                case OutputAudio(pcm=pcm):
                    sounds.append((came, len(pcm)))
                case OutputTranscript(text=text):
                    words += text
                case GenerationDone():
                    return sounds, words, came
                case GenerationFailed(message=message):
                    raise SystemExit(f"The engine failed: {message}")

    def close(self) -> None:
        """Hang up."""
        self._session.close()


async def cell(engine: Engine, model: str, sessions: int, speech_seconds: int, pace: float) -> Cell:
    """Some sessions at once, ten turns each."""
    speech = recorded(speech_seconds)
    _forget_peak()
    talks = [Talk(engine, f"{model}_{sessions}_{speech_seconds}_{number}") for number in range(sessions)]
    turns: list[list[Turn]] = []
    for number in range(TURNS):
        turns.append(await asyncio.gather(*(talk.turn(number, speech, pace) for talk in talks)))
    for talk in talks:
        talk.close()
    return Cell(
        model=model,
        sessions=sessions,
        speech_seconds=speech_seconds,
        first_turn_ms=statistics.median(turn.first_audio_ms for turn in turns[0]),
        tenth_turn_ms=statistics.median(turn.first_audio_ms for turn in turns[-1]),
        real_time_factor=statistics.median(turn.real_time_factor for row in turns for turn in row),
        memory_gib=_peak_bytes() / 2**30,
    )


def recorded(seconds: int) -> bytes:
    """Recorded voices, one after the other, as long as is wanted."""
    voices = np.concatenate([read_recording(path).samples for path in sorted(RECORDINGS.glob("*.wav"))])
    return np.resize(voices, seconds * SAMPLE_HZ).astype("<i2").tobytes()


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_bytes() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def measure(model: str, folder: Path, options: dict[str, Any], pace: float) -> list[Cell]:
    """All cells of one model."""
    engine = omni.QwenOmni({**ANSWER, **options, "model": str(folder)})
    began = time.perf_counter()
    await engine.start()
    print(f"{model}: ready after {time.perf_counter() - began:.0f} s", file=sys.stderr)
    cells = []
    try:
        for sessions in SESSIONS:
            for speech_seconds in SPEECH_SECONDS:
                cells.append(await cell(engine, model, sessions, speech_seconds, pace))
                print(row(cells[-1]), file=sys.stderr)
    finally:
        await engine.close()
    return cells


def table(cells: Sequence[Cell]) -> list[str]:
    """As Markdown."""
    head = "| model | sessions | speech | first audio, turn 1 | turn 10 | real-time factor | memory |"
    return [head, "|---|---|---|---|---|---|---|", *map(row, cells)]


def row(one: Cell) -> str:
    """One cell."""
    return (
        f"| {one.model} | {one.sessions} | {one.speech_seconds} s | {one.first_turn_ms:.0f} ms | {one.tenth_turn_ms:.0f} ms "
        f"| {one.real_time_factor:.2f} | {one.memory_gib:.1f} GiB |"
    )


def verdict(cells: Sequence[Cell]) -> list[str]:
    """The marks, and whether they were met."""
    said = []
    for one in cells:
        if one.sessions == 1:
            met = "met" if one.first_turn_ms <= MARK_MS else "missed"
            said.append(f"{one.model}, {one.speech_seconds} s: first audio after {MARK_MS} ms: {met}")
        longer = one.tenth_turn_ms / one.first_turn_ms
        said.append(f"{one.model}, {one.sessions} × {one.speech_seconds} s: tenth turn {longer:.2f} times the first")
    return said


def tiny_folders() -> dict[str, Path]:
    """The tests' tiny models, made anew."""
    from tests.engines.tiny_models import qwen3_omni, qwen25_omni

    return {"tiny qwen2.5-omni": qwen25_omni.folder(), "tiny qwen3-omni": qwen3_omni.folder()}


def published_folders() -> dict[str, Path]:
    """Configurations of the published sizes; their weights will be random ones."""
    from benchmarks import native_models

    for kind in omni.FAMILIES:
        omni.FAMILIES[kind] = native_models.__name__
    folders = {name: Path(tempfile.mkdtemp(prefix=f"{name}-")) for name in native_models.CONFIGURATIONS}
    return {name: native_models.write(name, folder) for name, folder in folders.items()}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", help="some of the models; all where none is named")
    parser.add_argument("--tiny", action="store_true", help="the tests' tiny models, on the processor")
    parser.add_argument("--pace", type=float, default=1.0, help="how many times as fast as real the user speaks")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    if not arguments.tiny and not torch.cuda.is_available():
        raise SystemExit("No GPU is at hand: nothing was measured. --tiny proves the script without one.")
    folders = tiny_folders() if arguments.tiny else published_folders()
    options = TINY if arguments.tiny else {"device": "cuda"}
    wanted = [name for name in folders if not arguments.models or name in arguments.models]
    cells = [found for name in wanted for found in asyncio.run(measure(name, folders[name], options, arguments.pace))]
    print("\n".join(table(cells)))
    print()
    if arguments.tiny:
        print("Plumbing: tiny models on a processor. These figures say that the script works, and nothing else.")
    else:
        print(torch.cuda.get_device_name())
        print("\n".join(verdict(cells)))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(json.dumps(msgspec.to_builtins(cells)).encode()))


if __name__ == "__main__":
    main()
