"""Pocket TTS: what can be loaded, and the line that says what is wrong where it cannot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.engines.speeches import collected
from tests.engines.test_pocket_tts import folder, frames_of
from vivavoce.engines.kokoro_voices import API_VOICES as KOKORO_VOICES
from vivavoce.engines.parts import Utterance
from vivavoce.engines.pocket_tts import PocketTTS
from vivavoce.engines.pocket_tts_model import PocketModel
from vivavoce.engines.pocket_tts_voices import API_VOICES
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import SYNTHESIZERS, entries

__all__ = ["folder"]


def test_the_hubs_layout(folder: Path, tmp_path: Path, runner: asyncio.Runner) -> None:
    """`languages/NAME`, the tokenizer in another language's folder, and nothing reaches out."""
    root = tmp_path / "languages" / "french"
    (root / "embeddings").mkdir(parents=True)
    (tmp_path / "languages" / "tiny").mkdir()
    for name in ("config.yaml", "model.safetensors", "embeddings/jane.safetensors"):
        (root / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "languages" / "tiny" / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())

    async def scene() -> tuple[str, ...]:
        part = PocketTTS({"model": str(tmp_path), "language": "french"})
        await part.start()
        await collected(part.speak(Utterance(text="Bonjour.")))
        await part.close()
        return part.voices

    assert runner.run(scene()) == ("alloy", "jane")


def test_the_packages_own_configuration_is_made_local(tmp_path: Path) -> None:
    """English as it is published: every file is looked for in the folder, and the first that is missing is named."""
    root = tmp_path / "languages" / "english"
    root.mkdir(parents=True)
    with pytest.raises(EngineError, match=r"Pocket TTS: .*english lacks model.safetensors, which its configuration names"):
        PocketModel(tmp_path, "english", quantize=False)
    (root / "model.safetensors").write_bytes(b"")
    with pytest.raises(EngineError, match=r"lacks tokenizer.json"):
        PocketModel(tmp_path, "english", quantize=False)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning", "ignore::DeprecationWarning")
def test_weights_of_8_bits(folder: Path) -> None:
    """The same text sounds nearly the same."""
    exact, small = (
        PocketModel(folder, "english", quantize=quantize).begin("Hello there.", "jane") for quantize in (False, True)
    )
    ours, theirs = np.concatenate(frames_of(exact)), np.concatenate(frames_of(small))
    assert len(ours) == len(theirs)
    assert not np.array_equal(ours, theirs)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _broken_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a model")


def _other_weights(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["flow_lm"]["transformer"]["num_layers"] = 3
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def _no_configuration(folder: Path) -> None:
    (folder / "config.yaml").write_text("- nothing\n")


def _without_voices(folder: Path) -> None:
    for path in (folder / "embeddings").iterdir():
        path.unlink()


def _broken_voice(folder: Path) -> None:
    (folder / "embeddings" / "alba.safetensors").write_bytes(b"no voice")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (_without_weights, r"lacks model.safetensors"),
        (_broken_weights, r"what is in .* cannot be loaded: "),
        (_other_weights, r"what is in .* cannot be loaded: "),
        (_no_configuration, r"config.yaml is no configuration\.$"),
        (_without_voices, r"holds no voices: embeddings/NAME.safetensors, as `pocket-tts export-voice` writes them\.$"),
        (_broken_voice, r"alba.safetensors holds no voice: "),
    ],
)
def test_a_folder_that_is_no_model(
    folder: Path, tmp_path: Path, runner: asyncio.Runner, spoil: Callable[[Path], None], line: str
) -> None:
    (tmp_path / "embeddings").mkdir()
    for path in folder.rglob("*.*"):
        (tmp_path / path.relative_to(folder)).write_bytes(path.read_bytes())
    spoil(tmp_path)

    async def scene() -> None:
        part = PocketTTS({"model": str(tmp_path)})
        try:
            await part.start()
        finally:
            await part.close()

    with pytest.raises(EngineError, match=line) as caught:
        runner.run(scene())
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"voice": "nobody"}, SettingsError, r"pocket_tts.voice: no voice 'nobody'. There are: alba, george, jane\."),
        ({"voices": {"alloy": "xx"}}, SettingsError, r"pocket_tts.voices.alloy: no voice 'xx'"),
        ({"at_once": 0}, SettingsError, r"at_once is 1 or more"),
        ({"temperature": 2}, SettingsError, r"unknown option 'temperature'"),
    ],
)
def test_settings_that_cannot_work(
    folder: Path, runner: asyncio.Runner, options: dict[str, Any], error: type[Exception], line: str
) -> None:
    async def scene() -> None:
        part = PocketTTS({"model": str(folder), **options})
        try:
            await part.start()
        finally:
            await part.close()

    with pytest.raises(error, match=line):
        runner.run(scene())


def test_a_language_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"knows no language 'latin'. There are: dutch, .*spanish"):
        PocketModel(tmp_path, "latin", quantize=False)


def test_without_the_package(folder: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocket_tts", None)
    with pytest.raises(EngineError, match=r"Run: pip install 'vivavoce\[pocket-tts\]'$"):
        runner.run(PocketTTS({"model": str(folder)}).start())


def test_before_it_is_started(runner: asyncio.Runner) -> None:
    with pytest.raises(EngineError, match="not started"):
        runner.run(collected(PocketTTS({}).speak(Utterance(text="Hello."))))


def test_it_can_be_found_and_its_weights_are_told() -> None:
    import pocket_tts

    assert "pocket_tts" in [entry.name for entry in entries(SYNTHESIZERS)]
    for name, weights in PocketTTS.weights.items():
        language = name.removeprefix("pocket-tts-")
        text = (Path(pocket_tts.__file__).parent / "config" / f"{language}.yaml").read_text(encoding="utf-8")
        config = yaml.safe_load(text)
        assert weights.licence == "CC-BY-4.0"
        for wanted in (config["weights_path_without_voice_cloning"], config["flow_lm"]["lookup_table"]["tokenizer_path"]):
            repository, _, file = wanted.removeprefix("hf://").partition("@")[0].partition("/languages/")
            assert repository == weights.repository
            assert f"languages/{file}" in weights.files


def test_the_page_shows_the_voices() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "voices.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | `{voice}` | `{API_VOICES[name]}` |" for name, voice in KOKORO_VOICES.items()]
    assert "\n".join(["| voice | kokoro | pocket_tts |", "|---|---|---|", *rows, ""]) in page
    assert set(KOKORO_VOICES) == set(API_VOICES)
