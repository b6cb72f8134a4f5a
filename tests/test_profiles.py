"""Each profile is loaded, understood, and talked to: its own parts, tiny models in place of the large ones."""

import asyncio
import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engines.upstream_server import upstream_thread, well
from tests.serving import receive, send, serving
from vivavoce import registry
from vivavoce.server import catalogue
from vivavoce.settings import Settings, load, profiles

TINY: dict[str, Callable[[Path], dict[str, Any]]] = {}
"""Options that put something tiny in the place of a part's weights, or of the server behind it; by the part's name."""


def tiny(name: str) -> Callable[[Callable[[Path], dict[str, Any]]], Callable[[Path], dict[str, Any]]]:
    return lambda make: TINY.setdefault(name, make)


@tiny("faster_whisper")
def _whisper(folder: Path) -> dict[str, Any]:
    from tests.engines.tiny_models.whisper import make_whisper

    make_whisper(folder / "whisper")
    return {"model": str(folder / "whisper"), "device": "cpu", "compute_type": "auto"}


@tiny("kokoro")
def _kokoro(folder: Path) -> dict[str, Any]:
    from tests.engines.tiny_models.kokoro import write_kokoro

    return {"model": str(write_kokoro(folder / "kokoro"))}


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
    tables = settings.engines.get("cascade", {})
    assert {part for part, table in tables.items() if isinstance(table, dict)} <= set(used(settings).values())


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
    settings = settings_of(name)
    groups = used(settings)
    tables = {part: options for part in groups.values() if part in TINY and (options := TINY[part](tmp_path))}
    if groups.get(registry.CHAT_MODELS) in ("ollama", "vllm", "llamacpp"):
        tables[groups[registry.CHAT_MODELS]] = {"base_url": chat_server, "model": "tiny"}
    flags = {f"engines.cascade.{part}.{key}": value for part, table in tables.items() for key, value in table.items()}
    heard, sound = asyncio.run(conversation(settings_of(name, **flags)))
    if registry.TRANSCRIBERS in groups and groups[registry.TRANSCRIBERS] in TINY:
        assert heard == "two green fish"
    assert len(sound) > 2 * 24_000 // 4
    assert max(sound) > 0


async def conversation(settings: Settings) -> tuple[str, bytes]:
    """Say something to the server, by voice; what it heard, and its spoken answer."""
    from tests.engines.tiny_models.whisper import speech

    said = base64.b64encode(speech("two green fish")).decode()
    heard, sound = "", b""
    async with serving(**msgspec.structs.asdict(settings)) as served, served.connect() as client:
        audio = {"input": {"turn_detection": None, "transcription": {"model": "any"}}}
        await send(client, "session.update", session={"type": "realtime", "audio": audio})
        await send(client, "input_audio_buffer.append", audio=said)
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
