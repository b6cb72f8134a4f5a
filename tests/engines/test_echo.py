"""The echo: what went in comes out."""

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.engines.fake_clock import run_on_fake_clock
from tests.engines.probe import Answer, Probe, user_text, with_speech
from vivavoce.audio import to_pcm
from vivavoce.engine_api import Generate, GenerationDone, OutputAudio
from vivavoce.engines.echo import CHUNK_BYTES, NOTHING_HEARD, ONLY_AUDIO, SLICE_BYTES, Echo
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import PCMA, PCMU, InputAudioPart, Item, Message


def answer(*items: Item, options: dict[str, Any] | None = None, **fields: Any) -> Answer:
    async def scene() -> Answer:
        return await Probe(Echo(options)).answer(Generate(response_id="r", items=items, **fields))

    return run_on_fake_clock(scene())


def noise(n_bytes: int) -> bytes:
    return np.random.default_rng(1).integers(0, 256, n_bytes, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("n_bytes", [2, CHUNK_BYTES, SLICE_BYTES, 3 * SLICE_BYTES, 100_000])
def test_the_same_audio_comes_back(n_bytes: int) -> None:
    heard = noise(n_bytes)
    echo = answer(with_speech(heard))
    assert echo.pcm == heard
    assert echo.transcript == ""
    assert echo.end == GenerationDone("r")
    pieces = [len(event.pcm) for event in echo.events if isinstance(event, OutputAudio)]
    assert max(pieces) <= CHUNK_BYTES


@pytest.mark.parametrize("format", [PCMU, PCMA], ids=["mu-law", "a-law"])
@pytest.mark.parametrize("n_bytes", [1, SLICE_BYTES, 20_001])
def test_g711_comes_back_as_pcm(format: Any, n_bytes: int) -> None:
    heard = noise(n_bytes)
    item = Message(id="i", role="user", content=(InputAudioPart(heard, format=format),))
    assert answer(item).pcm == to_pcm(heard, format.type)


def test_half_a_sample_is_dropped() -> None:
    assert answer(with_speech(b"\1\2\3")).pcm == b"\1\2"


def test_the_newest_audio_is_played_whatever_was_written_since() -> None:
    old, new = with_speech(b"\1\1", "item_1"), with_speech(b"\2\2", "item_2")
    assert answer(old, new, user_text("hello?")).pcm == b"\2\2"


def test_where_there_is_no_audio_it_says_so_in_text() -> None:
    said = answer(user_text("hello?"))
    assert (said.text, said.pcm) == (NOTHING_HEARD, b"")


def test_where_text_is_wanted_it_says_that_it_has_none() -> None:
    said = answer(with_speech(b"\1\1"), modalities=("text",))
    assert (said.text, said.pcm) == (ONLY_AUDIO, b"")


def test_it_answers_after_its_delay() -> None:
    async def scene() -> float:
        await Probe(Echo({"delay_ms": 250})).answer(Generate(response_id="r", items=(with_speech(b"\1\1"),)))
        return asyncio.get_running_loop().time()

    assert run_on_fake_clock(scene()) == pytest.approx(0.25)


def test_unknown_options_are_named() -> None:
    with pytest.raises(SettingsError, match=r"engines\.echo: unknown option 'delay'"):
        Echo({"delay": 1})
