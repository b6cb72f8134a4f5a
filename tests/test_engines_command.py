"""`vivavoce engines` and `vivavoce fetch`: what there is, what it needs, what mends it."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.hub_server import Hub, running_hub
from vivavoce import registry
from vivavoce.cli import main
from vivavoce.engines import weights
from vivavoce.server import catalogue
from vivavoce.settings import Settings

KAZOO = """
from vivavoce.engines.weights import Weights
from msgspec import Struct

class Options(Struct):
    model: str = "small"

class Kazoo:
    weights = {
        "large": Weights(repository="house/orchestra", size_bytes=2_400_000_000, licence="MIT"),
        "small": Weights(repository="house/voice", files=("*.json", "*.onnx"), size_bytes=12_800_000, licence="CC-BY-4.0"),
    }

    def __init__(self, options):
        pass
"""
NEEDED = (
    "torch",
    "onnxruntime",
    "ctranslate2",
    "transformers",
    "sherpa_onnx",
    "faster_whisper",
    "kokoro_onnx",
    "pocket_tts",
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with a synthesizer `kazoo`, and weights in a folder of the test's."""
    folder = tmp_path / "site"
    (folder / "kazoo-1.0.dist-info").mkdir(parents=True)
    (folder / "kazoo.py").write_text(KAZOO)
    needs = "Requires-Dist: Deep_Thought; extra == 'reed'\n"
    (folder / "kazoo-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kazoo\nVersion: 1.0\n{needs}")
    points = "[vivavoce.synthesizers]\nkazoo = kazoo:Kazoo [reed]\nsilent = kazoo:Silent\n"
    (folder / "kazoo-1.0.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("VIVAVOCE_WEIGHTS_FOLDER", str(tmp_path / "kept"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield folder
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.modules.pop("kazoo", None)
    weights.configure()


@pytest.fixture
def hub(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def complaint(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main([*arguments]) == code
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("vivavoce: ")
    return line.removeprefix("vivavoce: ")


def test_the_list_says_what_weights_need_and_what_is_missing(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "engines").splitlines()
    at = lines.index("  kazoo                 from kazoo")
    assert lines[at + 1] == "                        not installed: pip install 'kazoo[reed]'"
    assert lines[at + 2] == "                        weights: small, 13 MB, CC-BY-4.0, not here yet"
    assert "  silent                from kazoo" in lines
    broken = "broken: The synthesizer 'silent': the module kazoo has no 'Silent'."
    assert f"                        {broken}" in lines
    assert all(len(line) <= 100 for line in lines)


def test_the_list_marks_what_the_settings_use(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "engines", "--set", "engines.cascade.synthesizer=kazoo").splitlines()
    assert "* kazoo                 from kazoo" in lines
    assert any(line.startswith("  espeak ") for line in lines)


def test_all_about_one(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "engines", "kazoo").splitlines() == [
        "kazoo (synthesizer, from kazoo)",
        "not installed: pip install 'kazoo[reed]'",
        "",
        "  model  size    licence    where",
        "  large  2.4 GB  MIT        house/orchestra, not here yet",
        "* small  13 MB   CC-BY-4.0  house/voice, not here yet",
    ]
    assert complaint(capsys, 2, "engines", "oboe") == "No engine or part named 'oboe'. `vivavoce engines` lists them."


def test_the_list_for_programs(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(capsys, "engines", "--json", "--set", "engines.cascade.kazoo.model=house/other"))
    assert listed["weights_folder"] == str(tmp_path / "kept")
    [kazoo] = [part for part in listed["parts"] if part["name"] == "kazoo"]
    assert kazoo["missing"] == ["Deep_Thought"]
    assert [(model["name"], model["chosen"], model["folder"]) for model in kazoo["models"]] == [
        ("house/other", True, None),
        ("large", False, None),
        ("small", False, None),
    ]
    assert {profile["name"] for profile in listed["profiles"]} >= {"offline"}


def test_every_part_of_ours_is_described() -> None:
    ours = {(group, e.name) for group in registry.GROUPS for e in registry.entries(group) if e.package == "vivavoce"}
    assert ours <= catalogue.about().keys()
    assert all(len(row.gives) <= 76 for row in catalogue.about().values())


def test_those_of_ours_that_have_weights_are_known() -> None:
    rows = catalogue.about()
    for group, name in rows.keys() - {(catalogue.FRONT_END, "webrtc")}:
        assert rows[group, name].weights == hasattr(registry.find(group, name), "weights"), name


def test_to_list_loads_nothing_heavy() -> None:
    program = f"import sys; from vivavoce.cli import main; main(['engines']); assert not set({NEEDED}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


# --- fetching ---


def test_fetched_by_the_name_of_a_part_it_is_on_this_machine(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    [model, _, folder] = printed(capsys, "fetch", "kazoo").partition(": ")
    assert model == "small"
    assert Path(folder.strip(), "model.onnx").is_file()
    assert hub.fetched == ["config.json", "model.onnx"]
    assert "weights: small, 13 MB, CC-BY-4.0, on this machine" in printed(capsys, "engines")


@pytest.mark.parametrize("name", ["small", "house/voice", "house/voice@v2"])
def test_fetched_by_the_name_of_a_model_or_its_repository(name: str, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "fetch", name)
    assert hub.fetched == ["config.json", "model.onnx"]


def test_without_a_name_what_the_settings_need(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "fetch") == "These settings need no weights.\n"
    profile = tmp_path / "house.toml"
    profile.write_text("[engines.cascade]\nsynthesizer = 'kazoo'\n")
    assert printed(capsys, "fetch", "--profile", str(profile)).startswith("small: ")
    (tmp_path / "own").mkdir()
    own = f"engines.cascade.kazoo.model={tmp_path / 'own'}"
    assert printed(capsys, "fetch", "--profile", str(profile), "--set", own) == "These settings need no weights.\n"


def test_what_cannot_be_fetched_is_one_line(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, 2, "fetch", "oboe").startswith("Nothing to fetch is called 'oboe'. Parts: ")
    assert complaint(capsys, 1, "fetch", "large").startswith(f"large: {hub.url} has no repository house/orchestra")


def test_the_hubs_own_variable_forbids_to_fetch(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    line = "small: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set: nothing can be fetched."
    assert complaint(capsys, 1, "fetch", "kazoo") == line
    assert hub.requests == []


def test_what_settings_need() -> None:
    assert catalogue.needed(Settings(engine="echo")) == {}
