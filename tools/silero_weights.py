"""Write `engines/silero_vad.npz` from the published `silero-vad` package.

    pip download --no-deps silero-vad==6.2.3
    python tools/silero_weights.py silero_vad-6.2.3-py3-none-any.whl

The wheel carries the network as an ONNX file, whose weights are named tensors. We take those, and nothing of the graph:
`engines/silero_network.py` is the graph, and the tests hold it against this very file run by onnxruntime. (The wheel's
`.safetensors` holds another training: it gives other scores.) Reading ONNX takes five field numbers of protobuf, so this
needs no package but numpy. The same wheel always gives the same bytes.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GRAPH = "silero_vad/data/silero_vad_16k_op15.onnx"
LICENCE_SUFFIX = ".dist-info/licenses/LICENSE"
ENGINES = Path(__file__).parent.parent / "src" / "vivavoce" / "engines"

NAMES = {
    "model.stft.forward_basis_buffer": "stft",
    **{f"model.encoder.{layer}.reparam_conv.weight": f"conv{layer}_weight" for layer in range(4)},
    **{f"model.encoder.{layer}.reparam_conv.bias": f"conv{layer}_bias" for layer in range(4)},
    "model.decoder.rnn.weight_ih": "lstm_input_weight",
    "model.decoder.rnn.weight_hh": "lstm_hidden_weight",
    "model.decoder.rnn.bias_ih": "lstm_input_bias",
    "model.decoder.rnn.bias_hh": "lstm_hidden_bias",
    "model.decoder.decoder.2.weight": "output_weight",
    "model.decoder.decoder.2.bias": "output_bias",
}

# Field numbers of onnx.proto.
MODEL_GRAPH, GRAPH_INITIALIZER = 7, 5
TENSOR_DIMS, TENSOR_DATA_TYPE, TENSOR_NAME, TENSOR_RAW_DATA = 1, 2, 8, 9
FLOAT32 = 1


def main() -> None:
    """Read the wheel named on the command line; write weights and licence into the package."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        weights = read_weights(wheel.read(GRAPH))
        (licence,) = [name for name in wheel.namelist() if name.endswith(LICENCE_SUFFIX)]
        (ENGINES / "silero_vad.LICENSE").write_bytes(wheel.read(licence))
    np.savez(ENGINES / "silero_vad.npz", **weights)
    print(f"{len(weights)} tensors, {sum(w.size for w in weights.values()):,} weights")


def read_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """The network's tensors by our names. Raises KeyError or ValueError where the file is not the network that we know."""
    tensors = {}
    for graph in (value for number, value in fields(model) if number == MODEL_GRAPH):
        for tensor in (value for number, value in fields(as_bytes(graph)) if number == GRAPH_INITIALIZER):
            name, values = read_tensor(as_bytes(tensor))
            tensors[NAMES[name]] = values
    if missing := set(NAMES.values()) - set(tensors):
        raise ValueError(f"The graph lacks {sorted(missing)}.")
    return dict(sorted(tensors.items()))


def read_tensor(tensor: bytes) -> tuple[str, NDArray[np.float32]]:
    """Name and values of a TensorProto."""
    parts: dict[int, bytes | int] = {}
    dims = []
    for number, value in fields(tensor):
        if number == TENSOR_DIMS and isinstance(value, int):
            dims.append(value)
        else:
            parts[number] = value
    if parts[TENSOR_DATA_TYPE] != FLOAT32:
        raise ValueError(f"Tensor type {parts[TENSOR_DATA_TYPE]!r} is not float32.")
    values = np.frombuffer(as_bytes(parts[TENSOR_RAW_DATA]), "<f4").reshape(dims)
    return as_bytes(parts[TENSOR_NAME]).decode(), values


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field of a protobuf message: integers, and byte strings for all that has a length."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = varint(message, at)
            yield number, value
        else:
            length, at = varint(message, at) if wire_type == 2 else ({1: 8, 5: 4}[wire_type], at)
            yield number, message[at : at + length]
            at += length


def varint(message: bytes, at: int) -> tuple[int, int]:
    """The base-128 integer at `at`, and the place after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def as_bytes(value: bytes | int) -> bytes:
    """A field that must have a length."""
    if isinstance(value, int):
        raise ValueError("Found a number where the format has bytes.")
    return value


if __name__ == "__main__":
    main()
