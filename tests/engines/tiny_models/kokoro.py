"""A model with Kokoro's inputs and outputs that says each phoneme as a tone, so that a test can read what was spoken.

    tokens (1, n), style (1, 256), speed (1)  ─▶  audio: a tone for each token, `TOKEN_SAMPLES / speed` long

The pads around the tokens are silent. The loudness is the first number of the style: a voice is known by it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from vivavoce.audio import SAMPLE_HZ

TOKEN_SAMPLES = 1_200
_FIRST_HZ, _STEP_HZ = 200, 40
"""Whole numbers of cycles in a token at speed 1: a Fourier transform finds exactly one of them."""

LOUDNESS = {
    "af_heart": 0.30,
    "af_alloy": 0.32,
    "af_bella": 0.34,
    "af_nicole": 0.36,
    "am_echo": 0.38,
    "am_puck": 0.40,
    "bm_george": 0.42,
    "ff_siwis": 0.44,
    "jf_alpha": 0.46,
}
"""The voices."""


def write_kokoro(
    folder: Path,
    *,
    file: str = "kokoro-v1.0.onnx",
    tokens: str = "tokens",
    durations: bool = False,
    loose_voices: bool = False,
) -> Path:
    """A folder with the model and its voices: in one archive, or as `voices/NAME.bin`."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(_model(tokens, durations), path)
    styles = {name: np.full((510, 1, 256), loudness, np.float32) for name, loudness in LOUDNESS.items()}
    if loose_voices:
        (folder / "voices").mkdir()
        for name, style in styles.items():
            style.tofile(folder / "voices" / f"{name}.bin")
    else:
        with (folder / "voices-v1.0.bin").open("wb") as archive:
            np.savez(archive, **styles)
    return folder


def _model(tokens: str, durations: bool) -> onnx.ModelProto:
    def constant(name: str, kind: int, *values: float) -> onnx.TensorProto:
        return helper.make_tensor(name, kind, [len(values)] if len(values) > 1 else [], list(values))

    integers = {"zero": 0, "one": 1}
    numbers = {
        "token_samples": TOKEN_SAMPLES,
        "step": 2 * np.pi * _STEP_HZ / SAMPLE_HZ,
        "first": 2 * np.pi * _FIRST_HZ / SAMPLE_HZ,
    }
    node = helper.make_node
    nodes = [
        node("Squeeze", [tokens, "axes"], ["ids"]),
        node("Squeeze", ["speed", "axes"], ["pace"]),
        node("Div", ["token_samples", "pace"], ["exact"]),
        node("Cast", ["exact"], ["length"], to=TensorProto.INT64),
        node("Size", ["ids"], ["count"]),
        node("Mul", ["count", "length"], ["samples"]),
        node("Range", ["zero", "samples", "one"], ["t"]),
        node("Div", ["t", "length"], ["which"]),
        node("Gather", ["ids", "which"], ["id"]),
        node("Mod", ["t", "length"], ["since"]),
        node("Cast", ["since"], ["time"], to=TensorProto.FLOAT),
        node("Cast", ["id"], ["id_number"], to=TensorProto.FLOAT),
        node("Mul", ["id_number", "step"], ["more"]),
        node("Add", ["more", "first"], ["radians"]),
        node("Mul", ["radians", "time"], ["phase"]),
        node("Sin", ["phase"], ["tone"]),
        node("Min", ["id_number", "unit"], ["is_sound"]),
        node("Mul", ["tone", "is_sound"], ["sound"]),
        node("ReduceMax", ["style"], ["loudness"], keepdims=0),
        node("Mul", ["sound", "loudness"], ["audio"]),
    ]
    outputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])]
    if durations:
        nodes.append(node("Min", ["ids_or_one", "one"], ["duration"]))
        nodes.insert(-1, node("Max", ["ids", "one"], ["ids_or_one"]))
        outputs.append(helper.make_tensor_value_info("duration", TensorProto.INT64, ["n"]))
    graph = helper.make_graph(
        nodes,
        "tones",
        [
            helper.make_tensor_value_info(tokens, TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        outputs,
        [
            *(constant(name, TensorProto.INT64, value) for name, value in integers.items()),
            *(constant(name, TensorProto.FLOAT, value) for name, value in numbers.items()),
            constant("unit", TensorProto.FLOAT, 1.0),
            helper.make_tensor("axes", TensorProto.INT64, [1], [0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def heard(pcm: bytes, *paces: float) -> list[str]:
    """The phonemes of each stretch of sound between silences. Of `paces`, the one that makes whole tokens of it counts."""
    import kokoro_onnx

    vocabulary = json.loads((Path(kokoro_onnx.__file__).parent / "config.json").read_text(encoding="utf-8"))["vocab"]
    letters = {token: letter for letter, token in vocabulary.items()}
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    sounding = np.flatnonzero(samples)
    stretches: list[str] = []
    for stretch in np.split(sounding, np.flatnonzero(np.diff(sounding) > 20) + 1):
        if not len(stretch):
            continue
        start = int(stretch[0]) - 1  # a tone begins with a zero
        span = int(stretch[-1]) + 1 - start
        lengths = [int(TOKEN_SAMPLES / pace) for pace in paces or (1.0,)]
        length = min(lengths, key=lambda length: abs(span - round(span / length) * length))
        count = round(span / length)
        spectra = np.abs(np.fft.rfft(samples[start : start + count * length].reshape(count, length)))
        peaks_hz = spectra.argmax(axis=1) * SAMPLE_HZ / length
        stretches.append("".join(letters[round((peak - _FIRST_HZ) / _STEP_HZ)] for peak in peaks_hz))
    return stretches


def loudness_of(pcm: bytes) -> float:
    """The peak, as a share of full scale."""
    return float(np.abs(np.frombuffer(pcm, "<i2")).max(initial=0)) / 32_767
