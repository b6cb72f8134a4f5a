"""A streaming transducer that hears tones as words: real ONNX files for the real library, with weights set by hand.

Each token is a tone. A word is a token or two, so that the last word of a text may still grow ("app", "apple"). Silence and
noise are blanks, and a tone that goes on is one token, however long.

How: the encoder compares each tone's place in the spectrum with the loudest one, four frames of 10 ms at a time. The decoder
takes away the token that was written last. The joiner adds the two.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOKENS = ("<blk>", "▁one", "▁two", "▁three", "▁app", "le", "▁pear", "s", "▁please")
TONES_HZ = (0, 300, 440, 620, 860, 1180, 1600, 2150, 2900)
WORDS = {
    "one": (1,),
    "two": (2,),
    "three": (3,),
    "app": (4,),
    "apple": (4, 5),
    "pear": (6,),
    "pears": (6, 7),
    "please": (8,),
}

RATE_HZ = 24_000
PEAK = 4.0
"""How far a tone stands out from the mean, in the natural logarithm of energy. Noise does not."""
NEAR = 1.5
"""How far a tone may be below the loudest place, and still be it."""


def speech(sentence: str, tone_seconds: float = 0.16) -> bytes:
    """What the model hears as these words, PCM: a tone for each token, 40 ms of silence between words."""
    pieces = []
    for word in sentence.split():
        pieces += [tone((token,), tone_seconds) for token in WORDS[word]]
        pieces.append(np.zeros(RATE_HZ // 25, np.int16))
    return np.concatenate(pieces).tobytes()


def tone(tokens: tuple[int, ...], seconds: float) -> np.ndarray:
    """The tones of these tokens at once."""
    position = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return sum((4000 * np.sin(2 * np.pi * TONES_HZ[token] * position)).astype(np.int16) for token in tokens)


def make_sherpa(folder: Path, *, capitals: bool = False, step_frames: int = 8) -> Path:
    """Write the model into a folder, with what hotwords are cut into tokens by. A frame is 10 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [token.upper() if capitals and token != "<blk>" else token for token in TOKENS]
    (folder / "tokens.txt").write_text(
        "".join(f"{token} {number}\n" for number, token in enumerate(tokens)), encoding="utf-8"
    )
    pieces = "".join(f"{token}\t-{number}\n" for number, token in enumerate(tokens))
    (folder / "bpe.vocab").write_text(pieces, encoding="utf-8")
    onnx.save(_encoder(step_frames), folder / "encoder-epoch-99-avg-1.onnx")
    onnx.save(_decoder(), folder / "decoder-epoch-99-avg-1.onnx")
    onnx.save(_joiner(), folder / "joiner-epoch-99-avg-1.onnx")
    return folder


def _mel_bin(hz: float) -> int:
    """Of Kaldi's 80 mel bins from 20 Hz to 7,600 Hz, the one whose middle is nearest."""
    mel = [1127 * np.log(1 + edge / 700) for edge in (20, 7600, hz)]
    return round((mel[2] - mel[0]) / (mel[1] - mel[0]) * 81 - 1)


def _encoder(step_frames: int) -> onnx.ModelProto:
    size = len(TOKENS)
    places = np.zeros((80, size), np.float32)
    for token, hz in enumerate(TONES_HZ[1:], 1):
        places[_mel_bin(hz), token] = 1
    blank, tones = np.zeros((2, size), np.float32)
    blank[0], tones[1:] = 1, 1
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["by_four"]),
        helper.make_node("ReduceMean", ["by_four"], ["energy"], axes=[2], keepdims=0),
        helper.make_node("ReduceMax", ["energy"], ["loudest"], axes=[2]),
        helper.make_node("ReduceMean", ["energy"], ["mean"], axes=[2]),
        # A token's score is how near its place is to the loudest one: 0, or less.
        helper.make_node("MatMul", ["energy", "places"], ["at_places"]),
        helper.make_node("Sub", ["at_places", "loudest"], ["below"]),
        helper.make_node("Mul", ["below", "tones"], ["token_scores"]),
        # The blank's is NEAR less than 0, and far more where nothing stands out.
        helper.make_node("Sub", ["loudest", "mean"], ["height"]),
        helper.make_node("Sub", ["peak", "height"], ["flatness"]),
        helper.make_node("Relu", ["flatness"], ["flat"]),
        helper.make_node("Mul", ["flat", "hundred"], ["silent"]),
        helper.make_node("Sub", ["silent", "near"], ["blank_score"]),
        helper.make_node("Mul", ["blank_score", "blank"], ["blank_scores"]),
        helper.make_node("Add", ["token_scores", "blank_scores"], ["encoder_out"]),
        helper.make_node("Identity", ["h"], ["new_h"]),
        helper.make_node("Identity", ["c"], ["new_c"]),
    ]
    numbers = {"peak": PEAK, "near": NEAR, "hundred": 100.0}
    constants = {name: np.array([value], np.float32) for name, value in numbers.items()}
    constants |= {"shape": np.array([0, step_frames // 4, 4, 80]), "places": places, "blank": blank, "tones": tones}
    state = [1, "N", 1]
    inputs = [("x", ["N", step_frames, 80]), ("h", state), ("c", state)]
    outputs = [("encoder_out", ["N", step_frames // 4, size]), ("new_h", state), ("new_c", state)]
    metadata = {"model_type": "lstm", "num_encoder_layers": 1, "T": step_frames, "decode_chunk_len": step_frames}
    return _model(nodes, inputs, outputs, constants, metadata | {"rnn_hidden_size": 1, "d_model": 1})


def _decoder() -> onnx.ModelProto:
    size = len(TOKENS)
    taken = -100 * np.eye(size, dtype=np.float32)
    taken[0] = 0
    nodes = [
        helper.make_node("Gather", ["y", "last"], ["token"], axis=1),
        helper.make_node("Gather", ["taken", "token"], ["decoder_out"]),
    ]
    constants = {"last": np.array(1), "taken": taken}
    inputs, outputs = [("y", ["N", 2])], [("decoder_out", ["N", size])]
    return _model(nodes, inputs, outputs, constants, {"vocab_size": size, "context_size": 2}, TensorProto.INT64)


def _joiner() -> onnx.ModelProto:
    shape = ["N", len(TOKENS)]
    nodes = [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])]
    return _model(
        nodes, [("encoder_out", shape), ("decoder_out", shape)], [("logit", shape)], {}, {"joiner_dim": len(TOKENS)}
    )


def _model(
    nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray], metadata: dict, kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """Of these parts; `inputs` and `outputs` are names and shapes."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    return model


def described(metadata: dict[str, object]) -> bytes:
    """An ONNX file that does nothing, and tells this of itself."""
    identity = helper.make_node("Identity", ["x"], ["y"])
    return _model([identity], [("x", [1])], [("y", [1])], {}, metadata).SerializeToString()
