"""The tiny Qwen3-Omni twice: as the family that the engine drives, and as transformers alone runs it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3OmniMoeForConditionalGeneration, WhisperFeatureExtractor

from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.engines.qwen_omni import qwen3
from vivavoce.engines.qwen_omni.family import AudioBlock, Ear, Entry, LoadOptions, Manner, common_prefix
from vivavoce.engines.qwen_omni.qwen3_vocoder import Vocoder

GREEDY = Manner(voice="ethan", temperature=0.0, greedy_speech=True, max_text_tokens=60, max_frames=200)
SPEECH_HZ = 16_000
FRAME = 1_920
AUDIO = {"role": "user", "content": [{"type": "audio"}]}


@cache
def family() -> qwen3.Qwen3Omni:
    return qwen3.load(tiny.folder(), LoadOptions(device="cpu", threads=1))


@cache
def reference() -> Any:
    """The same weights, loaded a second time, for `generate()` alone."""
    return Qwen3OmniMoeForConditionalGeneration.from_pretrained(tiny.folder()).eval()


@cache
def extractor() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor.from_pretrained(tiny.folder())


def heard(samples: np.ndarray, chunk: int = 3_333) -> Ear:
    """Speech, fed in chunks and encoded as it comes, then completed."""
    ear = family().ear()
    for start in range(0, len(samples), chunk):
        ear.feed(samples[start : start + chunk])
        while ear.encode():
            pass
    while ear.encode(final=True):
        pass
    return ear


def prompt(messages: Sequence[dict[str, Any]], ears: Sequence[Ear] = (), tools: Sequence[Any] = ()) -> list[Entry]:
    pieces = family().render(messages, tools, answer=True).split(family().audio_token)
    found: list[Entry] = list(family().encode(pieces[0]))
    for ear, piece in zip(ears, pieces[1:], strict=True):
        found += [*ear.blocks, *family().encode(piece)]
    return found


def ids(entries: Sequence[Entry]) -> list[int]:
    audio = reference().config.thinker_config.audio_token_id
    return [
        token for entry in entries for token in ([audio] * entry.positions if isinstance(entry, AudioBlock) else [entry])
    ]


def read(conversation: Any, entries: Sequence[Entry], at_once: int = 7) -> None:
    """Cut the conversation to what it shares with the prompt, and read the rest in slices."""
    known = min(common_prefix(conversation.entries, entries), len(entries) - 1)
    conversation.crop(known)
    for start in range(known, len(entries), at_once):
        conversation.extend(entries[start : start + at_once])


class Made:
    """An answer, whole."""

    def __init__(self, conversation: Any, manner: Manner = GREEDY) -> None:
        self.tokens: list[int] = []
        self.pieces: list[bytes] = []
        self.first_sound_step = 0
        self.steps = 0
        with collected_codes() as frames:
            answer = conversation.answer(manner)
            done = False
            while not done:
                step = answer.step()
                self.steps += 1
                self.tokens += [] if step.token is None else [step.token]
                if step.pcm:
                    self.first_sound_step = self.first_sound_step or self.steps
                    self.pieces.append(step.pcm)
                done = step.done
            answer.close()
        self.reason = step.reason
        self.codes = torch.stack(frames, -1) if frames else torch.empty(0)

    @property
    def pcm(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.pieces), "<i2").astype(np.float32) / 32_767


@contextmanager
def collected_codes() -> Iterator[list[torch.Tensor]]:
    """The codes of each frame that reaches a vocoder."""
    frames: list[torch.Tensor] = []
    push = Vocoder.push

    def listening(self: Vocoder, codes: torch.Tensor, *, hurry: bool = False) -> bytes:
        frames.append(codes)
        return push(self, codes, hurry=hurry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Vocoder, "push", listening)
        yield frames


@contextmanager
def counted(module: Any, size: Callable[..., int] = lambda *_: 1) -> Iterator[list[int]]:
    """How often a module ran while the block did; `size` says how much each time."""
    sizes: list[int] = []
    hook = module.register_forward_pre_hook(lambda _, args, kwargs: sizes.append(size(args, kwargs)), with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


@contextmanager
def counted_steps() -> Iterator[list[str]]:
    """The tokens that thinker and talker read one at a time, in order."""
    made: list[str] = []
    parts = family()._parts
    with pytest.MonkeyPatch.context() as patch:
        for name, one in (("thinker", parts.think_one), ("talker", parts.talk_one)):
            patch.setattr(one, "step", lambda *given, name=name, step=one.step: (made.append(name), step(*given))[1])
        yield made


def generated(entries: Sequence[Entry], recordings: Sequence[np.ndarray] = (), **limits: int) -> tuple[list[int], Any, Any]:
    """What `generate()` makes of it: tokens without the end's, codes [1, groups, frames], samples."""
    model = reference()
    tokens = torch.tensor([ids(entries)])
    inputs: dict[str, Any] = {"attention_mask": torch.ones_like(tokens)}
    if recordings:
        mels = [tiny.whole_mels(extractor(), recording) for recording in recordings]
        longest = max(mel.shape[1] for mel in mels)
        inputs["input_features"] = torch.stack([torch.nn.functional.pad(mel, (0, longest - mel.shape[1])) for mel in mels])
        inputs["feature_attention_mask"] = torch.stack([(torch.arange(longest) < mel.shape[1]).long() for mel in mels])
    codes = []
    decode = model.code2wav.chunked_decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model.code2wav, "chunked_decode", lambda heard, **sizes: (codes.append(heard), decode(heard, **sizes))[1]
        )
        limits = {"thinker_max_new_tokens": 60, "talker_max_new_tokens": 201, **limits}
        sequences, samples = model.generate(tokens, **inputs, **tiny.greedy(model), **limits)
    answer = sequences[0, tokens.shape[1] :].tolist()
    end = model.config.im_end_token_id
    return answer[: answer.index(end)] if end in answer else answer, codes[0], samples[0, 0].numpy()
