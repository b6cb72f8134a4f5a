"""PocketSphinx on recorded speech: the words, the deltas, and what happens when a process dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile

from tests.engines.probe import in_use
from vivavoce.audio import Encoder, Resampler
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.pocketsphinx import Pocketsphinx
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import PCM, PCMU, AudioFormat

AUDIO = Path(__file__).parents[3] / "shared" / "audio"
CHUNK_BYTES = 960
T = TypeVar("T")


def with_engine(test: Callable[[Pocketsphinx], Awaitable[T]]) -> T:
    async def run() -> T:
        async with in_use(Pocketsphinx({})) as engine:
            return await test(engine)

    return asyncio.run(run())


def recording(name: str) -> bytes:
    """PCM16 at 24 kHz, and half a second of silence."""
    samples, rate_hz = soundfile.read(AUDIO / name, dtype="int16", always_2d=True)
    resampler = Resampler(rate_hz, 24_000)
    parts = [resampler.feed(np.ascontiguousarray(samples[:, 0])), resampler.flush(), np.zeros(12_000, np.int16)]
    return np.concatenate(parts).tobytes()


async def words_of(
    engine: Pocketsphinx, audio: bytes, format: AudioFormat = PCM, chunk_bytes: int = CHUNK_BYTES
) -> tuple[Transcript, list[Transcript]]:
    deltas: list[Transcript] = []
    turn = engine.recognize(Hints(), deltas.append)
    for start in range(0, len(audio), chunk_bytes):
        turn.feed(audio[start : start + chunk_bytes], format)
    return await turn.finish(), deltas


def test_recorded_commands_come_out_as_words() -> None:
    said = {
        "goforward.wav": "go forward ten meters",
        "cards-003.wav": "seven of clubs",
        "something.wav": "go somewhere and do something",
        "hello-world.wav": "hello world",
        "weather-question.wav": "what is the weather in paris",
    }

    async def test(engine: Pocketsphinx) -> dict[str, str]:
        turns = [words_of(engine, recording(name)) for name in said]
        return {name: whole.text for name, (whole, _) in zip(said, await asyncio.gather(*turns), strict=True)}

    assert with_engine(test) == said


def test_deltas_joined_are_the_transcript_and_their_probabilities_too() -> None:
    """Two sentences with a pause between: the first is reported before the second is over."""

    async def test(engine: Pocketsphinx) -> tuple[Transcript, list[Transcript]]:
        return await words_of(engine, recording("hello-world.wav") + recording("cards-003.wav"))

    whole, deltas = with_engine(test)
    assert len(deltas) == 2
    assert "".join(delta.text for delta in deltas) == whole.text == "hello world seven of clubs"
    assert "".join(one.token for one in whole.logprobs) == whole.text
    assert all(one.logprob <= 0 and bytes(one.bytes).decode() == one.token for one in whole.logprobs)


def test_the_same_sound_gives_the_same_words_however_it_is_cut_and_whoever_spoke_before() -> None:
    async def test(engine: Pocketsphinx) -> list[Transcript]:
        audio = recording("cards-003.wav")
        first, _ = await words_of(engine, audio)
        await words_of(engine, recording("austen-0880.wav"))
        return [first, (await words_of(engine, audio, chunk_bytes=4801))[0], (await words_of(engine, audio))[0]]

    first, *others = with_engine(test)
    assert first.text == "seven of clubs"
    assert others == [first, first]


def test_a_telephone_is_understood() -> None:
    async def test(engine: Pocketsphinx) -> str:
        encoder = Encoder("audio/pcmu")
        audio = encoder.feed(recording("goforward.wav")) + encoder.flush()
        return (await words_of(engine, audio, PCMU, 160))[0].text

    assert {"forward", "ten", "meters"} <= set(with_engine(test).split())


def test_silence_and_noise_are_no_words() -> None:
    hiss = (np.random.default_rng(3).standard_normal(48_000) * 60).astype(np.int16).tobytes()

    async def test(engine: Pocketsphinx) -> list[str]:
        return [(await words_of(engine, audio))[0].text for audio in (b"", bytes(96_000), hiss)]

    assert with_engine(test) == ["", "", ""]


def test_a_process_that_dies_fails_its_turn_and_no_other() -> None:
    async def test(engine: Pocketsphinx) -> str:
        assert engine._processes is not None
        doomed = engine.recognize(Hints(), lambda _: None)
        audio = recording("goforward.wav")
        doomed.feed(audio[:CHUNK_BYTES], PCM)
        (victim,) = await _children_of(engine._processes.pid)
        other = asyncio.create_task(words_of(engine, audio))
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(EngineError):
            await doomed.finish()
        return (await other)[0].text

    assert with_engine(test) == "go forward ten meters"


async def _children_of(pid: int | None) -> list[int]:
    """The processes that a process has forked, once there are any."""
    for _ in range(100_000):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()  # noqa: ASYNC240 - no disk is asked
        if children:
            return [int(child) for child in children]
        await asyncio.sleep(0)
    raise AssertionError("nothing was forked")


def test_a_cancelled_turn_says_nothing_more() -> None:
    async def test(engine: Pocketsphinx) -> Transcript:
        turn = engine.recognize(Hints(), lambda _: pytest.fail("it was cancelled"))
        turn.feed(recording("hello-world.wav"), PCM)
        turn.cancel()
        turn.cancel()
        return await turn.finish()

    assert with_engine(test) == Transcript("")


def test_an_option_that_is_none_is_named() -> None:
    with pytest.raises(SettingsError, match=r"engines\.cascade\.pocketsphinx: unknown option 'speed'"):
        Pocketsphinx({"speed": 2})
