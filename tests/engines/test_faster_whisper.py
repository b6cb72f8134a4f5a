"""Whisper in the process: a tiny model that hears tones as words, through the real library."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import faster_whisper
import numpy as np
import pytest

from tests.engines.hearing_turns import Barrier, Turn, heard, noise, recorded, silence
from tests.engines.probe import in_use
from tests.engines.tiny_models.whisper import INVENTED, make_whisper, speech
from vivavoce.audio import Encoder, to_pcm
from vivavoce.engines.faster_whisper import FasterWhisper
from vivavoce.engines.loudness import RATE_HZ
from vivavoce.engines.parts import Hints
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("multilingual"), multilingual=True)


def started(folder: Path, **options: object) -> AbstractAsyncContextManager[FasterWhisper]:
    return in_use(FasterWhisper({"model": str(folder), "threads": 1, **options}))


class Gate(Barrier):
    """Counts who passes, with what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.calls: list[dict] = []
        real = faster_whisper.WhisperModel.transcribe

        def transcribe(model: object, samples: np.ndarray, **options: object) -> object:
            self.calls.append({"samples": samples, **options})
            self.passed()
            return real(model, samples, **options)

        monkeypatch.setattr(faster_whisper.WhisperModel, "transcribe", transcribe)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def test_it_hears_what_is_said(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            for words in ("six", "one red", "two green mice run here"):
                assert await heard(transcriber, speech(words)) == words
            assert await heard(transcriber, silence(2) + speech("four grey dogs") + silence(3)) == "four grey dogs"

    asyncio.run(scenario())


@pytest.mark.parametrize("encoding", ["audio/pcmu", "audio/pcma"])
def test_it_hears_over_the_telephone(folder: Path, encoding: str) -> None:
    async def scenario() -> None:
        encoder = Encoder(encoding)
        audio = encoder.feed(speech("two green mice")) + encoder.flush()
        async with started(folder) as transcriber:
            assert await heard(transcriber, audio, format=AudioFormat(type=encoding)) == "two green mice"

    asyncio.run(scenario())


def test_silence_is_nothing_and_the_model_is_not_asked(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.calls.clear()
            for audio in (b"", b"\0", silence(0.05), silence(20), noise(3, loudness=10)):
                assert await heard(transcriber, audio) == ""
            assert gate.calls == []

    asyncio.run(scenario())


def test_what_it_invents_on_noise_is_no_turn(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            assert await heard(transcriber, noise(2)) == ""

    asyncio.run(scenario())
    model = faster_whisper.WhisperModel(str(folder), cpu_threads=1)
    hiss = np.frombuffer(to_pcm(noise(2), "audio/pcm", RATE_HZ), "<i2").astype(np.float32) / 32768
    segments, _ = model.transcribe(hiss, language="en", without_timestamps=True)
    assert [segment.text.strip() for segment in segments] == [INVENTED]


def test_a_long_turn_is_recognised_while_it_is_spoken(folder: Path) -> None:
    first, second = speech("two green mice run here"), speech("five white fish")

    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(first + noise(11, loudness=400) + silence(0.5))
            assert await turn.until(bool) == "two green mice run here"
            turn.feed(second)
            assert (await turn.finish()).text == "two green mice run here five white fish"
            assert turn.deltas == ["two green mice run here", " five white fish"]

    asyncio.run(scenario())


def test_what_no_pause_closes_is_heard_at_the_end(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.calls.clear()
            assert await heard(transcriber, speech("two green mice") + noise(31, loudness=400)) == "two green mice"
            assert [call["without_timestamps"] for call in gate.calls] == [False]

    asyncio.run(scenario())


def test_a_voice_in_one_window_is_no_witness_for_another(folder: Path) -> None:
    """The model says the same of the voice, which has no tones, and of the noise. In one of them somebody speaks."""

    async def scenario() -> None:
        async with started(folder) as transcriber:
            voice = recorded("hello-world.wav")
            assert await heard(transcriber, voice + noise(2)) == INVENTED
            assert await heard(transcriber, voice + noise(33)) == INVENTED

    asyncio.run(scenario())


def test_sessions_do_not_mix(folder: Path) -> None:
    sentences = ["one red cats sing", "two blue", "three green birds sleep now", "four", "six grey fish swim well"] * 3

    async def scenario() -> None:
        async with started(folder, workers=3) as transcriber:
            assert await asyncio.gather(*(heard(transcriber, speech(words)) for words in sentences)) == sentences

    asyncio.run(scenario())


def test_who_comes_first_is_served_first(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            done: list[str] = []

            async def one(words: str) -> None:
                done.append(await heard(transcriber, speech(words)))

            async with asyncio.TaskGroup() as turns:
                for words in ("one", "two red", "three", "four"):
                    turns.create_task(one(words))
            assert done == ["one", "two red", "three", "four"]

    asyncio.run(scenario())


def test_cancel_drops_what_waits(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.calls.clear()
            gate.shut()
            turns = [Turn(transcriber) for _ in range(4)]
            for turn, words in zip(turns, ("one", "two", "three", "four"), strict=True):
                turn.feed(speech(words))
            waiting = [asyncio.create_task(turn.finish()) for turn in turns]
            await gate.until_somebody_waits()
            for turn in turns[:3]:
                turn.recognition.cancel()
                turn.recognition.cancel()
            gate.open.set()
            assert [transcript.text for transcript in await asyncio.gather(*waiting)] == ["", "", "", "four"]
            assert [turn.deltas for turn in turns] == [[], [], [], ["four"]]
            assert len(gate.calls) == 2, "two of the four were never begun"
            turns[3].recognition.cancel()

    asyncio.run(scenario())


def test_whoever_awaits_it_may_be_cancelled(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.shut()
            turn = Turn(transcriber)
            turn.feed(speech("one"))
            finishing = asyncio.create_task(turn.finish())
            await gate.until_somebody_waits()
            finishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await finishing
            gate.open.set()
            assert await heard(transcriber, speech("two")) == "two"

    asyncio.run(scenario())


def test_a_failure_fails_its_own_turn(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.error = RuntimeError("out of memory")
            with pytest.raises(RuntimeError, match="out of memory"):
                await heard(transcriber, speech("one"))
            gate.error = None
            assert await heard(transcriber, speech("two")) == "two"

    asyncio.run(scenario())


def test_close_stops_everything(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        transcriber = FasterWhisper({"model": str(folder)})
        await transcriber.start()
        gate.shut()
        turn = Turn(transcriber)
        turn.feed(speech("one"))
        finishing = asyncio.create_task(turn.finish())
        await gate.until_somebody_waits()
        closing = asyncio.create_task(transcriber.close())
        assert (await finishing).text == ""
        gate.open.set()
        await closing
        with pytest.raises(EngineError, match="is not started"):
            Turn(transcriber)
        await transcriber.close()

    threads = threading.active_count()
    asyncio.run(scenario())
    assert threading.active_count() <= threads


# --- hints and options ---


def test_hints_reach_the_model_and_never_crowd_it(folder: Path, gate: Gate) -> None:
    hints = Hints(language="de", prompt="A talk about mice. " * 200, phrases=tuple(f"phrase {n}" for n in range(200)))

    async def scenario() -> None:
        async with started(folder) as transcriber:
            assert await heard(transcriber, speech("two green mice"), hints) == "two green mice"
        async with started(folder, phrases=False, beam_size=3) as transcriber:
            assert await heard(transcriber, speech("two green mice"), hints) == "two green mice"

    asyncio.run(scenario())
    first, second = (call for call in gate.calls if call.get("hotwords") or call.get("initial_prompt"))
    assert first["language"] == "en"  # it knows no other
    assert len(first["initial_prompt"]) == 120
    assert first["hotwords"].startswith("phrase 0, phrase 1, ")
    assert len(first["hotwords"]) <= 100
    assert (first["beam_size"], second["beam_size"]) == (1, 3)
    assert second["hotwords"] is None


def test_what_was_said_before_helps_with_what_follows(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("two green mice") + noise(13, loudness=400) + silence(0.5))
            await turn.until(bool)
            turn.feed(speech("one red"))
            await turn.finish()

    asyncio.run(scenario())
    assert gate.calls[-2]["initial_prompt"] is None
    assert len(gate.calls[-1]["initial_prompt"]) == len(" two green mice")  # this tokenizer takes it letter by letter


@pytest.mark.parametrize(
    ("option", "hint", "language", "guess"),
    [
        ("", "", "en", True),
        ("", "de", "de", False),
        ("", "DE-at", "de", False),
        ("de", "", "de", False),
        ("de", "xx", "de", False),
    ],
)
def test_languages(multilingual: Path, gate: Gate, option: str, hint: str, language: str, guess: bool) -> None:
    async def scenario() -> None:
        async with started(multilingual, language=option) as transcriber:
            gate.calls.clear()
            assert await heard(transcriber, speech("one green"), Hints(language=hint)) == "one green"

    asyncio.run(scenario())
    assert [(call["language"], call["multilingual"]) for call in gate.calls] == [(language, guess)]


def test_a_guess_costs_no_second_look(multilingual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    real = faster_whisper.WhisperModel.encode

    def encode(model: object, features: np.ndarray) -> object:
        looks.append("look")
        return real(model, features)

    async def scenario() -> None:
        async with started(multilingual) as transcriber:
            monkeypatch.setattr(faster_whisper.WhisperModel, "encode", encode)
            assert await heard(transcriber, speech("one green")) == "one green"

    asyncio.run(scenario())
    assert looks == ["look"]


def test_log_probabilities_are_of_the_words(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder, logprobs=True) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("two green mice"))
            transcript = await turn.finish()
            assert "".join(one.token for one in transcript.logprobs).strip() == transcript.text == "two green mice"
            assert all(-0.1 < one.logprob <= 0 for one in transcript.logprobs)
            assert bytes(transcript.logprobs[0].bytes) == b" two"

    asyncio.run(scenario())
