"""The settings of `[turns]`, over a real server with Silero and recorded speech."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from benchmarks.serving import RECORDINGS
from tests.serving import Served, send, serving, until
from vivavoce.client.recording import read_recording
from vivavoce.engine_api import Capabilities, Generate
from vivavoce.engines.streaming import Output, StreamingEngine
from vivavoce.settings import Turns


class Parrot(StreamingEngine):
    """Says always the same, for three seconds, as soon as it is asked."""

    capabilities = Capabilities(drafts=True, listens=True)

    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        yield "Yes, I think so."
        yield bytes(3 * 48_000)


def speech() -> str:
    """A word, and a second of silence."""
    samples = read_recording(str(RECORDINGS / "hello-world.wav")).samples
    return base64.b64encode(np.concatenate([samples, np.zeros(24_000, np.int16)]).astype("<i2").tobytes()).decode()


async def _answered(served: Served) -> tuple[dict[str, Any], list[str]]:
    """The response to a turn, and the page of metrics after it."""
    async with served.connect() as client:
        await send(client, "input_audio_buffer.append", audio=speech())
        await until(client, "input_audio_buffer.speech_stopped")
        created = await until(client, "response.created")
        await until(client, "response.done")
    await served.sessions(0)
    page = (await served.request("GET", "/metrics")).body.decode()
    return created["response"], page.splitlines()


@pytest.mark.parametrize("drafts", [True, False])
def test_drafts_are_made_unless_they_are_turned_off(drafts: bool) -> None:
    async def main() -> None:
        async with serving(engine="tests.test_turn_settings:Parrot", turns=Turns(drafts=drafts)) as served:
            response, page = await _answered(served)
        assert response["id"].startswith("resp_draft_") == drafts
        assert ('vivavoce_drafts_total{outcome="kept"} 1.0' in page) == drafts
        assert ("vivavoce_draft_saved_seconds_count 1.0" in page) == drafts

    asyncio.run(main())


@pytest.mark.parametrize("confirm_ms", [0, 600])
def test_an_answer_is_paced_where_speech_has_to_prove_itself(confirm_ms: int) -> None:
    async def main() -> None:
        turns = Turns(confirm_barge_in_ms=confirm_ms)
        async with serving(engine="tests.test_turn_settings:Parrot", turns=turns) as served, served.connect() as client:
            await send(client, "response.create")
            first = await until(client, "response.output_audio.delta")
            assert len(base64.b64decode(first["delta"])) == (14_400 if confirm_ms else 144_000)
            second = await until(client, "response.output_audio.delta" if confirm_ms else "response.done")
            assert "delta" not in second or len(base64.b64decode(second["delta"])) % 4800 == 0

    asyncio.run(main())


@pytest.mark.parametrize("speaks", [True, False])
def test_a_late_output_is_spoken_if_it_shall_be(speaks: bool) -> None:
    async def main() -> None:
        turns = Turns(speak_late_outputs=speaks, confirm_barge_in_ms=600)
        async with serving(engine="tests.test_turn_settings:Parrot", turns=turns) as served, served.connect() as client:
            await send(client, "response.create")
            await until(client, "response.created")
            output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
            await send(client, "conversation.item.create", item=output)
            await send(client, "response.create")
            if speaks:
                await until(client, "response.done")
                await until(client, "response.created")
            else:
                error = await until(client, "error")
                assert error["error"]["code"] == "conversation_already_has_active_response"

    asyncio.run(main())
