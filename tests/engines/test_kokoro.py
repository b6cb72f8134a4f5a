"""Kokoro: what reaches the model, in whose voice, how, and when it is heard. The tiny model says phonemes as tones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.fakes import FakeChatModel, FakeTranscriber
from tests.engines.probe import Probe, in_use, user_text
from tests.engines.speeches import collected, marks_of, pcm_of
from tests.engines.tiny_models.kokoro import LOUDNESS, TOKEN_SAMPLES, heard, loudness_of, write_kokoro
from vivavoce.engine_api import Mark
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.kokoro import Kokoro
from vivavoce.engines.kokoro_voices import API_VOICES, LANGUAGES
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.engines.tone import Tone

SECOND = 24_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kokoro(tmp_path_factory.mktemp("kokoro"))


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reports durations."""
    return write_kokoro(tmp_path_factory.mktemp("timed"), durations=True)


def phonemes(text: str, language: str = "en-us") -> str:
    from kokoro_onnx.tokenizer import Tokenizer

    return " ".join(Tokenizer().phonemize(text, language).split())


def spoken(folder: Path, utterance: Utterance, **options: Any) -> list[Speech]:
    async def scene() -> list[Speech]:
        async with in_use(Kokoro({"model": str(folder), "cores": 1, **options})) as part:
            return await collected(part.speak(utterance))

    return asyncio.run(scene())


# --- what is said ---


def test_words_become_phonemes_and_phonemes_sound(folder: Path) -> None:
    pcm = pcm_of(spoken(folder, Utterance(text="Hello there, my friend.")))
    assert heard(pcm) == [phonemes("Hello there, my friend.")]


def test_what_is_written_for_the_eye_is_said_for_the_ear(folder: Path) -> None:
    written = "**Paris** -> _Rome_, `x = 3`, $3.50 🚆"
    assert heard(pcm_of(spoken(folder, Utterance(text=written)))) == [phonemes("Paris to Rome, x = 3, 3 dollars 50")]


def test_a_tag_is_never_spoken(folder: Path) -> None:
    """Through the whole cascade, what the model says is the words and nothing of the directions."""
    written = "Come in. <whisper>It is late</whisper>, [laughs] my friend. *sighs* <laugh> Good night."

    async def scene() -> bytes:
        kokoro = Kokoro({"model": str(folder), "cores": 1})
        async with in_use(Cascade.of(FakeTranscriber(), FakeChatModel(), kokoro)) as cascade:
            answer = await Probe(cascade).ask(user_text(written))
            assert answer.transcript == "You said: Come in. It is late, my friend. Good night."
            return answer.pcm

    said = heard(asyncio.run(scene()), 1.0, 0.95)  # a whisper is slower
    assert said == [phonemes(clause) for clause in ("You said:", "Come in.", "It is late", "my friend.", "Good night.")]


@pytest.mark.parametrize("text", ["", "🚆", "…", "***"])
def test_where_there_is_nothing_to_pronounce(folder: Path, text: str) -> None:
    speeches = spoken(folder, Utterance(text=text, tone=Tone(laugh=not text)))
    assert pcm_of(speeches) == b""
    assert marks_of(speeches)[-1] == Mark(len(text), 0)


def test_marks_of_another_language_in_the_phonemes_are_not_spoken(folder: Path) -> None:
    """espeak-ng brackets a word that it reads in English: `(en)`. The vocabulary has those letters."""
    text = "Le weekend."
    assert "(en)" in phonemes(text, "fr-fr")
    [said] = heard(pcm_of(spoken(folder, Utterance(text=text, voice="ff_siwis"))))
    assert "(" not in said
    assert said.startswith("lə")


# --- in whose voice ---


@pytest.mark.parametrize(
    ("asked", "voice"),
    [
        ("am_echo", "am_echo"),
        ("echo", "am_echo"),
        ("Alloy", "af_alloy"),
        ("ballad", "bm_george"),
        ("nobody", "af_heart"),
        ("jf_alpha", "af_heart"),
    ],
)
def test_voices(folder: Path, asked: str, voice: str) -> None:
    pcm = pcm_of(spoken(folder, Utterance(text="Hello.", voice=asked)))
    assert loudness_of(pcm) == pytest.approx(LOUDNESS[voice], abs=0.002)


def test_a_voice_brings_its_language(folder: Path) -> None:
    for voice, language in (("af_heart", "en-us"), ("bm_george", "en-gb"), ("ff_siwis", "fr-fr")):
        assert heard(pcm_of(spoken(folder, Utterance(text="Pardon.", voice=voice)))) == [phonemes("Pardon.", language)]
    assert heard(pcm_of(spoken(folder, Utterance(text="Bath."), language="en-gb"))) == [phonemes("Bath.", "en-gb")]


def test_the_operator_names_voices(folder: Path) -> None:
    options = {"voice": "am_puck", "voices": {"alloy": "af_bella", "nurse": "af_nicole"}, "whisper_voice": "af_nicole"}
    for asked, voice in (("alloy", "af_bella"), ("nurse", "af_nicole"), ("nobody", "am_puck")):
        pcm = pcm_of(spoken(folder, Utterance(text="Hello.", voice=asked), **options))
        assert loudness_of(pcm) == pytest.approx(LOUDNESS[voice], abs=0.002)
    whispered = Utterance(text="Hello.", tone=Tone(whisper=True))
    assert loudness_of(pcm_of(spoken(folder, whispered, **options))) == pytest.approx(LOUDNESS["af_nicole"], abs=0.002)


def test_what_can_be_chosen(folder: Path) -> None:
    async def voices() -> tuple[str, ...]:
        part = Kokoro({"model": str(folder), "cores": 1})
        await part.start()
        await part.close()
        return part.voices

    there = asyncio.run(voices())
    assert {"alloy", "af_heart", "ff_siwis"} <= set(there)
    assert not {"jf_alpha", "sage"} & set(there), "neither a language nor a voice that is not there"
    assert {voice[0] for voice in API_VOICES.values()} <= set(LANGUAGES)
    assert {"alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"} <= set(API_VOICES)


# --- how ---


def test_speed_and_pace_multiply(folder: Path) -> None:
    text = "Hello there my friend."
    tokens = len(phonemes(text))
    for utterance, speed in (
        (Utterance(text=text), 1.0),
        (Utterance(text=text, speed=1.5), 1.5),
        (Utterance(text=text, speed=1.25, tone=Tone(pace=0.8)), 1.0),
        (Utterance(text=text, speed=0.25), 0.5),
    ):
        samples = np.frombuffer(pcm_of(spoken(folder, utterance)), "<i2")
        sound = np.flatnonzero(samples)
        assert sound[-1] - sound[0] == pytest.approx(tokens * TOKEN_SAMPLES / speed, rel=0.01)


def test_volume_is_followed_without_breaking(folder: Path) -> None:
    for volume, loudness in ((0.5, 0.16), (1.5, 0.48)):
        pcm = pcm_of(spoken(folder, Utterance(text="Hello.", tone=Tone(volume=volume))))
        assert loudness_of(pcm) == pytest.approx(loudness, abs=0.002)
    loud = pcm_of(spoken(folder, Utterance(text="Hello.", voice="jf_alpha", tone=Tone(volume=2.9)), language="en-us"))
    assert 0.95 < loudness_of(loud) < 1.0, "bent, not clipped"


# --- when ---


def test_a_long_clause_is_cut_at_its_pauses(folder: Path) -> None:
    text = (
        "The sea is deep and blue this morning and it never sleeps, "
        "and the tide comes in over the sand as it did before anybody was there to see it, "
        "and so on."
    )
    speeches = spoken(folder, Utterance(text=text))
    said = heard(pcm_of(speeches))
    assert len(said) == 2
    assert said[0] == phonemes("The sea is deep and blue this morning and it never sleeps,")
    assert said[1].endswith(phonemes("and so on."))
    at = text.index(", and the tide") + 1
    first = next(mark for mark in marks_of(speeches) if mark.characters == at)
    assert first.samples == pytest.approx(len(said[0]) * TOKEN_SAMPLES, abs=2_048), "the end of a piece is exact"


def test_marks_follow_the_written_words(folder: Path) -> None:
    text = "I have **42** apples -> pears, my friend."
    speeches = spoken(folder, Utterance(text=text))
    marks = marks_of(speeches)
    assert [mark.characters for mark in marks] == [1, 6, 13, 20, 23, 30, 33, 41, 41]
    assert all(before.samples <= after.samples for before, after in pairwise(marks))
    assert marks[-1].samples == len(pcm_of(speeches)) // 2
    # A mark comes with the sound that it stands in, or before.
    sent = 0
    for speech in speeches:
        sent += len(speech.pcm) // 2
        assert all(mark.samples <= sent for mark in speech.marks)


def test_durations_make_marks_exact(timed: Path) -> None:
    """ "Of the" is one word to espeak-ng and "42" two: after the next pause everything is certain again."""
    text = "The roof of the house, it has 42 birds. I saw them."
    speeches = spoken(timed, Utterance(text=text))
    words = phonemes(text).split(" ")
    assert [words[n] for n in (2, 6, 7)] == ["ʌvðə", "fˈɔːɹɾi", "tˈuː"]
    marks = {text[: mark.characters].split()[-1]: mark.samples for mark in marks_of(speeches)[:-1]}
    head = _silence_before(pcm_of(speeches))
    for word, n in (("house,", 3), ("birds.", 8), ("I", 9), ("saw", 10), ("them.", 11)):
        tokens = len(" ".join(words[: n + 1]))
        assert marks[word] == pytest.approx(head + tokens * TOKEN_SAMPLES, abs=2), word


def _silence_before(pcm: bytes) -> int:
    return int(np.flatnonzero(np.frombuffer(pcm, "<i2"))[0]) - 1


def test_a_sentence_ends_with_a_rest_and_a_broken_off_clause_does_not(folder: Path) -> None:
    def rest(text: str, **fields: Any) -> float:
        samples = np.frombuffer(pcm_of(spoken(folder, Utterance(text=text, **fields))), "<i2")
        return (len(samples) - 1 - int(np.flatnonzero(samples)[-1])) / SECOND

    assert rest("Hello there.") - rest("Hello there") == pytest.approx(0.2, abs=0.03)
    assert rest("Hello there,") - rest("Hello there") == pytest.approx(0.12, abs=0.03)


# --- together with others ---


class Held:
    """The real model behind a gate: a test decides when a piece may be spoken, and reads the order afterwards."""

    def __init__(self, part: Kokoro) -> None:
        assert part._model is not None
        self._say = part._model.say
        self.said: list[str] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        part._model.say = self.say

    def say(self, phonemes: str, voice: str, speed: float) -> Any:
        self.said.append(voice)
        self.began.release()
        assert self.gate.acquire(timeout=20)
        return self._say(phonemes, voice, speed)


LONG = "The sea is deep and blue this morning and it never sleeps, " * 4


def held(folder: Path, scene: Callable[[Kokoro, Held], Any], **options: Any) -> None:
    async def play() -> None:
        part = Kokoro({"model": str(folder), "cores": 1, **options})
        await part.start()
        model = Held(part)
        try:
            await asyncio.wait_for(scene(part, model), 30)
        finally:
            model.gate.release(100)
            await part.close()

    asyncio.run(play())


async def _said(part: Kokoro, text: str, voice: str) -> bytes:
    return pcm_of(await collected(part.speak(Utterance(text=text, voice=voice))))


def test_sessions_take_turns_and_newcomers_come_first(folder: Path) -> None:
    async def scene(part: Kokoro, model: Held) -> None:
        first = asyncio.create_task(_said(part, LONG, "af_alloy"))
        await asyncio.to_thread(model.began.acquire)
        others = [asyncio.create_task(_said(part, LONG, voice)) for voice in ("am_echo", "bm_george")]
        await asyncio.sleep(0)
        model.gate.release(100)
        await asyncio.gather(first, *others)
        assert model.said[:3] == ["af_alloy", "am_echo", "bm_george"]
        assert sorted(model.said[3:6]) == sorted(model.said[:3]), "then each in its turn"
        assert len(model.said) == 12

    held(folder, scene)


def test_closing_stops_before_the_next_piece(folder: Path) -> None:
    async def scene(part: Kokoro, model: Held) -> None:
        model.gate.release(1)
        iterator = part.speak(Utterance(text=LONG))
        await anext(iterator)
        await iterator.aclose()
        model.gate.release(100)
        await _said(part, "Another.", "am_echo")
        assert model.said == ["af_alloy", "am_echo"]

    held(folder, scene)


def test_who_is_cancelled_while_waiting_is_never_spoken(folder: Path) -> None:
    async def scene(part: Kokoro, model: Held) -> None:
        first = asyncio.create_task(_said(part, "Hello.", "af_alloy"))
        await asyncio.to_thread(model.began.acquire)
        second = asyncio.create_task(_said(part, "Hello.", "am_echo"))
        await asyncio.sleep(0)
        second.cancel()
        model.gate.release(100)
        await first
        await _said(part, "Hello.", "bm_george")
        assert model.said == ["af_alloy", "bm_george"]

    held(folder, scene)


def test_as_many_pieces_at_once_as_the_operator_wants(folder: Path) -> None:
    async def scene(part: Kokoro, model: Held) -> None:
        speaking = [asyncio.create_task(_said(part, "Hello.", voice)) for voice in ("af_alloy", "am_echo", "am_puck")]
        await asyncio.to_thread(model.began.acquire)
        await asyncio.to_thread(model.began.acquire)
        assert sorted(model.said) == ["af_alloy", "am_echo"]
        model.gate.release(100)
        sounds = await asyncio.gather(*speaking)
        assert [heard(pcm) for pcm in sounds] == [[phonemes("Hello.")]] * 3

    held(folder, scene, at_once=2)


def test_espeak_may_run_beside_it(folder: Path) -> None:
    """espeak-ng keeps its voice and text in global variables, and both use it: each has a library of its own."""
    text = "The tide comes in, the tide goes out."

    async def scene() -> None:
        robot, part = Espeak({}), Kokoro({"model": str(folder), "cores": 1})
        await asyncio.gather(robot.start(), part.start())
        try:
            alone = len(pcm_of([speech async for speech in robot.speak(Utterance(text=text, voice="fr"))]))
            for _ in range(5):
                robots, said = await asyncio.gather(
                    collected(robot.speak(Utterance(text=text, voice="fr"))), collected(part.speak(Utterance(text=text)))
                )
                assert len(pcm_of(robots)) == pytest.approx(alone, rel=0.02)
                assert heard(pcm_of(said)) == [phonemes(text)]
        finally:
            await asyncio.gather(robot.close(), part.close())

    asyncio.run(scene())
