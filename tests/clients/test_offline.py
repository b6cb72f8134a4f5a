"""One conversation with the engines that `make run` starts: recognition, the offline assistant, a voice."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI

from tests.clients.recordings import microphone, recording
from tests.clients.serving import API_KEY, serving
from tests.clients.wire import Wire, WireLoop

WEATHER_TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def wire(tmp_path_factory: pytest.TempPathFactory, wire_loop: WireLoop) -> Iterator[Wire]:
    """A wire to a server whose engine is the offline cascade."""
    folder = tmp_path_factory.mktemp("offline")
    with serving(folder, "--engine", "cascade") as address, wire_loop.wire(address, "ga") as wire:
        yield wire


async def until(server: Any, type: str) -> list[Any]:
    """The events up to one of this type."""
    events: list[Any] = []
    while not events or events[-1].type != type:
        events.append(await server.recv())
    return events


async def spoken_turn(server: Any) -> None:
    answered = asyncio.Event()

    async def speak() -> None:
        async for chunk in microphone(recording("goforward"), answered.is_set, times_real=4):
            await server.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())

    speaking = asyncio.create_task(speak())
    events = await until(server, "response.done")
    answered.set()
    await speaking
    heard = [event.transcript for event in events if event.type == "conversation.item.input_audio_transcription.completed"]
    assert "forward" in heard[0].lower()
    assert events[-1].response.output[0].content[0].transcript
    pcm = b"".join(base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta")
    assert np.abs(np.frombuffer(pcm, np.int16).astype(int)).max() > 1000


async def tool_turn(server: Any) -> None:
    text = {"type": "input_text", "text": "What is the weather in Oslo?"}
    await server.conversation.item.create(item={"type": "message", "role": "user", "content": [text]})
    await server.response.create()
    (call,) = (await until(server, "response.done"))[-1].response.output
    assert call.name == "get_weather"
    assert "Oslo" in call.arguments
    output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "sunny", "celsius": 21}'}
    await server.conversation.item.create(item=output)
    await server.response.create()
    assert "sunny" in (await until(server, "response.done"))[-1].response.output[0].content[0].transcript


def test_a_spoken_turn_and_a_tool(wire: Wire) -> None:
    async def scene() -> None:
        client = AsyncOpenAI(base_url=wire.url, api_key=API_KEY)
        async with asyncio.timeout(60), client, client.realtime.connect(model="gpt-realtime") as server:
            audio = {"input": {"transcription": {"model": "whisper-1"}}}
            await server.session.update(session={"type": "realtime", "tools": [WEATHER_TOOL], "audio": audio})
            await spoken_turn(server)
            await tool_turn(server)

    asyncio.run(scene())
