"""What loading is alike in all families: device, number format, chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from vivavoce.engines.qwen_omni.family import LoadOptions
from vivavoce.protocol.errors import SettingsError


def weights_options(options: LoadOptions) -> dict[str, Any]:
    """Arguments of `from_pretrained`. Raises `SettingsError` where the machine has not what is asked for."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(
            f'engines.qwen_omni.device: {device!r}, but PyTorch sees no GPU. Write "cpu", or mend the driver.'
        )
    dtype = options.dtype
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    arguments: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
    if options.attention:
        arguments["attn_implementation"] = options.attention
    if device != "cpu":
        arguments["device_map"] = device
    return arguments


def chat_template(folder: Path, tokenizer: Any) -> str:
    """The chat template of a checkpoint: the processor's, in either of its files, or the tokenizer's."""
    if (jinja := folder / "chat_template.jinja").exists():
        return jinja.read_text(encoding="utf-8")
    if (wrapped := folder / "chat_template.json").exists():
        return str(json.loads(wrapped.read_text(encoding="utf-8"))["chat_template"])
    if not tokenizer.chat_template:
        raise SettingsError(f"engines.qwen_omni.model: {folder} has no chat template (chat_template.jinja).")
    return str(tokenizer.chat_template)
