"""Pocket TTS: what reaches the model, in whose voice, how, and when it is heard. The model is tiny, with random weights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.fakes import FakeChatModel, FakeTranscriber
from tests.engines.probe import Probe, in_use, user_text
from tests.engines.speeches import collected, marks_of, pcm_of
from tests.engines.tiny_models.pocket_tts import VOICES, write_pocket_tts
from vivavoce.engine_api import Mark
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.parts import Utterance
from vivavoce.engines.pocket_tts import PocketTTS
from vivavoce.engines.pocket_tts_model import Generation, PocketModel
from vivavoce.engines.pocket_tts_voices import API_VOICES
from vivavoce.engines.tone import Tone

FRAME_SAMPLES = 1_920
"""80 ms."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that ends each text as early as it can: after 9 to 11 frames."""
    return write_pocket_tts(tmp_path_factory.mktemp("pocket") / "tiny")


@pytest.fixture(scope="module")
def part(folder: Path, runner: asyncio.Runner) -> Iterator[PocketTTS]:
    part = PocketTTS({"model": str(folder)})
    runner.run(part.start())
    yield part
    runner.run(part.close())


class Reader:
    """Reads along: what the package's tokenizer is given is what the model will say."""

    def __init__(self, part: PocketTTS) -> None:
        assert part._model is not None
        self._conditioner = part._model.tts.flow_lm.conditioner
        self._tokenizer = self._conditioner.tokenizer
        self.texts: list[str] = []

    def __enter__(self) -> list[str]:
        self._conditioner.tokenizer = self
        return self.texts

    def __exit__(self, *_: object) -> None:
        self._conditioner.tokenizer = self._tokenizer

    def __call__(self, text: str) -> Any:
        self.texts.append(text)
        return self._tokenizer(text)


def frames_of(generation: Generation) -> list[np.ndarray]:
    frames = []
    while (latent := generation.think()) is not None:
        frames.append(generation.decode(latent))
    return frames


# --- what is said ---


def test_step_by_step_is_what_the_package_does(folder: Path, tmp_path: Path) -> None:
    """Sample by sample the same as its own stream, with the real sampling: noise at temperature 0.7."""
    import torch

    warm = write_pocket_tts(tmp_path / "warm", temperature=0.7)
    model = PocketModel(warm, "english", quantize=False)
    text = "Hello there, my friend."
    torch.manual_seed(3)
    ours = np.concatenate(frames_of(model.begin(text, "jane")))
    torch.manual_seed(3)
    state = model.tts.get_state_for_audio_prompt(warm / "embeddings" / "jane.safetensors")
    theirs = torch.cat(list(model.tts.generate_audio_stream(state, text))).numpy()
    assert len(ours) == len(theirs) > 8 * FRAME_SAMPLES
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    torch.manual_seed(4)
    others = np.concatenate(frames_of(model.begin(text, "jane")))
    assert np.abs(others - ours).max() > 1e-3, "the noise is heard: the comparison means something"


def test_a_text_that_never_ends_is_ended(tmp_path: Path) -> None:
    """As the package does: 2 s, and 1/3 s for each token."""
    model = PocketModel(write_pocket_tts(tmp_path / "endless", end_threshold=1_000.0), "english", quantize=False)
    generation = model.begin("Hi.", "alba")
    frames = frames_of(generation)
    assert len(frames) == model.tts._estimate_max_gen_len(len(model.tts.flow_lm.conditioner.tokenizer.encode("Hi.")))
    assert generation.think() is None
    assert all(len(frame) == FRAME_SAMPLES for frame in frames)


def test_what_is_written_for_the_eye_is_said_for_the_ear(part: PocketTTS, runner: asyncio.Runner) -> None:
    with Reader(part) as texts:
        runner.run(collected(part.speak(Utterance(text="**Paris** -> _Rome_, `x = 3`, $3.50 🚆"))))
    assert texts == ["Paris to Rome, x = 3, 3 dollars 50."]


def test_a_tag_is_never_spoken(part: PocketTTS, runner: asyncio.Runner) -> None:
    """Through the whole cascade, what reaches the tokenizer is the words and nothing of the directions."""
    written = "Come in. <whisper>It is late</whisper>, [laughs] my friend. *sighs* <laugh> Good night."

    async def scene() -> str:
        cascade = Cascade.of(FakeTranscriber(), FakeChatModel(), part)
        return (await Probe(cascade).ask(user_text(written))).transcript

    with Reader(part) as texts:
        assert runner.run(scene()) == "You said: Come in. It is late, my friend. Good night."
    assert texts == ["You said.", "Come in.", "It is late.", "My friend.", "Good night."]


@pytest.mark.parametrize("text", ["", "🚆", "…", "***"])
def test_where_there_is_nothing_to_pronounce(part: PocketTTS, runner: asyncio.Runner, text: str) -> None:
    with Reader(part) as texts:
        speeches = runner.run(collected(part.speak(Utterance(text=text, tone=Tone(laugh=not text)))))
    assert texts == []
    assert pcm_of(speeches) == b""
    assert marks_of(speeches)[-1] == Mark(len(text), 0)


def test_a_long_clause_is_cut_where_the_voice_rests(part: PocketTTS, runner: asyncio.Runner) -> None:
    first = "The sea is deep and blue this morning and it never sleeps, and the tide comes in over the sand, "
    second = "as it did before anybody was there to see it or to write about it in a book."
    with Reader(part) as texts:
        speeches = runner.run(collected(part.speak(Utterance(text=first + second))))
    assert texts == [first.rstrip(" ,") + ".", second[0].upper() + second[1:]]
    assert Mark(len(first.rstrip()), len(pcm_of(speeches)) // 4) in marks_of(speeches), "two pieces, equally long here"


# --- in whose voice ---


def test_voices(part: PocketTTS, runner: asyncio.Runner) -> None:
    def sound(voice: str) -> bytes:
        return pcm_of(runner.run(collected(part.speak(Utterance(text="Hello.", voice=voice)))))

    sounds = {voice: sound(voice) for voice in VOICES}
    assert len(set(sounds.values())) == len(VOICES)
    for asked, voice in (("alloy", "jane"), ("Echo", "george"), ("nobody", "alba"), ("sage", "alba")):
        assert sound(asked) == sounds[voice], asked
    assert part.voices == ("alloy", "echo", *VOICES)
    assert {"alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"} <= set(API_VOICES)
    assert not {"cosette", "jean"} & set(API_VOICES.values()), "their recordings are not for every use"


def test_the_operator_names_voices(folder: Path, part: PocketTTS, runner: asyncio.Runner) -> None:
    async def scene() -> list[bytes]:
        options = {"model": str(folder), "voice": "george", "voices": {"nurse": "jane"}}
        async with in_use(PocketTTS(options)) as own:
            return [pcm_of(await collected(own.speak(Utterance(text="Hello.", voice=v)))) for v in ("nobody", "nurse")]

    plain = [pcm_of(runner.run(collected(part.speak(Utterance(text="Hello.", voice=v))))) for v in ("george", "jane")]
    assert runner.run(scene()) == plain


# --- how ---


def test_pace_and_volume(part: PocketTTS, runner: asyncio.Runner) -> None:
    def sound(**fields: Any) -> np.ndarray:
        utterance = Utterance(text="Hello there, my friend.", **fields)
        return np.frombuffer(pcm_of(runner.run(collected(part.speak(utterance)))), "<i2").astype(float)

    plain = sound()
    assert len(sound(speed=1.25)) == round(len(plain) / 1.25)
    assert len(sound(speed=1.25, tone=Tone(pace=0.8))) == len(plain)
    assert len(sound(speed=0.25)) == len(plain) * 2
    np.testing.assert_allclose(sound(tone=Tone(volume=0.5)), plain / 2, atol=1)
    np.testing.assert_array_equal(sound(tone=Tone(whisper=True, pitch=1.3)), plain)


# --- when ---


def test_sound_leaves_frame_by_frame_and_marks_are_true(part: PocketTTS, runner: asyncio.Runner) -> None:
    text = "I have **42** apples -> pears, my friend."
    speeches = runner.run(collected(part.speak(Utterance(text=text))))
    assert {len(speech.pcm) for speech in speeches} == {2 * FRAME_SAMPLES, 0}
    marks = marks_of(speeches)
    assert [mark.characters for mark in marks] == [1, 6, 13, 20, 23, 30, 33, 41, 41]
    assert all(before.samples <= after.samples for before, after in pairwise(marks))
    assert marks[-1].samples == len(pcm_of(speeches)) // 2
    sent = 0
    for speech in speeches:
        sent += len(speech.pcm) // 2
        assert all(mark.samples <= sent for mark in speech.marks)


# --- together with others ---


def watched(part: PocketTTS, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Who thought of which frame, in order."""
    made: list[int] = []
    think = Generation.think

    def watched_think(self: Generation) -> Any:
        made.append(id(self))
        return think(self)

    monkeypatch.setattr(Generation, "think", watched_think)
    return made


def test_sessions_take_turns_frame_by_frame(
    folder: Path, part: PocketTTS, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one thread the order is certain: after its frame, a session waits until the other has made one."""
    made = watched(part, monkeypatch)
    texts = ("Hello there, my friend.", "Good night, my friend.")

    async def scene() -> list[bytes]:
        async with in_use(PocketTTS({"model": str(folder), "at_once": 1})) as own:
            made.clear()
            both = await asyncio.gather(*(collected(own.speak(Utterance(text=text))) for text in texts))
        return [pcm_of(speeches) for speeches in both]

    together = runner.run(scene())
    assert len(set(made)) == 2
    assert sum(before != after for before, after in pairwise(made)) >= len(made) - 3
    assert together == [pcm_of(runner.run(collected(part.speak(Utterance(text=text))))) for text in texts]


def test_several_frames_at_once_are_the_same_frames(folder: Path, part: PocketTTS, runner: asyncio.Runner) -> None:
    texts = [f"Hello there, my {n} friends." for n in range(6)]

    async def scene() -> list[bytes]:
        async with in_use(PocketTTS({"model": str(folder), "at_once": 3})) as own:
            every = await asyncio.gather(*(collected(own.speak(Utterance(text=text))) for text in texts))
        return [pcm_of(speeches) for speeches in every]

    assert runner.run(scene()) == [pcm_of(runner.run(collected(part.speak(Utterance(text=text))))) for text in texts]


def test_closing_stops_within_a_frame(part: PocketTTS, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched(part, monkeypatch)

    async def closed() -> None:
        iterator = part.speak(Utterance(text="Hello there, my friend."))
        await anext(iterator)
        await iterator.aclose()

    async def cancelled() -> None:
        reading = asyncio.create_task(collected(part.speak(Utterance(text="Hello there, my friend."))))
        while not made:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await collected(part.speak(Utterance(text="")))

    assert part._threads
    for scene in (closed, cancelled):
        made.clear()
        runner.run(scene())
        # Who was thinking may end; whatever was begun is over when these are.
        for _ in range(4):
            runner.run(part._threads.do(lambda: None))
        assert 1 <= len(made) <= 3
