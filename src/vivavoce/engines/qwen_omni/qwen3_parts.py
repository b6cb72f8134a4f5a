"""The parts of a loaded Qwen3-Omni, by the same names in all releases of transformers, and the steps they are used in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import torch
from torch import Tensor

from vivavoce.engines.qwen_omni.family import AudioBlock, Entry
from vivavoce.engines.qwen_omni.qwen3_layers import OneToken
from vivavoce.engines.qwen_omni.qwen3_predictor import CodePredictor
from vivavoce.engines.qwen_omni.sampling import Sampling

TEXT_SAMPLING: Final = Sampling(temperature=0.6, top_k=20, top_p=0.95)
"""Of the thinker, as the model's makers advise."""
RESERVED_CODES: Final = 1024
"""The last ids of the talker's vocabulary are marks, not codes; of these it may only say that speech ends."""
CODE_SAMPLING: Final = Sampling(temperature=0.9, top_k=50, repetition_penalty=1.05)
"""Of the first code of a frame: the defaults of `generate`."""
RESIDUAL_SAMPLING: Final = Sampling(top_k=50, top_p=0.8)
"""Of the others, as the talker of transformers asks for."""


def token_id(tokenizer: Any, token: str) -> int | None:
    """The id of a token that is one by itself; `None` where the tokenizer has none."""
    found = tokenizer.get_vocab().get(token)
    return None if found is None else int(found)


class Parts:
    """Modules and token ids. Nothing here changes once it is made."""

    def __init__(self, model: Any, tokenizer: Any, *, graphs: bool = True) -> None:
        config = model.config
        inner = getattr(model.thinker.model, "language_model", None)  # from release 5.18 on
        self.thinker: Final = model.thinker.model if inner is None else inner
        self.audio_tower: Final = model.thinker.audio_tower if inner is None else model.thinker.model.audio_tower
        self.lm_head: Final = model.thinker.lm_head
        with torch.inference_mode():
            self.think_one: Final = OneToken(self.thinker, config.thinker_config.text_config)
        self.talker: Any = model.talker if model.has_talker else None
        self.code2wav: Any = model.code2wav if model.has_talker else None
        self.device: Final = self.lm_head.weight.device
        self.audio_id: Final = int(config.thinker_config.audio_token_id)
        self.im_start_id: Final = int(config.im_start_token_id)
        self.im_end_id: Final = int(config.im_end_token_id)
        self.user_id: Final = int(config.user_token_id)
        self.tts_ids: Final = (config.tts_bos_token_id, config.tts_eos_token_id, config.tts_pad_token_id)
        self.opening_ids: Final = [self.im_start_id, int(config.assistant_token_id), *tokenizer("\n")["input_ids"]]
        self.tool_call_id: Final = token_id(tokenizer, "<tool_call>")
        self._accept_layer = int(config.talker_config.accept_hidden_layer) if self.talker is not None else 0
        if self.talker is not None:
            self._prepare_speech(config.talker_config, graphs=graphs)

    def _prepare_speech(self, config: Any, *, graphs: bool) -> None:
        self.speakers: dict[str, int] = {name.lower(): int(code) for name, code in (config.speaker_id or {}).items()}
        self.codec_eos_id = int(config.codec_eos_token_id)
        self.codec_head_ids = [config.codec_nothink_id, config.codec_think_bos_id, config.codec_think_eos_id]
        self.codec_tail_ids = [config.codec_pad_id, config.codec_bos_id]
        vocabulary = int(config.text_config.vocab_size)
        reserved = [code for code in range(vocabulary - RESERVED_CODES, vocabulary) if code != self.codec_eos_id]
        self.suppressed_codes = torch.tensor(reserved, device=self.device)
        with torch.inference_mode():
            self.talk_one = OneToken(self.talker.model, config.text_config)
            self.predictor = CodePredictor(self.talker.code_predictor, self.talker.get_input_embeddings(), graphs=graphs)
            embeddings = self.embedded(self.tts_ids)[1]
            self.tts_bos, self.tts_eos, self.tts_pad = self.spoken_text(embeddings).chunk(3, dim=1)

    def text_sampling(self, temperature: float | None) -> Sampling:
        """How the thinker's tokens are drawn."""
        return TEXT_SAMPLING if temperature is None else msgspec.structs.replace(TEXT_SAMPLING, temperature=temperature)

    # --- thinker ---

    def embedded(self, entries: Sequence[Entry]) -> tuple[list[int], Tensor]:
        """Token ids (the audio token for each position of speech), and embeddings [1, positions, hidden size]."""
        tokens: list[int] = []
        for entry in entries:
            tokens += [self.audio_id] * entry.positions if isinstance(entry, AudioBlock) else [entry]
        with torch.inference_mode():
            embeddings = self.thinker.embed_tokens(torch.tensor(tokens, device=self.device)[None])
            blocks = [entry.features for entry in entries if isinstance(entry, AudioBlock)]
            if blocks:
                speech = torch.tensor([token == self.audio_id for token in tokens], device=self.device)
                embeddings[0, speech] = torch.cat(blocks).to(embeddings.dtype)
        return tokens, embeddings

    @contextmanager
    def accepted_layer(self) -> Iterator[list[Tensor]]:
        """While it is open, collects the thinker's hidden states where they enter the layer that the talker accepts."""
        collected: list[Tensor] = []
        layer = self.thinker.layers[self._accept_layer]
        hook = layer.register_forward_pre_hook(lambda _, inputs: collected.append(inputs[0]))
        try:
            yield collected
        finally:
            hook.remove()

    # --- talker ---

    def spoken_text(self, embeddings: Tensor) -> Tensor:
        """Text as the talker reads it: the thinker's embeddings, projected."""
        projected: Tensor = self.talker.text_projection(embeddings)
        return projected

    def heard_speech(self, hidden: Tensor) -> Tensor:
        """Speech as the talker reads it: the thinker's hidden states, projected."""
        projected: Tensor = self.talker.hidden_projection(hidden)
        return projected

    def talk(self, embeddings: Tensor, cache: Any) -> Tensor:
        """Run the talker. Its hidden state at the last position, [1, 1, hidden size]."""
        if embeddings.shape[1] == 1:
            return self.talk_one.step(embeddings, cache)
        start = int(cache.get_seq_length())
        positions = torch.arange(start, start + embeddings.shape[1], device=embeddings.device)[None]
        output = self.talker.model(inputs_embeds=embeddings, position_ids=positions, past_key_values=cache, use_cache=True)
        hidden: Tensor = output.last_hidden_state[:, -1:]
        return hidden

    def codes_embedded(self, codes: Sequence[int]) -> Tensor:
        """Embeddings of marks of the codec, [1, n, hidden size]."""
        embeddings: Tensor = self.talker.get_input_embeddings()(torch.tensor([list(codes)], device=self.device))
        return embeddings
