"""Qwen2.5-Omni (7B and 3B) as a family of the engine: its weights, its words, its voices.

    qwen25_chat.py     messages ─▶ prompt
    qwen25_ear.py      speech ─▶ blocks of features
    qwen25_memory.py   prompt ─▶ caches
    qwen25_reply.py    a step of an answer: qwen25_parts.py (thinker, talker), qwen25_speech.py and qwen25_mel.py (token2wav)

Text and codes equal those of `generate()` under greedy decoding, turn after turn. Samples do where the flow-matching model
looks ahead less than a block; else they differ by what lies beyond that block (`qwen25_mel.py`).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoTokenizer, Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration, WhisperFeatureExtractor

from vivavoce.engines.qwen_omni.family import Conversation, Ear, LoadOptions
from vivavoce.engines.qwen_omni.loading import chat_template, weights_options
from vivavoce.engines.qwen_omni.qwen25_chat import with_persona, with_tools
from vivavoce.engines.qwen_omni.qwen25_ear import BlockEar, Mels
from vivavoce.engines.qwen_omni.qwen25_mel import Flow, KnownVoices
from vivavoce.engines.qwen_omni.qwen25_memory import Memory
from vivavoce.engines.qwen_omni.qwen25_parts import Talker, Thinker
from vivavoce.engines.qwen_omni.qwen25_speech import Speech, Voice
from vivavoce.engines.qwen_omni.sampling import Sampling
from vivavoce.protocol.errors import EngineError

END_TOKENS: Final = ("<|im_end|>", "<|endoftext|>")


def load(folder: Path, options: LoadOptions) -> Qwen25:
    """Load the model from a folder as `save_pretrained` or the hub leaves it. Raises `EngineError` where that cannot be."""
    arguments = weights_options(options)
    kind: Any = Qwen2_5OmniForConditionalGeneration
    try:
        config = Qwen2_5OmniConfig.from_pretrained(folder)
        config.enable_audio_output = bool(options.speech and config.enable_audio_output)
        model = kind.from_pretrained(folder, config=config, **arguments)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        extractor = WhisperFeatureExtractor.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise EngineError("engine_start_failed", f"Qwen2.5-Omni cannot be loaded from {folder}: {reason}") from error
    return Qwen25(ready(model), tokenizer, extractor, chat_template(folder, tokenizer))


def ready(model: Any) -> Any:
    """A loaded model, made ready to answer: its eyes shut, the speech decoder in single precision, as it was published."""
    owner = model.thinker if hasattr(model.thinker, "visual") else model.thinker.model
    owner.visual = None
    if model.has_talker:
        model.token2wav.float()
    return model.eval().requires_grad_(False)


class Qwen25:
    """The loaded model. `Family` of `family.py`."""

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, template: str) -> None:
        """`model` is a `Qwen2_5OmniForConditionalGeneration` that is `ready`."""
        self._tokenizer = tokenizer
        self._template = template
        self._tower = getattr(model.thinker, "audio_tower", None) or model.thinker.model.audio_tower
        self._mels = Mels(extractor)
        self._flow = Flow()
        self.thinker = Thinker(model.thinker, ends=self._end_tokens(model.thinker), sampling=_text_sampling(model.thinker))
        self.talker: Talker | None = None
        self._token2wav: Any = None
        self._voices: dict[str, Voice] = {}
        if model.has_talker:
            with torch.inference_mode():
                self._give_speech(model)
        self.audio_token: str = getattr(tokenizer, "audio_token", None) or "<|AUDIO|>"
        self.tool_call_token = self._token("<tool_call>")
        self.positions_per_second = 25.0
        self.context_positions = int(model.config.thinker_config.text_config.max_position_embeddings)

    def _give_speech(self, model: Any) -> None:
        self._token2wav = model.token2wav
        codes = model.token2wav.code2wav_dit_model.text_embed.codec_embed.num_embeddings
        self.talker = Talker(model.talker, self.thinker, codes=codes)
        embedding = model.token2wav.code2wav_dit_model.input_embed
        if not isinstance(embedding.spk_encoder, KnownVoices):
            embedding.spk_encoder = KnownVoices(embedding.spk_encoder)
        for name, about in model.speaker_map.items():
            self._voices[name.lower()] = self._voice(name.lower(), about)

    def _voice(self, name: str, about: Mapping[str, Any]) -> Voice:
        device = self.thinker.device
        vector = about["cond"].to(device).float().expand(1, -1)
        reference = about["ref_mel"].to(device).float().expand(1, -1, -1)
        return Voice(name=name, text_token=int(about["bos_token"]), embedding=vector, reference=reference)

    @property
    def voices(self) -> tuple[str, ...]:
        """The model's speakers, Chelsie first where it has her, as the published default."""
        return tuple(sorted(self._voices, key=lambda name: name != "chelsie"))

    @property
    def frame_samples(self) -> int:
        """480: a codec frame is 20 ms."""
        if self._token2wav is None:
            return 0
        rates = self._token2wav.code2wav_bigvgan_model.config.upsample_rates
        return int(prod(rates)) * int(self._token2wav.code2wav_dit_model.repeats)

    def voice(self, name: str | None) -> Voice:
        """The speaker of this name, or the default."""
        return self._voices.get((name or "").lower()) or self._voices[self.voices[0]]

    def speech(self, voice: Voice) -> Speech:
        """Begin to speak."""
        return Speech(self._token2wav, voice, self._flow)

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], *, answer: bool) -> str:
        """The prompt as text."""
        messages = with_persona(messages)
        if "tools" not in self._template:
            messages, tools = with_tools(messages, tools), ()
        text: str = self._tokenizer.apply_chat_template(
            messages, tools=list(tools) or None, chat_template=self._template, tokenize=False, add_generation_prompt=answer
        )
        return text

    def encode(self, text: str) -> list[int]:
        """Tokens of a piece of a prompt."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of an answer's tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def ear(self) -> Ear:
        """Begin to hear."""
        return BlockEar(self._tower, self._mels)

    def open(self) -> Conversation:
        """Begin a conversation."""
        return Memory(self)

    def close(self) -> None:
        """Free the weights."""
        self._tower = self._token2wav = self.talker = None
        del self.thinker
        self._voices.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _token(self, text: str) -> int | None:
        token = self._tokenizer.convert_tokens_to_ids(text)
        return token if isinstance(token, int) and token != self._tokenizer.unk_token_id else None

    def _end_tokens(self, thinker: Any) -> set[int]:
        configured = thinker.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [] if configured is None else [configured]
        return {*listed, *(token for token in map(self._token, END_TOKENS) if token is not None)}


def _text_sampling(thinker: Any) -> Sampling:
    """As the model's generation settings say; greedy where they say nothing, as `generate()` is then."""
    settings = thinker.generation_config
    return Sampling(
        temperature=float(settings.temperature or 1.0) if settings.do_sample else 0.0,
        top_k=int(settings.top_k or 0),
        top_p=float(settings.top_p or 1.0),
    )
