"""A Qwen3-Omni of some hundred thousand parameters, made from a seed in a second, saved as the real one is.

Its weights are random, but for what a test has to be sure of. The rows that end an answer or begin another word are solved
by least squares so that the model has learnt the `DIALOGUES` by heart; the talker ends two frames after its text does; the
vocoder's last convolution is scaled until it can be heard. All else (what codes a word gets, how audio sounds to it) is as
random as the seed made it, and depends on every layer.
"""

import wave
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3OmniMoeConfig,
    Qwen3OmniMoeForConditionalGeneration,
    WhisperFeatureExtractor,
)

from tests.engines.tiny_models.by_heart import Turn, answer_places, byte_level, learn_words, messages

HIDDEN, TALKER_HIDDEN, CODEBOOK, CODE_GROUPS, MEL_BINS = 256, 64, 64, 4, 16
TALKER_VOCABULARY = CODEBOOK + 1024
CODEC_EOS, CODEC_PAD, CODEC_BOS = 1030, 1034, 1035
AUDIBLE = 0.1
"""The vocoder's RMS, full scale being 1."""

WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
LONG = "Tell me about the sea. " * 8
SPEECH = "Yes, I can hear your voice."

LOUDNESS = {"audio_tower.proj2": 0.5, "text_projection.linear_fc2": 4.0, "hidden_projection.linear_fc2": 4.0}
"""How much of it there is, a thing drawn at random being 1: speech to the thinker, text and speech to the talker."""
AUDIO_TOKEN = "<|audio_pad|>"
SPEECH_FILE = Path(__file__).parents[3] / "../shared/audio/silero-minute.wav"

DIALOGUES: tuple[tuple[str, tuple[Turn, ...]], ...] = (
    ("", (("hello", "Hi."),)),
    ("", (("", SPEECH), ("", "And now I hear you again."))),
    ("", (("one apple", "You have one apple."),)),
    ("", (("three pineapples", "There are three pineapples here."),)),
    ("", ((LONG, "The sea is wide and deep and blue, and the wind moves the waves to the shore all day, all night."),)),
    ("tools", (("What is the weather in Oslo?", CALL), ("tool:Sunny, 21 degrees.", "It is sunny in Oslo."))),
)
"""Instructions (or `tools`) and turns that the model knows by heart."""

SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>"),
    *("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"),
    *("<tts_pad>", "<tts_text_bos>", "<tts_text_eod>"),
]

CHAT_TEMPLATE = """\
{%- macro said(content) -%}
{%- if content is string %}{{ content }}{% else -%}
{%- for part in content -%}
{%- if part.type == 'audio' %}{{ '<|audio_start|><|audio_pad|><|audio_end|>' }}{% else %}{{ part.text }}{% endif -%}
{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- if tools -%}
{{ '<|im_start|>system\\n' }}{% if messages[0].role == 'system' %}{{ said(messages[0].content) + '\\n\\n' }}{% endif -%}
{{ '# Tools\\n\\n<tools>' }}{% for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor -%}
{{ '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' -%}
{{ '<|im_start|>system\\n' + said(messages[0].content) + '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{ '<|im_start|>user\\n<tool_response>\\n' + said(message.content) + '\\n</tool_response><|im_end|>\\n' }}
{%- elif not (loop.first and message.role == 'system') -%}
{{ '<|im_start|>' + message.role + '\\n' }}{% if message.content %}{{ said(message.content) }}{% endif -%}
{%- for call in message.tool_calls or [] -%}
{% if message.content or not loop.first %}{{ '\\n' }}{% endif -%}
{{ '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments + '}\\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained on the dialogues: as Qwen's, a hundredfold smaller."""
    corpus = ["system\nuser\nassistant\n" * 40]
    corpus += [words for _, turns in DIALOGUES for turn in turns for words in turn]
    tokenizer = byte_level(corpus, 380, SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT_TEMPLATE
    )


_ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
_LAYERS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "rope_parameters": _ROPE}
_HEARING = {
    "num_mel_bins": MEL_BINS,
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "downsample_hidden_size": 8,
    "output_dim": HIDDEN,
}
_SEEING = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
    "patch_size": 2,
}
_TALKER = {
    "text_config": {
        **_LAYERS,
        **_EXPERTS,
        "vocab_size": TALKER_VOCABULARY,
        "hidden_size": TALKER_HIDDEN,
        "num_hidden_layers": 2,
        "shared_expert_intermediate_size": 32,
    },
    "code_predictor_config": {
        **_LAYERS,
        "vocab_size": CODEBOOK,
        "hidden_size": TALKER_HIDDEN,
        "num_hidden_layers": 1,
        "num_code_groups": CODE_GROUPS,
    },
    "num_code_groups": CODE_GROUPS,
    "thinker_hidden_size": HIDDEN,
    "accept_hidden_layer": 2,
    "codec_eos_token_id": CODEC_EOS,
    "codec_nothink_id": 1031,
    "codec_think_bos_id": 1032,
    "codec_think_eos_id": 1033,
    "codec_pad_id": CODEC_PAD,
    "codec_bos_id": CODEC_BOS,
    "speaker_id": {"ethan": 1040, "chelsie": 1041, "aiden": 1042},
    "spatial_merge_size": 2,
}
_VOCODER = {
    "codebook_size": CODEBOOK,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_quantizers": CODE_GROUPS,
    "decoder_dim": 32,
}


def _config(tokenizer: PreTrainedTokenizerFast) -> Qwen3OmniMoeConfig:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in [*SPECIAL, "system", "user", "assistant"]}
    media = {f"{kind}_token_id": ids[f"<|{kind}_pad|>"] for kind in ("audio", "image", "video")}
    media |= {f"{kind}_start_token_id": ids[f"<|{kind}_start|>"] for kind in ("audio", "vision")}
    words = {"vocab_size": len(tokenizer), "hidden_size": HIDDEN, "num_hidden_layers": 3}
    thinker = {
        "audio_config": _HEARING,
        "vision_config": _SEEING,
        "text_config": {**_LAYERS, **_EXPERTS, **words},
        "user_token_id": ids["user"],
        **media,
    }
    return Qwen3OmniMoeConfig(
        thinker_config=thinker,
        talker_config={**_TALKER, **media},
        code2wav_config=_VOCODER,
        im_start_token_id=ids["<|im_start|>"],
        im_end_token_id=ids["<|im_end|>"],
        tts_pad_token_id=ids["<tts_pad>"],
        tts_bos_token_id=ids["<tts_text_bos>"],
        tts_eos_token_id=ids["<tts_text_eod>"],
        system_token_id=ids["system"],
        user_token_id=ids["user"],
        assistant_token_id=ids["assistant"],
    )


def _draw_weights(model: Any, seed: int) -> None:
    """Every weight from one generator: also experts, which transformers leaves as the memory was."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "layer_scale" in name:
            weight.fill_(0.01)
        elif "norm" in name or name.endswith("ln_post.weight"):
            weight.fill_(0.0 if name.endswith("bias") else 1.0)
        elif weight.dim() < 2 or name.endswith((".alpha", ".beta")):
            weight.zero_()
        else:
            fan_in = 1 if "embed" in name and weight.dim() == 2 else weight[0].numel()
            loudness = next((loudness for part, loudness in LOUDNESS.items() if part in name), 1.0)
            scale = loudness * fan_in**-0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)


@torch.no_grad()
def _learn_dialogues(model: Any, tokenizer: PreTrainedTokenizerFast, extractor: WhisperFeatureExtractor) -> None:
    """Solve `lm_head` so that each answer of the dialogues follows its prompt.

    Least squares on the thinker's last hidden states: there are fewer words to learn than dimensions, so it fits.
    Spoken turns are learnt with several pieces of recorded speech, so that others fall among them.
    """
    states: list[torch.Tensor] = []
    wanted: list[int] = []
    heard = iter([encoded(model, extractor, piece) for piece in _pieces()])
    for instructions, turns in DIALOGUES:
        tools = [WEATHER_TOOL] if instructions == "tools" else None
        text = tokenizer.apply_chat_template(messages(turns), tools=tools, tokenize=False)
        spoken = text.count(AUDIO_TOKEN)
        for _ in range(3 if spoken else 1):
            hidden, ids = _read(model, tokenizer, text, [next(heard) for _ in range(spoken)])
            places = answer_places(ids, tokenizer)
            states += hidden[places].unbind()
            wanted += [ids[place + 1] for place in places]
    learn_words(model.thinker.lm_head, states, wanted, len(tokenizer))


def _read(model: Any, tokenizer: Any, text: str, heard: list[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
    """The thinker's last hidden states over a rendered prompt, and its tokens."""
    pieces = text.split(AUDIO_TOKEN)
    for number, features in enumerate(heard):
        pieces[number] += AUDIO_TOKEN * len(features)
    ids = tokenizer("".join(pieces))["input_ids"]
    tokens = torch.tensor([ids])
    inputs = model.thinker.get_input_embeddings()(tokens)
    if heard:
        inputs[tokens == model.config.thinker_config.audio_token_id] = torch.cat(heard)
    return model.thinker.model(inputs_embeds=inputs, attention_mask=torch.ones_like(tokens)).last_hidden_state[0], ids


def speech(start_seconds: float, end_seconds: float) -> np.ndarray:
    """A piece of recorded speech, 16,000 Hz."""
    with wave.open(str(SPEECH_FILE)) as file:
        file.setpos(round(start_seconds * 16_000))
        samples = file.readframes(round((end_seconds - start_seconds) * 16_000))
    return np.frombuffer(samples, "<i2").astype(np.float32) / 2**15


def _pieces() -> list[np.ndarray]:
    return [speech(*piece) for piece in ((0, 2), (5, 9.5), (12, 13.2), (20, 29), (31, 37), (40, 43))]


@torch.no_grad()
def encoded(model: Any, extractor: WhisperFeatureExtractor, samples: np.ndarray) -> torch.Tensor:
    """Features of a whole recording, by transformers' own code."""
    mels = whole_mels(extractor, samples)
    tower = getattr(model.thinker, "audio_tower", None) or model.thinker.model.audio_tower
    return tower(mels, feature_lens=torch.tensor([mels.shape[1]])).last_hidden_state


def whole_mels(extractor: WhisperFeatureExtractor, samples: np.ndarray) -> torch.Tensor:
    """Mels [bins, frames] of a whole recording, by transformers' own code."""
    mels = extractor(samples, sampling_rate=16_000, padding=True, truncation=False, return_tensors="pt")["input_features"]
    return mels[0, :, : len(samples) // 160]


@torch.no_grad()
def _learn_to_end(model: Any, tokenizer: PreTrainedTokenizerFast, extractor: WhisperFeatureExtractor) -> None:
    """Solve the talker's end-of-speech row: high once its text has ended, low before."""
    states: list[torch.Tensor] = []
    ended: list[bool] = []
    hook = model.talker.model.register_forward_hook(lambda *call: states.append(call[-1].last_hidden_state[0, -1]))
    prompts = [(turns[0][0], None) for instructions, turns in DIALOGUES if turns[0][0] and instructions != "tools"]
    for words, samples in [*prompts, *(("", piece) for piece in _pieces())]:
        text = tokenizer.apply_chat_template(messages(((words, ""),))[:1], add_generation_prompt=True, tokenize=False)
        heard = {}
        if samples is not None:
            mels = whole_mels(extractor, samples)
            text = text.replace(AUDIO_TOKEN, AUDIO_TOKEN * len(encoded(model, extractor, samples)))
            heard = {"input_features": mels[None], "feature_attention_mask": torch.ones(1, mels.shape[1], dtype=torch.long)}
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        before = len(states)
        sequences, _ = model.generate(
            ids,
            **heard,
            **greedy(model),
            thinker_max_new_tokens=60,
            talker_max_new_tokens=60,
            talker_suppress_tokens=[*range(CODEBOOK, TALKER_VOCABULARY)],
        )
        words_said = sequences.shape[1] - ids.shape[1] - 1
        ended += [step > words_said for step in range(len(states) - before)]
    hook.remove()
    known = torch.stack(states)
    wanted = torch.where(torch.tensor(ended), 40.0, -40.0)
    gram = known.T @ known + 0.01 * torch.eye(TALKER_HIDDEN)
    model.talker.codec_head.weight[CODEC_EOS] = torch.linalg.solve(gram, known.T @ wanted)


def greedy(model: Any) -> dict[str, Any]:
    """What makes `generate` deterministic, and end where this tokenizer's turns end."""
    return {
        "thinker_do_sample": False,
        "talker_do_sample": False,
        "thinker_eos_token_id": model.config.im_end_token_id,
        "speaker": "ethan",
    }


@torch.no_grad()
def _make_audible(vocoder: Any) -> None:
    codes = torch.randint(0, CODEBOOK, (1, CODE_GROUPS, 8), generator=torch.Generator().manual_seed(1))
    last = vocoder.decoder[-1].conv
    while (loudness := vocoder(codes).square().mean().sqrt()) > 1.1 * AUDIBLE:  # its output is clipped: no single step
        last.weight.mul_(AUDIBLE / loudness)


def make(folder: Path, seed: int = 0) -> Path:
    """Make the model and save it as a real checkpoint: `config.json`, safetensors, tokenizer, mels."""
    torch.set_num_threads(1)
    tokenizer = _tokenizer()
    model = Qwen3OmniMoeForConditionalGeneration(_config(tokenizer)).eval()
    with torch.no_grad():
        _draw_weights(model, seed)
    extractor = WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=300, return_attention_mask=True)
    _learn_dialogues(model, tokenizer, extractor)
    _learn_to_end(model, tokenizer, extractor)
    _make_audible(model.code2wav)
    model.generation_config = GenerationConfig(eos_token_id=model.config.im_end_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@cache
def folder() -> Path:
    """The model, made once for all tests of a run."""
    return make(Path(mkdtemp(prefix="tiny-qwen3-omni-")))
