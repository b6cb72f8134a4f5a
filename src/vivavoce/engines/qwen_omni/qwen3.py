"""Qwen3-Omni: loading it, and its parts as a `Family`.

qwen3_ear.py            speech ─▶ features, in blocks of 8 s
qwen3_conversation.py   tokens and features ─▶ KV caches of thinker and talker
qwen3_answer.py         thinker, talker and code predictor, a token and a codec frame a step
qwen3_vocoder.py        codec frames ─▶ PCM, in chunks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Qwen3OmniMoeConfig, Qwen3OmniMoeForConditionalGeneration, WhisperFeatureExtractor

from vivavoce.engines.qwen_omni.family import Conversation, Ear, LoadOptions
from vivavoce.engines.qwen_omni.loading import chat_template, weights_options
from vivavoce.engines.qwen_omni.qwen3_conversation import Qwen3Conversation
from vivavoce.engines.qwen_omni.qwen3_ear import Mels, Qwen3Ear
from vivavoce.engines.qwen_omni.qwen3_parts import Parts
from vivavoce.engines.qwen_omni.qwen3_vocoder import frame_samples

DEFAULT_VOICE = "ethan"
"""The default of transformers' `generate`."""


def load(folder: Path, options: LoadOptions) -> Qwen3Omni:
    """Load the model from a folder as `save_pretrained` or the hub leaves it."""
    config = Qwen3OmniMoeConfig.from_pretrained(folder)
    config.enable_audio_output = config.enable_audio_output and options.speech
    model: Any = Qwen3OmniMoeForConditionalGeneration.from_pretrained(folder, config=config, **weights_options(options))
    model.eval().requires_grad_(False)
    eyes = model.thinker if hasattr(model.thinker, "visual") else model.thinker.model
    eyes.visual = None  # a gigabyte that nobody looks with
    tokenizer = AutoTokenizer.from_pretrained(folder)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    return Qwen3Omni(Parts(model, tokenizer, graphs=options.graphs), tokenizer, extractor, chat_template(folder, tokenizer))


class Qwen3Omni:
    """The model, shared by all sessions."""

    def __init__(self, parts: Parts, tokenizer: Any, extractor: Any, template: str) -> None:
        self._parts = parts
        self._tokenizer = tokenizer
        self.audio_token = str(tokenizer.convert_ids_to_tokens(parts.audio_id))
        self._mels = Mels(extractor)
        self._template = template
        speaks = parts.talker is not None
        self.voices: tuple[str, ...] = ()
        if speaks:
            self.voices = tuple(sorted(parts.speakers, key=lambda name: (name != DEFAULT_VOICE, parts.speakers[name])))
        self.frame_samples = frame_samples(parts.code2wav) if speaks else 0
        self.positions_per_second = 13.0
        self.context_positions = int(parts.thinker.config.max_position_embeddings)
        self.tool_call_token = parts.tool_call_id

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], *, answer: bool) -> str:
        """The prompt as text."""
        return str(
            self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                chat_template=self._template,
                add_generation_prompt=answer,
                tokenize=False,
            )
        )

    def encode(self, text: str) -> list[int]:
        """Tokens of a piece of a rendered prompt."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def ear(self) -> Ear:
        """Begin to hear a stretch of speech."""
        return Qwen3Ear(self._parts.audio_tower, self._mels)

    def open(self) -> Conversation:
        """Begin a conversation."""
        return Qwen3Conversation(self._parts)

    def close(self) -> None:
        """Free the weights: whoever holds this object drops it."""
