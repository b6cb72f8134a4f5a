"""A Pocket TTS with random weights: the package's own classes, files and loading, 20,000 numbers in place of 110 million.

config.yaml, model.safetensors, tokenizer.model, embeddings/NAME.safetensors
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

VOICES = ("alba", "george", "jane")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-–—()<>[]*/_#`"


def write_pocket_tts(folder: Path, *, temperature: float = 0.0, end_threshold: float = -1_000.0) -> Path:
    """A folder with a model, its tokenizer and three voices.

    At temperature 0 the same text sounds the same. An `end_threshold` of -1,000 ends each text as early as can be, after 9
    to 11 frames; 1,000 never does, so that it lasts as long as the package allows: 2 s, and 1/3 s for each letter.
    """
    import torch
    from pocket_tts import TTSModel
    from pocket_tts.models.model_state import export_model_state
    from pocket_tts.models.tts_model import stamp_state_names
    from safetensors.torch import save_file

    (folder / "embeddings").mkdir(parents=True)
    bins = _write_tokenizer(folder / "tokenizer.model")
    config = _config(bins, str(folder / "tokenizer.model"), temperature, end_threshold)
    seed = folder / "config.yaml"
    seed.write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.manual_seed(7)
    tts = TTSModel.load_model(config=seed)
    torch.nn.init.normal_(tts.flow_lm.speaker_proj_weight)
    stamp_state_names(tts)
    save_file({name: tensor.clone() for name, tensor in tts.state_dict().items()}, folder / "model.safetensors")
    for voice in VOICES:
        state = tts.get_state_for_audio_prompt(0.1 * torch.randn(1, 24_000))
        export_model_state(state, folder / "embeddings" / f"{voice}.safetensors")
    # As the package's own configurations name them.
    config["flow_lm"]["lookup_table"]["tokenizer_path"] = "hf://nobody/nothing/languages/tiny/tokenizer.model@0123abc"
    config["weights_path"] = "hf://nobody/closed/languages/tiny/model.safetensors@0123abc"
    config["weights_path_without_voice_cloning"] = "hf://nobody/nothing/languages/tiny/model.safetensors@0123abc"
    seed.write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


def _write_tokenizer(path: Path) -> int:
    """One token for each letter; returns how many there are."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(LETTERS), "the quick brown fox"]),
        model_writer=model,
        model_type="char",
        vocab_size=len(set(LETTERS)) + 4,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    return int(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size())


def _config(bins: int, tokenizer: str, temperature: float, end_threshold: float) -> dict[str, Any]:
    codec = {"dimension": 8, "channels": 1, "n_filters": 2, "n_residual_layers": 1, "ratios": [6, 5, 4], "kernel_size": 7}
    codec |= {"residual_kernel_size": 3, "last_kernel_size": 3, "dilation_base": 2, "pad_mode": "constant", "compress": 2}
    attention = {"d_model": 8, "num_heads": 2, "num_layers": 1, "layer_scale": 0.01, "context": 50, "dim_feedforward": 16}
    attention |= {"input_dimension": 8, "output_dimensions": [8]}
    return {
        "default_temperature": temperature,
        "default_eos_threshold": end_threshold,
        "flow_lm": {
            "dtype": "float32",
            "insert_bos_before_voice": True,
            "flow": {"depth": 1, "dim": 16},
            "transformer": {"d_model": 16, "hidden_scale": 2, "max_period": 10_000, "num_heads": 2, "num_layers": 2},
            "lookup_table": {"dim": 16, "n_bins": bins, "tokenizer": "sentencepiece", "tokenizer_path": tokenizer},
        },
        "mimi": {
            "dtype": "float32",
            "sample_rate": 24_000,
            "channels": 1,
            "frame_rate": 12.5,
            "inner_dim": 4,
            "outer_dim": 8,
            "seanet": codec,
            "transformer": attention,
            "quantizer": {"dimension": 4, "output_dimension": 8},
        },
    }
