"""Kokoro: what can be loaded, and the line that says what is wrong where it cannot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines.test_kokoro import folder, pcm_of, phonemes, spoken
from tests.engines.tiny_models.kokoro import LOUDNESS, heard, loudness_of, write_kokoro
from vivavoce.engines.kokoro import Kokoro
from vivavoce.engines.parts import Utterance
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import SYNTHESIZERS, entries

__all__ = ["folder"]


def test_voices_may_lie_loose(tmp_path: Path) -> None:
    """As in onnx-community/Kokoro-82M-v1.0-ONNX."""
    write_kokoro(tmp_path, file="onnx/model_quantized.onnx", tokens="input_ids", loose_voices=True)
    pcm = pcm_of(spoken(tmp_path, Utterance(text="Hello.", voice="echo")))
    assert heard(pcm) == [phonemes("Hello.")]
    assert loudness_of(pcm) == pytest.approx(LOUDNESS["am_echo"], abs=0.002)


def test_of_several_models_one_is_named(tmp_path: Path) -> None:
    write_kokoro(tmp_path)
    write_kokoro(tmp_path, file="onnx/other.onnx", tokens="input_ids")
    with pytest.raises(EngineError, match=r"kokoro-v1.0.onnx, onnx/other.onnx.*Choose one with engines.cascade.kokoro.file"):
        spoken(tmp_path, Utterance(text="Hello."))
    assert heard(pcm_of(spoken(tmp_path, Utterance(text="Hello."), file="onnx/other.onnx"))) == [phonemes("Hello.")]


def _without_model(folder: Path) -> None:
    (folder / "kokoro-v1.0.onnx").unlink()


def _broken(folder: Path) -> None:
    (folder / "kokoro-v1.0.onnx").write_bytes(b"not a model")


def _other_network(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Abs", ["sound"], ["out"])], "other", [value], [out])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "kokoro-v1.0.onnx"
    )


def _without_voices(folder: Path) -> None:
    (folder / "voices-v1.0.bin").unlink()


def _broken_voices(folder: Path) -> None:
    (folder / "voices-v1.0.bin").write_bytes(b"no archive")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (_without_model, r"Kokoro: the folder .* holds no \*\.onnx or onnx/\*\.onnx"),
        (_broken, r"Kokoro: .*kokoro-v1.0.onnx is no Kokoro model for kokoro-onnx: "),
        (_other_network, r"is no Kokoro model for kokoro-onnx: its inputs are sound\.$"),
        (_without_voices, r"holds no voices: neither voices-v1.0.bin nor voices/NAME.bin\.$"),
        (_broken_voices, r"the voices in .* cannot be read"),
    ],
)
def test_a_folder_that_is_no_model(tmp_path: Path, spoil: Callable[[Path], None], line: str) -> None:
    spoil(write_kokoro(tmp_path))
    with pytest.raises(EngineError, match=line) as caught:
        spoken(tmp_path, Utterance(text="Hello."))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"voice": "nobody"}, r"engines.cascade.kokoro.voice: no voice 'nobody'. There are: af_alloy, "),
        ({"voice": "jf_alpha"}, r"kokoro.voice: no voice 'jf_alpha'"),
        ({"voices": {"alloy": "xx"}}, r"kokoro.voices.alloy: no voice 'xx'"),
        ({"whisper_voice": "xx"}, r"kokoro.whisper_voice: no voice 'xx'"),
        ({"language": "english"}, r"kokoro.language: espeak-ng has no 'english'\. Try 'en-gb'"),
        ({"at_once": 0}, r"at_once is 1 or more"),
        ({"pitch": 2}, r"unknown option 'pitch'"),
    ],
)
def test_settings_that_cannot_work(folder: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError, match=line):
        spoken(folder, Utterance(text="Hello."), **options)


def test_without_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kokoro_onnx", None)
    with pytest.raises(EngineError, match=r"Run: pip install 'vivavoce\[kokoro\]'$"):
        spoken(folder, Utterance(text="Hello."))


def test_before_it_is_started() -> None:
    async def scene() -> None:
        await anext(Kokoro({}).speak(Utterance(text="Hello.")))

    with pytest.raises(EngineError, match="not started"):
        asyncio.run(scene())


def test_it_can_be_found_and_its_weights_are_told() -> None:
    assert "kokoro" in [entry.name for entry in entries(SYNTHESIZERS)]
    for weights in Kokoro.weights.values():
        assert weights.licence == "Apache-2.0"
        assert 50e6 < weights.size_bytes < 500e6
        assert any(pattern.endswith(".onnx") for pattern in weights.files)
