"""Each profile is loaded, understood, and talked to: its own parts, tiny models in place of the large ones."""

import asyncio
import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from benchmarks.serving import RECORDINGS
from tests.engines.upstream_server import upstream_thread, well
from tests.serving import receive, send, serving
from vivavoce import registry
from vivavoce.cli import main
from vivavoce.client.recording import read_recording
from vivavoce.server import catalogue
from vivavoce.settings import Settings, load, profiles

pytestmark = pytest.mark.timeout(300)  # A tiny model in PyTorch takes its time, too.


class Tiny(Struct):
    """Options that put something tiny in the place of a part's weights; for ears, what they hear and as which words."""

    options: dict[str, Any]
    speech: bytes = b""
    words: str = ""


def _whisper(folder: Path) -> Tiny:
    from tests.engines.tiny_models.whisper import make_whisper, speech

    options = {"model": str(make_whisper(folder / "whisper")), "device": "cpu", "compute_type": "auto"}
    return Tiny(options, speech("two green fish"), "two green fish")


def _sherpa(folder: Path) -> Tiny:
    from tests.engines.tiny_models.sherpa import make_sherpa, speech

    return Tiny({"model": str(make_sherpa(folder / "sherpa"))}, speech("two apple please"), "two apple please")


def _kokoro(folder: Path) -> Tiny:
    from tests.engines.tiny_models.kokoro import write_kokoro

    return Tiny({"model": str(write_kokoro(folder / "kokoro"))})


def _pocketsphinx(folder: Path) -> Tiny:
    """It brings its own model: a recorded voice."""
    recording = read_recording(str(RECORDINGS / "goforward.wav"))
    return Tiny({}, recording.samples.astype("<i2").tobytes(), "go forward ten meters")


def _qwen_omni(folder: Path) -> Tiny:
    from tests.engines.tiny_models import qwen25_omni

    always_the_same = {"temperature": 0, "greedy_speech": True}
    return Tiny({"model": str(qwen25_omni.folder()), "device": "cpu", "threads": 1, **always_the_same})


TINY: dict[str, Callable[[Path], Tiny]] = {
    "qwen_omni": _qwen_omni,
    "pocketsphinx": _pocketsphinx,
    "faster_whisper": _whisper,
    "sherpa_onnx": _sherpa,
    "kokoro": _kokoro,
}


@pytest.fixture
def chat_server() -> Iterator[str]:
    with upstream_thread(well) as server:
        yield server.url


def settings_of(name: str, **flags: Any) -> Settings:
    return load(None, None, {"profile": name, **flags})


def used(settings: Settings) -> dict[str, str]:
    """Names by group."""
    return {group: name for group, name, _ in catalogue.used(settings)}


@pytest.mark.parametrize("name", profiles())
def test_every_name_and_option_in_it_is_known(name: str) -> None:
    settings = settings_of(name)
    for group, part, options in catalogue.used(settings):
        registry.find(group, part)(options)
    tables = settings.engines.get(settings.engine, {})
    assert {part for part, table in tables.items() if isinstance(table, dict)} <= set(used(settings).values())


def test_the_help_and_the_settings_name_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    reference = (Path(__file__).parents[1] / "docs" / "reference" / "settings.md").read_text()
    assert all(f"{name}, " in shown and f"`{name}`, " in reference for name in profiles())


@pytest.mark.parametrize("name", profiles())
def test_its_weights_are_ones_that_we_know(name: str) -> None:
    known = {model.name for part in catalogue.parts(Settings()) for model in part.models}
    assert catalogue.needed(settings_of(name)).keys() <= known


@pytest.mark.parametrize(("name", "file"), profiles().items())
def test_its_head_says_what_it_is_for_and_how_to_install_it(name: str, file: Path) -> None:
    about, install, *_ = file.read_text().splitlines()
    assert re.fullmatch(r"# [A-Z].+\.", about)
    needed = {
        extra
        for group, part in used(settings_of(name)).items()
        for entry in registry.entries(group)
        if entry.name == part
        for extra in entry.extras
    }
    found = re.fullmatch(r"# pip install 'vivavoce\[(.+)\]'", install)
    assert found is not None
    assert set(found[1].split(",")) == needed


@pytest.mark.parametrize("name", profiles())
def test_it_hears_thinks_and_speaks(name: str, tmp_path: Path, chat_server: str) -> None:
    parts = used(settings_of(name))
    tiny = {part: TINY[part](tmp_path) for part in parts.values() if part in TINY}
    tables = {part: stand_in.options for part, stand_in in tiny.items()}
    if parts.get(registry.CHAT_MODELS) in ("ollama", "vllm"):
        tables[parts[registry.CHAT_MODELS]] = {"base_url": chat_server, "model": "tiny"}
    main = parts[registry.ENGINES]
    flags = {
        f"engines.{main}.{key}" if part == main else f"engines.{main}.{part}.{key}": value
        for part, table in tables.items()
        for key, value in table.items()
    }
    ears = tiny[parts[registry.TRANSCRIBERS]]
    heard, sound = asyncio.run(conversation(settings_of(name, **flags), ears.speech))
    assert heard == ears.words
    assert any(sound)


async def conversation(settings: Settings, said: bytes) -> tuple[str, bytes]:
    """Say something to the server; what it heard, and its spoken answer."""
    heard, sound = "", b""
    async with serving(**msgspec.structs.asdict(settings)) as served, served.connect() as client:
        audio = {"input": {"turn_detection": None, "transcription": {"model": "any"}}}
        await send(client, "session.update", session={"type": "realtime", "audio": audio})
        await send(client, "input_audio_buffer.append", audio=base64.b64encode(said).decode())
        await send(client, "input_audio_buffer.commit")
        await send(client, "response.create")
        while True:
            event = await receive(client)
            match event["type"]:
                case "conversation.item.input_audio_transcription.completed":
                    heard = event["transcript"]
                case "response.output_audio.delta":
                    sound += base64.b64decode(event["delta"])
                case "response.done":
                    assert event["response"]["status"] == "completed", event["response"]["status_details"]
                    return heard, sound
