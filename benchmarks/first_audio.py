"""How soon each part says its first: sound, word, text or score. The median of a few tries, in milliseconds.

    python -m benchmarks.first_audio [NAME ...]

Parts that bring their model are measured as they are. The others get the tests' tiny models: what is measured then is what
our code and the library add to the work of a real one. A transcriber gets its audio as fast as one speaks.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.serving import RECORDINGS
from vivavoce.audio import SAMPLE_HZ
from vivavoce.client.recording import read_recording
from vivavoce.engine_api import EngineEvent, Generate, OutputAudio, ScoreTurn, TurnScore
from vivavoce.engines.parts import Hints, TextDelta, Utterance
from vivavoce.protocol.objects import PCM, InputTextPart, Message
from vivavoce.registry import CHAT_MODELS, ENGINES, SYNTHESIZERS, TRANSCRIBERS, TURN_ENDS, find

TRIES: Final = 7
SENTENCE: Final = "Well, the weather in Paris is mild today."
CHUNK_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 60


async def synthesizer(part: Any) -> float:
    """From the clause to its first samples."""
    began = time.perf_counter()
    speeches = part.speak(Utterance(text=SENTENCE))
    async for speech in speeches:
        if speech.pcm:
            break
    milliseconds = 1000 * (time.perf_counter() - began)
    await speeches.aclose()
    return milliseconds


def transcriber(pcm: bytes) -> Callable[[Any], Awaitable[float]]:
    """From the end of the turn to its whole text; 400 ms of silence are in it, as a turn has them."""
    pcm += bytes(2 * SAMPLE_HZ * 4 // 10)
    step = 2 * round(SAMPLE_HZ * CHUNK_SECONDS)

    async def measure(part: Any) -> float:
        recognition = part.recognize(Hints(), lambda _: None)
        began = time.perf_counter()
        for number, at in enumerate(range(0, len(pcm), step), 1):
            recognition.feed(pcm[at : at + step], PCM)
            await asyncio.sleep(max(0.0, began + number * CHUNK_SECONDS - time.perf_counter()))
        ended = time.perf_counter()
        assert (await recognition.finish()).text
        return 1000 * (time.perf_counter() - ended)

    return measure


async def chat_model(part: Any) -> float:
    """From the question to the first word."""
    began = time.perf_counter()
    async for event in part.reply(Generate(response_id="resp_1", items=(_asked("What is two plus two?"),))):
        if isinstance(event, TextDelta):
            break
    return 1000 * (time.perf_counter() - began)


async def turn_end(part: Any) -> float:
    """From the pause to the score."""
    return await _first(part, ScoreTurn("item_1", 0, _recording("weather-question"), PCM), TurnScore)


async def engine(part: Any) -> float:
    """From the question to the first sound."""
    return await _first(part, Generate(response_id="resp_1", items=(_asked("hello"),), max_output_tokens=64), OutputAudio)


async def _first(part: Any, command: Any, kind: type) -> float:
    loop = asyncio.get_running_loop()
    came: asyncio.Future[float] = loop.create_future()

    def emit(event: EngineEvent) -> None:
        if isinstance(event, kind):
            now = time.perf_counter()
            loop.call_soon_threadsafe(lambda: came.done() or came.set_result(now))

    session = part.open(emit)
    began = time.perf_counter()
    session.submit(command)
    ended = await asyncio.wait_for(came, _PATIENCE_SECONDS)
    session.close()
    return 1000 * (ended - began)


def _asked(text: str) -> Message:
    return Message(id="item_1", role="user", content=(InputTextPart(text),))


def _recording(name: str) -> bytes:
    samples: bytes = read_recording(str(RECORDINGS / f"{name}.wav")).samples.astype("<i2").tobytes()
    return samples


# --- what is measured ---


def _kokoro(folder: Path) -> dict[str, Any]:
    from tests.engines.tiny_models.kokoro import write_kokoro

    return {"model": str(write_kokoro(folder))}


def _pocket_tts(folder: Path) -> dict[str, Any]:
    from tests.engines.tiny_models.pocket_tts import write_pocket_tts

    return {"model": str(write_pocket_tts(folder))}


def _qwen_omni(folder: Path) -> dict[str, Any]:
    from tests.engines.tiny_models.qwen3_omni import make

    return {"model": str(make(folder)), "threads": 1}


def _whisper(folder: Path) -> tuple[dict[str, Any], bytes]:
    from tests.engines.tiny_models.whisper import make_whisper, speech

    return {"model": str(make_whisper(folder)), "threads": 1}, speech("two green fish")


def _sherpa(folder: Path) -> tuple[dict[str, Any], bytes]:
    from tests.engines.tiny_models.sherpa import make_sherpa, speech

    return {"model": str(make_sherpa(folder)), "threads": 1}, speech("two apple please")


def _pocketsphinx(_: Path) -> tuple[dict[str, Any], bytes]:
    return {}, _recording("goforward")


def _nothing(_: Path) -> dict[str, Any]:
    return {}


_PARTS: Final[dict[str, tuple[str, Any, Callable[[Path], dict[str, Any]]]]] = {
    "espeak": (SYNTHESIZERS, synthesizer, _nothing),
    "kokoro": (SYNTHESIZERS, synthesizer, _kokoro),
    "pocket_tts": (SYNTHESIZERS, synthesizer, _pocket_tts),
    "assistant": (CHAT_MODELS, chat_model, _nothing),
    "smart_turn": (TURN_ENDS, turn_end, _nothing),
    "qwen_omni": (ENGINES, engine, _qwen_omni),
}
_EARS: Final = {"pocketsphinx": _pocketsphinx, "faster_whisper": _whisper, "sherpa_onnx": _sherpa}


async def median_ms(name: str, folder: Path) -> float:
    """The median of a part, warm."""
    if name in _EARS:
        options, pcm = _EARS[name](folder)
        group, measure = TRANSCRIBERS, transcriber(pcm)
    else:
        group, measure, make = _PARTS[name]
        options = make(folder)
    part = find(group, name)(options)
    await part.start()
    try:
        await measure(part)
        return statistics.median([await measure(part) for _ in range(TRIES)])
    finally:
        await part.close()


def main() -> None:
    """Print a line for each."""
    for name in sys.argv[1:] or (*_PARTS, *_EARS):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name:<16}{asyncio.run(median_ms(name, Path(folder) / name)):>8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
