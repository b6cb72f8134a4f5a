"""One library, one thread, many sessions."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from tests.engines.speaker import SENTENCE, Speaker
from tests.engines.voice_measures import Pcm, pitch_hz, seconds
from vivavoce.audio import SAMPLE_HZ
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.espeak_library import EspeakLibrary, EspeakThread, Prosody, Word
from vivavoce.engines.parts import Utterance
from vivavoce.protocol.errors import EngineError

pytest.importorskip("espeakng_loader", reason="needs vivavoce[offline]")


def test_a_long_utterance_lets_others_speak_first(speaker: Speaker) -> None:
    long_text = " ".join([SENTENCE] * 40)

    async def both() -> tuple[int, int]:
        heard, total = 0, 0
        long = aiter(speaker.espeak.speak(Utterance(text=long_text)))
        await anext(long)

        async def read_long() -> None:
            nonlocal total
            async for speech in long:
                total += len(speech.pcm)

        reading = asyncio.create_task(read_long())
        async for _ in speaker.espeak.speak(Utterance(text="Sure, one moment.")):
            pass
        heard = total
        await reading
        return heard, total

    heard, total = speaker.runner.run(both())
    assert heard < total / 4


def test_closing_the_iterator_stops_the_synthesis(speaker: Speaker) -> None:
    async def speak_and_close() -> None:
        speeches = speaker.espeak.speak(Utterance(text=" ".join([SENTENCE] * 200)))
        first = await anext(speeches)
        assert 0 < len(first.pcm) < SAMPLE_HZ
        await speeches.aclose()

    speaker.runner.run(speak_and_close())
    assert seconds(speaker.say("Next.").pcm) < 1.5


def test_a_cancelled_task_stops_the_synthesis(speaker: Speaker) -> None:
    async def cancel() -> None:
        async def read() -> None:
            async for _ in speaker.espeak.speak(Utterance(text=" ".join([SENTENCE] * 200))):
                pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    speaker.runner.run(cancel())
    assert seconds(speaker.say("Next.").pcm) < 1.5


def test_many_sessions_at_once_each_hear_their_own(speaker: Speaker) -> None:
    async def one(number: int) -> float:
        voice = ("cedar", "shimmer")[number % 2]
        pcm = b"".join([speech.pcm async for speech in speaker.espeak.speak(Utterance(text=SENTENCE, voice=voice))])
        return pitch_hz(np.frombuffer(pcm, np.int16))

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(one(number) for number in range(12)))

    pitches = speaker.runner.run(all_of_them())
    assert max(pitches[0::2]) < 90
    assert min(pitches[1::2]) > 200


def in_thread(work: Callable[[EspeakLibrary], None]) -> None:
    """Run `work` where the library may be called, and raise what it raises."""
    outcome: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def run() -> None:
        thread = await asyncio.to_thread(EspeakThread.acquire)
        loop = asyncio.get_running_loop()

        def job(library: EspeakLibrary) -> None:
            try:
                work(library)
                error = None
            except BaseException as raised:
                error = raised
            loop.call_soon_threadsafe(outcome.put_nowait, error)

        thread.submit(job, urgent=True)
        error = await outcome.get()
        await asyncio.to_thread(thread.release)
        if error:
            raise error

    asyncio.run(run())


def test_the_library_stops_at_once_when_told_to() -> None:
    heard: list[int] = []

    def stop(pcm: Pcm, words: list[Word]) -> bool:
        heard.append(len(pcm))
        return True

    for wpm in (175.0, 40.0):
        heard.clear()
        prosody = Prosody(voice="en-us", words_per_minute=wpm)
        in_thread(lambda library, prosody=prosody: library.synthesize(SENTENCE, prosody, stop, end_pause=False))
        assert len(heard) == 1, wpm


def test_an_error_in_the_callback_comes_back_out() -> None:
    def fail(pcm: Pcm, words: list[Word]) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_thread(lambda library: library.synthesize(SENTENCE, Prosody(voice="en-us"), fail, end_pause=False))


def test_a_voice_that_espeak_lacks_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="klingonese"):
        in_thread(lambda library: library.synthesize("Hi", Prosody(voice="klingonese"), lambda *_: False, end_pause=False))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(EngineError, match=r"vivavoce\[offline\]"):
        EspeakLibrary()


def test_speaking_before_the_start_is_an_engine_error() -> None:
    async def speak() -> None:
        async for _ in Espeak().speak(Utterance(text="Hello")):
            pass

    with pytest.raises(EngineError, match="not started"):
        asyncio.run(speak())


def test_it_can_be_started_again_after_it_was_closed() -> None:
    """In a process of its own: the last `close` frees the library."""
    script = """
import asyncio, sys, threading
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.parts import Utterance
assert "espeakng_loader" not in sys.modules, "the base must not need the extra"
async def once():
    espeak = Espeak({})
    await espeak.start()
    samples = sum([len(speech.pcm) // 2 async for speech in espeak.speak(Utterance(text="Hello there."))])
    await espeak.close()
    return samples
lengths = [asyncio.run(once()) for _ in range(3)]
assert all(12_000 < length < 36_000 for length in lengths), lengths
assert "espeak-ng" not in [thread.name for thread in threading.enumerate()]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
