"""Qwen2.5-Omni's voice: chunks beside the whole decode."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.engines.qwen25_scene import FIRST_CHUNK_STEPS, SPOKEN, ask, family, model
from tests.engines.tiny_models import qwen25_omni as tiny
from tests.engines.tiny_models.qwen3_omni import LONG
from vivavoce.engines.qwen_omni import qwen25_speech
from vivavoce.engines.qwen_omni.qwen25 import Qwen25
from vivavoce.engines.qwen_omni.qwen25_mel import Flow
from vivavoce.engines.qwen_omni.qwen25_speech import CHUNK_BLOCKS, Speech

__all__ = ["family", "model"]


def sound(speech: Speech) -> bytes:
    """What waits to be decoded."""
    pcm = b""
    while speech.is_decoding:
        pcm += speech.decode()
    return pcm


def decode_whole(family: Qwen25, codes: list[int]) -> NDArray[np.int16]:
    speech = Speech(family._token2wav, family.voice("ethan"), Flow())
    speech.codes = codes
    with torch.inference_mode():
        speech.finish()
        return np.frombuffer(sound(speech), np.int16)


def decode_in_chunks(family: Qwen25, codes: list[int]) -> NDArray[np.int16]:
    speech = family.speech(family.voice("ethan"))
    pcm = b""
    with torch.inference_mode():
        for code in codes:
            speech.add(code)
            pcm += sound(speech)
        speech.finish()
        return np.frombuffer(pcm + sound(speech), np.int16)


def some_codes(length: int) -> list[int]:
    return np.random.default_rng(3).integers(0, tiny.CODES, length).tolist()


def error(chunks: NDArray[np.int16], whole: NDArray[np.int16]) -> float:
    """RMS of the difference, in parts of the whole's."""
    return float(np.std(chunks.astype(float) - whole) / np.std(whole.astype(float)))


def test_a_whole_decode_equals_the_published_one(family: Qwen25, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = some_codes(30)
    drawn = torch.randn(1, 60, 16, generator=torch.Generator().manual_seed(0))
    speaker = model.speaker_map["Ethan"]
    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr(torch, "randn", lambda *_, **__: drawn)
        published = model.token2wav(torch.tensor([codes]), speaker["cond"], speaker["ref_mel"])
    assert error(decode_whole(family, codes), (published.numpy() * 32_767)) < 1e-3


@pytest.fixture
def nothing_ahead(family: Qwen25) -> Iterator[None]:
    """The flow-matching model with no layer that looks ahead."""
    layers = family._token2wav.code2wav_dit_model.transformer_blocks
    before = [layer.look_ahead_block for layer in layers]
    for layer in layers:
        layer.look_ahead_block = 0
    yield
    for layer, blocks in zip(layers, before, strict=True):
        layer.look_ahead_block = blocks


def test_chunks_equal_the_whole_decode_where_no_layer_looks_ahead(family: Qwen25, nothing_ahead: None) -> None:
    codes = some_codes(70)
    chunks, whole = decode_in_chunks(family, codes), decode_whole(family, codes)
    assert len(chunks) == len(whole) == 70 * family.frame_samples
    assert error(chunks, whole) < 1e-3


def test_where_one_looks_ahead_each_block_ahead_brings_them_nearer(family: Qwen25, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = some_codes(70)
    whole = decode_whole(family, codes)
    errors = []
    for ahead in (0, 1, 2):
        monkeypatch.setattr(qwen25_speech, "AHEAD_BLOCKS", ahead)
        errors.append(error(decode_in_chunks(family, codes), whole))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0
    assert errors[1] < 0.05


# --- in time ---


def chunk_codes(speech: Speech, hurry_at: int = -1) -> list[int]:
    """After how many of 60 codes a chunk is full."""
    full = []
    for number in range(1, 61):
        speech.add(number % 7, hurry=number == hurry_at)
        if speech.is_decoding:
            full.append(number)
        while speech.is_decoding:
            speech.decode()
    return full


def test_in_a_hurry_half_a_chunk_is_enough(family: Qwen25) -> None:
    assert CHUNK_BLOCKS[:4] == (1, 1, 2, 4)
    with torch.inference_mode():
        assert chunk_codes(family.speech(family.voice("ethan"))) == [24, 36, 60]
        assert chunk_codes(family.speech(family.voice("ethan")), hurry_at=48) == [24, 36, 48]
        assert chunk_codes(family.speech(family.voice("ethan")), hurry_at=47) == [24, 36, 60]


def test_a_chunk_is_decoded_in_steps_beside_those_of_others(family: Qwen25) -> None:
    conversation = family.open()
    conversation.extend(ask(family, LONG))
    answer = conversation.answer(SPOKEN)
    steps = [answer.step() for _ in range(FIRST_CHUNK_STEPS)]
    assert [step.token is None for step in steps] == [False] * 24 + [True] * 9
    assert [bool(step.pcm) for step in steps] == [False] * 32 + [True]
    answer.close()
