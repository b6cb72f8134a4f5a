"""What sherpa_onnx makes of options, of a folder, and of a text that grows: no model runs here."""

import asyncio
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.engines.tiny_models.sherpa import described
from vivavoce.engines.onnx_metadata import read_metadata
from vivavoce.engines.settled_words import SettledWords
from vivavoce.engines.sherpa_model import KINDS, Kind, find_files
from vivavoce.engines.sherpa_onnx import SherpaOnnx
from vivavoce.protocol.errors import EngineError, SettingsError


@pytest.mark.parametrize("options", [{"modle": "en"}, {"decoding": "beam"}, {"threads": 0}, {"provider": "tpu"}])
def test_options_that_cannot_work(options: dict) -> None:
    with pytest.raises(SettingsError, match=rf"engines\.cascade\.sherpa_onnx.*{min(options)}"):
        SherpaOnnx(options)


def test_to_know_its_weights_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vivavoce.engines.sherpa_onnx import SherpaOnnx; assert SherpaOnnx.weights['en'].size_bytes;"
        "print(sorted({'sherpa_onnx', 'onnx', 'onnxruntime', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


# --- kinds of models ---


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_kind_is_known_by_its_files(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blk> 0\na 1\n")
    for role in kind.roles:
        metadata = dict.fromkeys(kind.metadata.get(role, ()), "45")
        for suffix in (".onnx", ".int8.onnx"):
            (tmp_path / f"{role}{suffix}").write_bytes(described(metadata))
    files = find_files(tmp_path, "It")
    assert files.kind is kind
    assert files.window_frames == (45 if kind.window else kind.window_frames)
    whole = {role: f"{role}.onnx" for role in kind.roles}
    small = {role: name if role == "decoder" else f"{role}.int8.onnx" for role, name in whole.items()}
    assert {role: path.name for role, path in files.models.items()} == small
    assert {role: path.name for role, path in find_files(tmp_path, "It", int8=False).models.items()} == whole


def test_only_some_kinds_search_by_beam(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blk> 0\na 1\n")
    metadata = dict.fromkeys(("window_size", "chunk_shift", "vocab_size", "cache_last_channel_dim1"), "1")
    (tmp_path / "model.onnx").write_bytes(described(metadata))
    with pytest.raises(EngineError, match="is a NeMo CTC, which has no beam search"):
        asyncio.run(SherpaOnnx({"model": str(tmp_path), "decoding": "modified_beam_search"}).start())


@pytest.mark.parametrize(
    ("symbols", "vocabulary", "unit"),
    [("▁A B", False, ""), ("▁A B", True, "bpe"), ("你 好", False, "cjkchar"), ("你 ▁A", True, "cjkchar+bpe")],
)
def test_what_hotwords_are_cut_into(tmp_path: Path, symbols: str, vocabulary: bool, unit: str) -> None:
    for role in KINDS[0].roles:
        (tmp_path / f"{role}.onnx").write_bytes(described(dict.fromkeys(KINDS[0].metadata.get(role, ()), "1")))
    (tmp_path / "tokens.txt").write_text("".join(f"{symbol} {n}\n" for n, symbol in enumerate(symbols.split())))
    if vocabulary:
        (tmp_path / "bpe.vocab").touch()
    assert find_files(tmp_path, "It").modeling_unit == unit


def test_metadata_without_the_model(tmp_path: Path) -> None:
    metadata = {"model_type": "zipformer2", "decode_chunk_len": "32", "comment": "größer" * 100, "empty": ""}
    path = tmp_path / "model.onnx"
    path.write_bytes(described(metadata))
    assert read_metadata(path) == metadata == {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    for data in (b"", b"\xff" * 20, b"\x3a\xff\xff\xff\x7f", b"RIFF" * 10):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"ONNX|breaks off|Protocol"):
            read_metadata(path)


# --- settled words ---


@pytest.mark.parametrize(
    ("agreeing", "guesses", "told", "final", "whole"),
    [
        # Greedy: each guess goes on where the last one stopped.
        (1, ["", "one", "one t", "one two", "one two three"], ["", "", "one", "", " two"], "one two three", "one two three"),
        (1, ["app", "apple", "apple pie"], ["", "", "apple"], "apple pie", "apple pie"),
        (1, ["你", "你好", "你好吗"], ["", "你", "好"], "你好吗", "你好吗"),
        (1, ["我用 App", "我用 Apple 的"], ["我用", " Apple"], "我用 Apple 的", "我用 Apple 的"),
        # Beam: what the last guesses agree on.
        (2, ["a b", "a b c", "a b c d"], ["", "a b", " c"], "a b c d", "a b c d"),
        (2, ["a b", "a c d", "a c d e"], ["", "a", " c d"], "a c d e", "a c d e"),
        (2, ["a bo", "a bot x", "a bot x"], ["", "a", " bot"], "a bot x", "a bot x"),
        (3, ["one two", "one two", "one two"], ["", "", "one"], "one two", "one two"),
        # A change of mind about what was told comes too late.
        (1, ["a b c"], ["a b"], "x y z w", "a b z w"),
        (1, ["a b c"], ["a b"], "a", "a b"),
        (1, ["a b c", "x"], ["a b", ""], "a b c", "a b c"),
        (1, [], [], "all at once", "all at once"),
    ],
)
def test_settled_words(agreeing: int, guesses: list[str], told: list[str], final: str, whole: str) -> None:
    words = SettledWords(agreeing)
    assert [words.take(guess) for guess in guesses] == told
    assert words.finish(final) == whole
    assert whole.startswith("".join(told))


def test_a_pause_settles_the_last_word() -> None:
    words = SettledWords(1)
    assert [words.take("stop"), words.take("stop", paused=True), words.take("stop", paused=True)] == ["", "stop", ""]
    assert [words.take("stop it"), words.take("stop it now")] == ["", " it"]
    assert words.finish("stop it now") == "stop it now"
