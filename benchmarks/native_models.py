"""The published omni models at full size with random weights: they cost the same time and the same memory.

`native.py` measures with them. The numbers of each configuration are those of `config.json` of the release that is named, as
far as they differ from the defaults of transformers' configuration classes; nothing is downloaded, and the weights are drawn
on the device they will live on. There is no tokenizer without its file, so one is made that knows bytes and the model's
special tokens at their places; English text is then four times as many tokens, which only the instructions notice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    PreTrainedTokenizerFast,
    Qwen2_5OmniForConditionalGeneration,
    Qwen3OmniMoeForConditionalGeneration,
    WhisperFeatureExtractor,
)

from vivavoce.engines.qwen_omni import qwen3, qwen25
from vivavoce.engines.qwen_omni.family import Family, LoadOptions
from vivavoce.engines.qwen_omni.qwen3_parts import Parts

ROPE: Final = {"rope_type": "default", "rope_theta": 1_000_000.0}
AUDIO: Final = {"num_mel_bins": 128, "d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20}

QWEN25_IDS: Final = {
    "audio_token_index": 151646,
    "image_token_index": 151655,
    "video_token_index": 151656,
    "audio_start_token_id": 151647,
    "audio_end_token_id": 151648,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
}
QWEN25_7B: Final = {
    "model_type": "qwen2_5_omni",
    "thinker_config": {
        "audio_config": {**AUDIO, "encoder_ffn_dim": 5120, "output_dim": 3584, "n_window": 100},
        "text_config": {
            "vocab_size": 152_064,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32_768,
            "rope_parameters": {**ROPE, "mrope_section": [16, 24, 24]},
            "tie_word_embeddings": False,
        },
        "vision_config": {"depth": 1},
        **QWEN25_IDS,
    },
    "talker_config": {
        "vocab_size": 8448,
        "embedding_size": 3584,
        "hidden_size": 896,
        "intermediate_size": 18_944,
        "num_hidden_layers": 24,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "rope_parameters": {**ROPE, "mrope_section": [16, 24, 24]},
        **QWEN25_IDS,
    },
    "token2wav_config": {
        "dit_config": {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}},
        "bigvgan_config": {},
    },
}
"""Qwen/Qwen2.5-Omni-7B, but for the eyes, which nobody uses here: one layer of them instead of 32."""

QWEN3_IDS: Final = {
    "audio_token_id": 151675,
    "image_token_id": 151655,
    "video_token_id": 151656,
    "audio_start_token_id": 151669,
    "vision_start_token_id": 151652,
    "position_id_per_seconds": 13,
}
QWEN3_ROPE: Final = {**ROPE, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
QWEN3_30B: Final = {
    "model_type": "qwen3_omni_moe",
    "thinker_config": {
        "audio_config": {**AUDIO, "encoder_ffn_dim": 5120, "downsample_hidden_size": 480, "output_dim": 2048},
        "text_config": {
            "vocab_size": 152_064,
            "hidden_size": 2048,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "max_position_embeddings": 65_536,
            "rope_parameters": QWEN3_ROPE,
        },
        "vision_config": {"depth": 1, "out_hidden_size": 2048, "deepstack_visual_indexes": [0]},
        **QWEN3_IDS,
        "user_token_id": 872,
    },
    "talker_config": {
        "text_config": {
            "vocab_size": 3072,
            "hidden_size": 1024,
            "num_hidden_layers": 20,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "head_dim": 128,
            "num_experts": 128,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 384,
            "shared_expert_intermediate_size": 768,
            "norm_topk_prob": True,
            "max_position_embeddings": 65_536,
            "rope_parameters": QWEN3_ROPE,
        },
        "code_predictor_config": {"num_hidden_layers": 5, "hidden_size": 1024, "num_code_groups": 16},
        "num_code_groups": 16,
        "thinker_hidden_size": 2048,
        "accept_hidden_layer": 24,
        "spatial_merge_size": 2,
        "codec_bos_id": 2149,
        "codec_eos_token_id": 2150,
        "codec_pad_id": 2148,
        "codec_nothink_id": 2155,
        "codec_think_bos_id": 2156,
        "codec_think_eos_id": 2157,
        "speaker_id": {"chelsie": 2301, "ethan": 2302, "aiden": 2303},
        **QWEN3_IDS,
    },
    "code2wav_config": {"num_quantizers": 16},
    "im_start_token_id": 151644,
    "im_end_token_id": 151645,
    "system_token_id": 8948,
    "user_token_id": 872,
    "assistant_token_id": 77091,
    "tts_bos_token_id": 151672,
    "tts_eos_token_id": 151673,
    "tts_pad_token_id": 151671,
}
"""Qwen/Qwen3-Omni-30B-A3B-Instruct, the eyes shut alike."""

MODELS: Final[dict[str, Any]] = {
    "qwen2_5_omni": Qwen2_5OmniForConditionalGeneration,
    "qwen3_omni_moe": Qwen3OmniMoeForConditionalGeneration,
}
CONFIGURATIONS: Final = {"qwen2.5-omni-7b": QWEN25_7B, "qwen3-omni-30b-a3b": QWEN3_30B}

SPECIAL: Final = {
    "<|endoftext|>": 151643,
    "<|im_start|>": 151644,
    "<|im_end|>": 151645,
    "<tool_call>": 151657,
    "</tool_call>": 151658,
}
SPECIAL_AUDIO: Final = {
    "qwen2_5_omni": {"<|AUDIO|>": 151646, "<|audio_bos|>": 151647, "<|audio_eos|>": 151648},
    "qwen3_omni_moe": {"<|audio_start|>": 151669, "<|audio_end|>": 151670, "<|audio_pad|>": 151675},
}
AUDIO_MARKS: Final = {
    "qwen2_5_omni": "<|audio_bos|><|AUDIO|><|audio_eos|>",
    "qwen3_omni_moe": "<|audio_start|><|audio_pad|><|audio_end|>",
}
TEMPLATE: Final = """\
{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string %}{{ message['content'] }}{% else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'audio' %}{{ 'MARKS' }}{% else %}{{ part['text'] }}{% endif -%}
{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""


def write(name: str, folder: Path) -> Path:
    """A checkpoint of a published size, without weights: what the engine looks at before it calls `load`."""
    (folder / "config.json").write_text(json.dumps(CONFIGURATIONS[name]), encoding="utf-8")
    return folder


def load(folder: Path, options: LoadOptions) -> Family:
    """The model of this configuration with random weights, as a `Family`: in place of a family's own `load`."""
    config = AutoConfig.from_pretrained(folder)
    kind = config.model_type
    on_gpu = options.device != "cpu"
    with torch.device("cuda" if on_gpu else "cpu"):
        model = MODELS[kind]._from_config(config, dtype=torch.bfloat16 if on_gpu else torch.float32).eval()
        speakers = _speakers()
    _draw(model)
    tokenizer = _tokenizer(kind)
    template = TEMPLATE.replace("MARKS", AUDIO_MARKS[kind])
    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=300, return_attention_mask=True)
    if kind == "qwen3_omni_moe":
        return qwen3.Qwen3Omni(Parts(model, tokenizer), tokenizer, extractor, template)
    model.speaker_map = speakers
    return qwen25.Qwen25(qwen25.ready(model), tokenizer, extractor, template)


@torch.no_grad()
def _draw(model: Any) -> None:
    """Every matrix from one seed: also experts, which a model without a file leaves as the memory was."""
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.normal_(0, 0.02)


def _speakers() -> dict[str, Any]:
    """One of Qwen2.5-Omni's voices, in the shapes of its `spk_dict.pt`: an embedding, 3 s of reference."""
    return {"Chelsie": {"bos_token": 151872, "cond": torch.randn(1, 192), "ref_mel": torch.randn(1, 300, 80)}}


def _tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Bytes, the special tokens where the model looks for them, and something at every other place."""
    special = SPECIAL | SPECIAL_AUDIO[kind]
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: place for place, text in enumerate(bytes_)}
    taken = set(special.values())
    vocabulary |= {f"<{place}>": place for place in range(len(bytes_), 152_064) if place not in taken}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary | special, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(text, special=text.startswith("<|"), normalized=False) for text in special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
