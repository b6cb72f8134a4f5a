"""What keeps Whisper from starting is one clear line."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faster_whisper.utils import _MODELS

from tests.engines.tiny_models.whisper import make_whisper
from vivavoce.engines.faster_whisper import FasterWhisper
from vivavoce.protocol.errors import EngineError, SettingsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper"))


def damaged(folder: Path, name: str, data: bytes | None) -> Path:
    """A copy of the model with one file missing or broken."""
    copy = folder.with_name(f"without-{name}-{data is None}")
    copy.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / name).unlink()
    if data is not None:
        (copy / name).write_bytes(data)
    return copy


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda folder: folder / "nowhere", "does not exist"),
        (lambda folder: damaged(folder, "model.bin", None), "is no Whisper model of CTranslate2: it has no model.bin"),
        (lambda folder: damaged(folder, "tokenizer.json", None), "it has no tokenizer.json"),
        (lambda folder: damaged(folder, "model.bin", b"no model"), "cannot use"),
        (lambda folder: damaged(folder, "tokenizer.json", b"{}"), "cannot use"),
    ],
)
def test_a_folder_that_is_no_model(folder: Path, model: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(EngineError, match=says) as raised:
        asyncio.run(FasterWhisper({"model": str(model(folder))}).start())
    assert "\n" not in raised.value.message
    assert raised.value.message.startswith("The transcriber 'faster_whisper'")


@pytest.mark.parametrize(
    "options", [{"modle": "small"}, {"device": "gpu"}, {"beam_size": 0}, {"compute_type": "int4"}, {"workers": 0}]
)
def test_options_that_cannot_work(options: dict) -> None:
    with pytest.raises(SettingsError, match=rf"engines\.cascade\.faster_whisper.*{min(options)}"):
        FasterWhisper(options)


def test_a_language_that_it_does_not_know(folder: Path) -> None:
    with pytest.raises(SettingsError, match="language: the model knows no 'de'"):
        asyncio.run(FasterWhisper({"model": str(folder), "language": "de"}).start())


def test_without_the_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'vivavoce\[faster-whisper\]'"):
        asyncio.run(FasterWhisper({"model": str(folder)}).start())


def test_to_know_its_weights_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vivavoce.engines.faster_whisper import FasterWhisper; assert FasterWhisper.weights['small'];"
        "print(sorted({'faster_whisper', 'ctranslate2', 'av', 'onnxruntime', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_names_mean_what_the_library_means_by_them() -> None:
    assert {name: weights.repository for name, weights in FasterWhisper.weights.items()}.items() <= _MODELS.items()
