"""Qwen2.5-Omni's thinker and talker, one pass at a time, as `generate()` of transformers composes them.

    prompt, reply ─▶ Thinker ─┬─▶ scores of the next token
                              └─▶ spoken parts ─▶ Talker ─▶ scores of the next codec token

What the thinker tells the talker of a position is its last hidden state plus what it was given there: a token's embedding,
or nothing where it was given speech. Positions count up by one over text and speech alike (the model's three-part positions
differ only for pictures), so no module's `rope_deltas` is read or written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import torch
from msgspec.structs import replace
from torch import Tensor

from vivavoce.engines.qwen_omni.family import AudioBlock, Entry
from vivavoce.engines.qwen_omni.growing_cache import growing_cache
from vivavoce.engines.qwen_omni.sampling import Sampling, choose

TALKER_SAMPLING: Final = Sampling(temperature=0.9, top_k=40, top_p=0.8, repetition_penalty=1.05)
"""The defaults of the published `generate()`."""


class Thinker:
    """The language model: shared weights, no state."""

    def __init__(self, model: Any, *, ends: Collection[int], sampling: Sampling) -> None:
        """`model` is a `Qwen2_5OmniThinkerForConditionalGeneration`; `ends` are the tokens that end a turn."""
        # Until transformers 5.17 the text model was the thinker's `model`; from 5.18 on it is one floor down.
        self._text = getattr(model.model, "language_model", model.model)
        self._head = model.lm_head
        self._embedding = self._text.embed_tokens
        self.ends = frozenset(ends)
        self.sampling = sampling

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._embedding.weight.device
        return device

    def new_cache(self) -> Any:
        """An empty KV cache."""
        return growing_cache()

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """Embeddings `[1, tokens, hidden]`."""
        embedded: Tensor = self._embedding(torch.tensor([tokens], device=self.device))
        return embedded

    def embed_entries(self, entries: Sequence[Entry]) -> tuple[Tensor, Tensor]:
        """A piece of a prompt, `[1, positions, hidden]`: what the thinker is given, and the same with nothing for speech."""
        given, told = [], []
        for entry in entries:
            if isinstance(entry, AudioBlock):
                given.append(entry.features.unsqueeze(0).to(self._embedding.weight.dtype))
                told.append(torch.zeros_like(given[-1]))
            else:
                given.append(self.embed([entry]))
                told.append(given[-1])
        return torch.cat(given, dim=1), torch.cat(told, dim=1)

    def read(self, embeddings: Tensor, cache: Any) -> Tensor:
        """Hidden states `[1, positions, hidden]` of what follows on the cache. The cache holds it from then on."""
        hidden: Tensor = self._text(inputs_embeds=embeddings, past_key_values=cache, use_cache=True).last_hidden_state
        return hidden

    def choose(self, hidden: Tensor, temperature: float | None) -> int:
        """The token after a hidden state `[1, 1, hidden]`."""
        sampling = self.sampling if temperature is None else replace(self.sampling, temperature=temperature)
        return int(choose(self._head(hidden)[:, -1], sampling))


class Talker:
    """The speech model: shared weights, no state. One codec token is 20 ms."""

    def __init__(self, model: Any, thinker: Thinker, *, codes: int) -> None:
        """`model` is a `Qwen2_5OmniTalkerForConditionalGeneration`; its `codes` first codes can be heard."""
        self._model = model
        self._embedding = model.get_input_embeddings()
        self._bos, self._pad, self._mask = model.codec_bos_token, model.codec_pad_token, model.codec_mask_token
        self.ends = frozenset((model.codec_pad_token, model.codec_eos_token))
        """As `talker_eos_token_id` of the published `generate()`: 8292 and 8294."""
        self.text_ends: Tensor = thinker.embed([model.text_eos_token])
        """What a step is told once, after the last token of the text."""
        self.silence: Tensor = thinker.embed([model.text_pad_token])
        """What each step is told after that."""
        unheard = set(range(codes, model.codebook_size)) - self.ends | {self._bos}
        self._suppressed = torch.tensor(sorted(unheard), device=thinker.device)

    def new_cache(self) -> Any:
        """An empty KV cache."""
        return growing_cache()

    def opening(self, voice_token: Tensor, first: Tensor) -> Tensor:
        """The inputs after the prompt, up to the first code: the voice's token, and the reply's first one as it is told.

        Both with the codec token that stands at their place in training. `generate()` of transformers 5.17 adds these where
        it gives the talker a mask; that of 5.23 drops a mask of ones before, and begins without them.
        """
        return torch.cat([voice_token + self._code(self._pad), first + self._code(self._bos)], dim=1)

    def following(self, code: int, told: Tensor) -> Tensor:
        """The input after a code, `[1, 1, embedding]`."""
        return self._code(code) + told

    def read(self, inputs: Tensor, cache: Any) -> Tensor:
        """Hidden states of inputs that follow on the cache."""
        projected = self._model.thinker_to_talker_proj(inputs)
        hidden: Tensor = self._model.model(inputs_embeds=projected, past_key_values=cache, use_cache=True).last_hidden_state
        return hidden

    def choose(self, hidden: Tensor, codes: Sequence[int], sampling: Sampling) -> int:
        """The code after a hidden state and those before it.

        The repetition penalty counts the codes that stand for the prompt too, as in `generate()`. Never chosen are the start
        token, as there, and what has no sound: `generate()` would choose it and fail on it.
        """
        scores = self._model.codec_head(hidden[:, -1])
        said = torch.tensor([sorted({self._mask, self._pad, self._bos, *codes})], device=scores.device)
        return int(choose(scores, sampling, said, self._suppressed))

    def _code(self, code: int) -> Tensor:
        embedded: Tensor = self._embedding(torch.tensor([[code]], device=self._embedding.weight.device))
        return embedded
