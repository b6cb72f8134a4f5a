"""A Qwen2.5-Omni of some hundred thousand parameters, made from a seed in seconds, saved as the real one is.

As with the tiny Qwen3-Omni (`qwen3_omni.py`), weights are random but for what a test has to be sure of: the thinker knows
the same `DIALOGUES` by heart, the talker ends some codes after its text, the vocoder can be heard. Its flow-matching model
has one look-ahead layer, as the published one.
"""

import json
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5OmniConfig,
    Qwen2_5OmniForConditionalGeneration,
    WhisperFeatureExtractor,
)

from tests.engines.tiny_models.by_heart import Turn, answer_places, byte_level, learn_words, messages
from tests.engines.tiny_models.qwen3_omni import DIALOGUES, SPEECH, WEATHER_TOOL
from vivavoce.engines.qwen_omni.qwen25_chat import PERSONA, with_persona, with_tools

HIDDEN, TALKER_HIDDEN, CODES, MEL_BINS = 256, 256, 40, 16
CODEC_PAD, CODEC_BOS, CODEC_EOS, CODEC_MASK, CODEC_VOCABULARY = 40, 41, 42, 43, 44
TALKER_ENDS = [CODEC_PAD, CODEC_EOS]
AUDIBLE = 0.1
"""The vocoder's RMS, full scale being 1."""
CODES_AFTER_TEXT = 2
QUIET = 0.05
"""How large the features of speech are beside words: the thinker knows its answers whatever it hears."""

SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"),
    *("<|IMAGE|>", "<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>"),
    *("<tts_text_start>", "<tts_text_end>", "<tts_text_pad>", "<tts_ethan>"),
]

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string %}{{ message['content'] }}{% else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'audio' %}{{ '<|audio_bos|><|AUDIO|><|audio_eos|>' }}{% else %}{{ part['text'] }}{% endif -%}
{%- endfor -%}{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
"""As the published one: it knows no tools."""


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained on the dialogues: as Qwen's, a hundredfold smaller."""
    corpus = ["system\nuser\nassistant\n" * 40, PERSONA]
    corpus += [words for _, turns in DIALOGUES for turn in turns for words in turn] * 2
    tokenizer = byte_level(corpus, 440, SPECIAL)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def _config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5OmniConfig:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in [*SPECIAL, "user"]}
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [4, 2, 2]}
    layers = {"num_attention_heads": 4, "num_key_value_heads": 2, "rope_parameters": rope}
    media = {
        "audio_token_index": ids["<|AUDIO|>"],
        "image_token_index": ids["<|IMAGE|>"],
        "video_token_index": ids["<|VIDEO|>"],
        "audio_start_token_id": ids["<|audio_bos|>"],
        "audio_end_token_id": ids["<|audio_eos|>"],
        "vision_start_token_id": ids["<|vision_bos|>"],
        "vision_end_token_id": ids["<|vision_eos|>"],
    }
    thinker = {
        "audio_config": {
            "num_mel_bins": MEL_BINS,
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "output_dim": HIDDEN,
            "n_window": 100,
        },
        "vision_config": {
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [0],
        },
        "text_config": {
            **layers,
            "vocab_size": len(tokenizer),
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "head_dim": 16,
            "max_position_embeddings": 32_768,
        },
        **media,
        "user_token_id": ids["user"],
    }
    talker = {
        **layers,
        "vocab_size": CODEC_VOCABULARY,
        "embedding_size": HIDDEN,
        "hidden_size": TALKER_HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "head_dim": 16,
        "tts_text_start_token_id": ids["<tts_text_start>"],
        "tts_text_end_token_id": ids["<tts_text_end>"],
        "tts_text_pad_token_id": ids["<tts_text_pad>"],
        "tts_codec_start_token_id": CODEC_BOS,
        "tts_codec_end_token_id": CODEC_EOS,
        "tts_codec_pad_token_id": CODEC_PAD,
        "tts_codec_mask_token_id": CODEC_MASK,
        **media,
    }
    dit = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "head_dim": 16,
        "emb_dim": 16,
        "block_size": 24,
        "look_backward_layers": [0, 2],
        "look_ahead_layers": [1],
        "num_embeds": CODES - 1,
        "mel_dim": 16,
        "enc_emb_dim": 8,
        "enc_dim": 8,
        "enc_channels": [16, 16, 16, 16, 48],
        "enc_attention_channels": 8,
        "enc_se_channels": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
    }
    vocoder = {
        "mel_dim": 16,
        "upsample_initial_channel": 64,
        "resblock_kernel_sizes": [3, 11],
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    }
    return Qwen2_5OmniConfig(
        thinker_config=thinker,
        talker_config=talker,
        token2wav_config={"dit_config": dit, "bigvgan_config": vocoder},
    )


def _draw_weights(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if ("norm" in name and "linear" not in name) or name.endswith("ln_post.weight"):
            weight.fill_(0.0 if name.endswith("bias") else 1.0)
        elif weight.dim() < 2 or name.endswith((".alpha", ".beta")):
            weight.zero_()
        else:
            fan_in = 1 if "embed" in name and weight.dim() == 2 and "linear" not in name else weight[0].numel()
            weight.copy_(torch.randn(weight.shape, generator=generator) * fan_in**-0.5)


def _messages(instructions: str, turns: tuple[Turn, ...]) -> list[Any]:
    tools = [WEATHER_TOOL] if instructions == "tools" else []
    return with_tools(with_persona(messages(turns)), tools)


@torch.no_grad()
def _learn_dialogues(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Solve `lm_head` so that each answer of the dialogues follows its prompt: least squares on the last hidden states.

    An audio turn is learnt at several lengths of noise, so that real speech falls among them.
    """
    states, wanted = [], []
    generator = torch.Generator().manual_seed(7)
    audio_id = model.config.thinker_config.audio_token_index
    text_model = getattr(model.thinker.model, "language_model", model.thinker.model)
    for instructions, turns in DIALOGUES:
        text = tokenizer.apply_chat_template(_messages(instructions, turns), chat_template=CHAT_TEMPLATE, tokenize=False)
        for positions in (25, 50, 110) if "<|AUDIO|>" in text else (0,):
            ids = tokenizer(text.replace("<|AUDIO|>", "<|AUDIO|>" * positions))["input_ids"]
            tokens = torch.tensor([ids])
            inputs = model.thinker.get_input_embeddings()(tokens)
            heard = tokens == audio_id
            inputs[heard] = torch.randn((int(heard.sum()), HIDDEN), generator=generator) * 0.05
            hidden = text_model(inputs_embeds=inputs).last_hidden_state[0]
            for place in answer_places(ids, tokenizer):
                states.append(hidden[place])
                wanted.append(ids[place + 1])
    learn_words(model.thinker.lm_head, states, wanted, len(tokenizer))


@torch.no_grad()
def _learn_to_end(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Solve the talker's end rows: high once its text has ended, low before."""
    states: list[torch.Tensor] = []
    ended: list[bool] = []
    watch = model.talker.model.register_forward_hook(lambda *call: states.append(call[-1].last_hidden_state[0, -1]))
    endless = model.talker.codec_head.register_forward_hook(lambda *call: call[-1].index_fill(-1, silent, -1e4))
    silent = torch.arange(CODES, CODEC_VOCABULARY)
    decode = model.token2wav.forward
    model.token2wav.forward = lambda *_, **__: torch.zeros(1)
    turns = [
        (turns[0], frames) for about, turns in DIALOGUES if not about for frames in ([0] if turns[0][0] else [100, 440])
    ]
    for speaker, ((said, answer), frames) in product(model.speaker_map, turns):
        mels = _noise(frames) if frames else {}
        text = tokenizer.apply_chat_template(
            _messages("", ((said, answer),))[:2], chat_template=CHAT_TEMPLATE, add_generation_prompt=True, tokenize=False
        )
        ids = torch.tensor([tokenizer(text.replace("<|AUDIO|>", "<|AUDIO|>" * (frames // 4)))["input_ids"]])
        last = len(tokenizer(answer)["input_ids"]) + CODES_AFTER_TEXT
        before = len(states)
        mask = torch.ones_like(ids)
        model.generate(ids, attention_mask=mask, **mels, **greedy(model), talker_max_new_tokens=last + 5, speaker=speaker)
        ended += [step > last for step in range(len(states) - before)]
    watch.remove()
    endless.remove()
    model.token2wav.forward = decode
    known = torch.stack(states)
    wanted = torch.where(torch.tensor(ended), 40.0, -40.0)
    gram = known.T @ known + 0.1 * torch.eye(TALKER_HIDDEN)
    model.talker.codec_head.weight[CODES:] = torch.linalg.solve(gram, known.T @ wanted)


def _noise(frames: int) -> dict[str, torch.Tensor]:
    """Mels of nothing in particular."""
    mels = torch.randn(1, MEL_BINS, frames, generator=torch.Generator().manual_seed(frames)) * 0.3
    return {"input_features": mels, "feature_attention_mask": torch.ones(1, frames, dtype=torch.long)}


def as_published(model: Any) -> Any:
    """The model, its `generate` as it was published.

    The talker adds the embeddings that its codes begin with where it is given an attention mask. Newer releases of
    transformers (5.23 is one) drop a mask that is all ones before the talker sees it: it then begins without them, as it
    never did in training.
    """

    def with_mask(talker: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        embeddings = given.get("inputs_embeds")
        if embeddings is not None and given.get("attention_mask") is None:
            given["attention_mask"] = torch.ones(embeddings.shape[:2], dtype=torch.long)
        return args, given

    model.talker.register_forward_pre_hook(with_mask, with_kwargs=True)
    return model


def greedy(model: Any) -> dict[str, Any]:
    """What makes `generate` deterministic, and end where this model's turns and codes end."""
    return {
        "thinker_do_sample": False,
        "talker_do_sample": False,
        "thinker_eos_token_id": model.generation_config.eos_token_id,
        "talker_eos_token_id": TALKER_ENDS,
    }


@torch.no_grad()
def _make_audible(token2wav: Any) -> None:
    """Mels of the size of real ones, and a vocoder that makes a sound of them.

    A flow of random weights is chaotic: it blows up rounding errors, and would hide what a test looks for. So velocities are
    made small, and to depend more on the codes than on the state.
    """
    dit = token2wav.code2wav_dit_model
    dit.proj_out.weight.mul_(0.05)
    dit.input_embed.proj.weight[:, : dit.mel_dim].mul_(0.1)
    vocoder = token2wav.code2wav_bigvgan_model
    mels = torch.randn(1, 16, 48, generator=torch.Generator().manual_seed(1))
    vocoder.conv_post.weight.mul_(1e-3)
    vocoder.conv_post.weight.mul_(AUDIBLE / vocoder(mels).square().mean().sqrt())


def _speakers(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """As `spk_dict.pt` has them: the token that calls them up, their embedding, some of their speech as mel."""
    generator = torch.Generator().manual_seed(5)
    tokens = {"Ethan": "<tts_ethan>", "Chelsie": "<tts_text_start>"}
    return {
        name: {
            "bos_token": tokenizer.convert_tokens_to_ids(token),
            "cond": torch.randn(1, 8, generator=generator),
            "ref_mel": torch.randn(1, 30, 16, generator=generator),
        }
        for name, token in tokens.items()
    }


def make(folder: Path, seed: int = 0) -> Path:
    """Make the model and save it as a real checkpoint: `config.json`, safetensors, speakers, tokenizer, template, mels."""
    torch.set_num_threads(1)
    tokenizer = _tokenizer()
    model = as_published(Qwen2_5OmniForConditionalGeneration(_config(tokenizer)).eval())
    model.speaker_map = _speakers(tokenizer)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    with torch.no_grad():
        _draw_weights(model, seed)
        tower = getattr(model.thinker, "audio_tower", None) or model.thinker.model.audio_tower
        tower.proj.weight.mul_(QUIET)
    _learn_dialogues(model, tokenizer)
    _learn_to_end(model, tokenizer)
    _make_audible(model.token2wav)
    model.save_pretrained(folder)
    torch.save(model.speaker_map, folder / "spk_dict.pt")
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}), encoding="utf-8")
    WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=300, return_attention_mask=True).save_pretrained(folder)
    return folder


@cache
def folder() -> Path:
    """The model, made once for all tests of a run."""
    return make(Path(mkdtemp(prefix="tiny-qwen2.5-omni-")))


__all__ = ["SPEECH", "as_published", "folder", "greedy", "make"]
