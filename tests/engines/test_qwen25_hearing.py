"""Qwen2.5-Omni's ear: what is encoded block by block equals the whole encode."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines.qwen25_scene import Samples, extractor, family, hear, model
from tests.engines.tiny_models import qwen25_omni as tiny
from vivavoce.engines.qwen_omni.family import AudioBlock, positions_of
from vivavoce.engines.qwen_omni.qwen25 import Qwen25

__all__ = ["extractor", "family", "model"]

BLOCK_SAMPLES = 32_000


def whole_features(model: Any, extractor: Any, samples: Samples) -> Any:
    mel = extractor(samples, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt")
    with torch.inference_mode():
        return model.thinker.get_audio_features(mel.input_features, mel.attention_mask).last_hidden_state


def joined(blocks: Sequence[AudioBlock]) -> Any:
    return torch.cat([block.features for block in blocks])


def noise(samples: int, loudness: float = 0.1) -> Samples:
    drawn = np.random.default_rng(samples).standard_normal(samples) * loudness
    return drawn.astype(np.float32)


LENGTHS = [1, 159, 321, 640, 16_000, BLOCK_SAMPLES - 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 39, BLOCK_SAMPLES + 41, 100_003]


@pytest.mark.parametrize("length", LENGTHS)
def test_blocks_equal_the_whole_encode(family: Qwen25, model: Any, extractor: Any, length: int) -> None:
    samples = noise(length)
    blocks = hear(family, samples)
    whole = whole_features(model, extractor, samples) if length > 320 else torch.zeros(0, tiny.HIDDEN)
    assert positions_of(blocks) == len(whole)
    if blocks:
        torch.testing.assert_close(joined(blocks), whole, atol=1e-4, rtol=1e-4)


def test_a_block_is_encoded_while_the_user_speaks(family: Qwen25) -> None:
    ear = family.ear()
    samples = noise(5 * BLOCK_SAMPLES // 2)
    encoded = []
    for start in range(0, len(samples), 1_600):
        ear.feed(samples[start : start + 1_600])
        assert not ear.encode()
        encoded.append(len(ear.blocks))
    # The block's last frame hears 2.5 ms of the next one.
    assert (encoded.index(1), encoded.index(2)) == (20, 40)
    early = list(ear.blocks)
    assert not ear.encode(final=True)
    assert list(ear.blocks[:2]) == early
    assert [block.positions for block in ear.blocks] == [50, 50, 25]


def test_a_louder_moment_encodes_again_what_lies_below_the_new_floor(family: Qwen25, model: Any, extractor: Any) -> None:
    quiet, clear, loud = np.zeros(BLOCK_SAMPLES, np.float32), noise(BLOCK_SAMPLES, 0.01), noise(BLOCK_SAMPLES, 0.5)
    quiet[:100] = 1e-4
    ear = family.ear()
    ear.feed(np.concatenate([quiet, clear]))
    while ear.encode():
        pass
    [before] = ear.blocks
    ear.feed(loud)
    while ear.encode(final=True):
        pass
    assert before is not ear.blocks[0]
    whole = whole_features(model, extractor, np.concatenate([quiet, clear, loud]))
    torch.testing.assert_close(joined(ear.blocks), whole, atol=1e-4, rtol=1e-4)


def test_where_nothing_lies_below_the_new_floor_blocks_stay(family: Qwen25) -> None:
    ear = family.ear()
    ear.feed(noise(BLOCK_SAMPLES + 100, 0.05))
    assert not ear.encode()
    [before] = ear.blocks
    ear.feed(noise(BLOCK_SAMPLES, 0.5))
    while ear.encode(final=True):
        pass
    assert ear.blocks[0] is before
