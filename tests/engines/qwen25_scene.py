"""A tiny Qwen2.5-Omni, asked and answered, and the `generate` of transformers beside it. For the tests of the family."""

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import Qwen2_5OmniForConditionalGeneration, WhisperFeatureExtractor

from tests.engines.tiny_models import qwen25_omni as tiny
from vivavoce.engines.qwen_omni import qwen25
from vivavoce.engines.qwen_omni.family import AudioBlock, Conversation, Entry, LoadOptions, Manner, Step
from vivavoce.engines.qwen_omni.qwen25 import Qwen25

Samples = NDArray[np.float32]
SPOKEN = Manner(voice="ethan", greedy_speech=True)
FIRST_CHUNK_STEPS = 24 + 9
"""Codes of two blocks, and the Runge-Kutta steps of a solution."""


@pytest.fixture(scope="module")
def family() -> Iterator[Qwen25]:
    """Ours. On one thread: tiny models are slower on several."""
    family = qwen25.load(tiny.folder(), LoadOptions(threads=1))
    yield family
    family.close()


@pytest.fixture(scope="module")
def model() -> Any:
    """Theirs."""
    return tiny.as_published(Qwen2_5OmniForConditionalGeneration.from_pretrained(tiny.folder()).eval())


@pytest.fixture(scope="module")
def extractor() -> Any:
    """Theirs."""
    return WhisperFeatureExtractor.from_pretrained(tiny.folder())


def voice(name: str = "hello-world") -> Samples:
    """A recorded voice at 16,000 Hz."""
    with wave.open(str(Path(__file__).parents[3] / "shared" / "audio" / f"{name}.wav")) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768
    times = np.arange(int(samples.size * 16_000 / rate)) * rate / 16_000
    return np.interp(times, np.arange(samples.size), samples).astype(np.float32)


def hear(family: Qwen25, samples: Samples) -> list[AudioBlock]:
    ear = family.ear()
    ear.feed(samples)
    while ear.encode(final=True):
        pass
    return list(ear.blocks)


def entries_of(family: Qwen25, text: str, heard: Sequence[Sequence[AudioBlock]] = ()) -> list[Entry]:
    """A rendered prompt, the blocks of each stretch of speech in place of its token."""
    first, *others = text.split(family.audio_token)
    entries: list[Entry] = list(family.encode(first))
    for blocks, rest in zip(heard, others, strict=True):
        entries += [*blocks, *family.encode(rest)]
    return entries


def ask(family: Qwen25, words: str) -> list[Entry]:
    return entries_of(family, family.render([{"role": "user", "content": words}], [], answer=True))


class Answered:
    """An answer to its end."""

    def __init__(self, family: Qwen25, conversation: Conversation, manner: Manner) -> None:
        answer = conversation.answer(manner)
        self.steps: list[Step] = []
        self.codes: list[int] = []
        while not self.steps or not self.steps[-1].done:
            self.steps.append(answer.step())
            if answer._speaking is not None:
                self.codes = answer._speaking._speech.codes
        answer.close()
        self.tokens = [step.token for step in self.steps if step.token is not None]
        self.text = family.decode(self.tokens)
        self.pcm = b"".join(step.pcm for step in self.steps)


def answer_to(family: Qwen25, words: str, manner: Manner = SPOKEN) -> Answered:
    conversation = family.open()
    conversation.extend(ask(family, words))
    return Answered(family, conversation, manner)


class Reference:
    """What `generate` makes of a whole conversation."""

    def __init__(self, model: Any, family: Qwen25, extractor: Any, text: str, speeches: Sequence[Samples]) -> None:
        mels = [
            extractor(speech, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt") for speech in speeches
        ]
        for mel in mels:
            frames = int(mel.attention_mask.sum())
            text = text.replace(family.audio_token, "§" * (((frames - 1) // 2 + 1 - 2) // 2 + 1), 1)
        ids = torch.tensor([family.encode(text.replace("§", family.audio_token))])
        inputs = {
            "input_features": torch.cat([mel.input_features for mel in mels]),
            "feature_attention_mask": torch.cat([mel.attention_mask for mel in mels]),
        }
        self.codes: list[int] = []
        decode = model.token2wav.forward
        model.token2wav.forward = lambda codes, **given: self.codes.extend(codes[0].tolist()) or decode(codes, **given)
        try:
            said, self.wave = model.generate(
                ids, attention_mask=torch.ones_like(ids), speaker="Ethan", **inputs, **tiny.greedy(model)
            )
        finally:
            model.token2wav.forward = decode
        self.tokens = said[0, ids.shape[1] :].tolist()
