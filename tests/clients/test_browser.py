"""What a web page sends to open a WebSocket: an origin, subprotocols, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openai import OpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.clients.script import GREETING
from tests.clients.serving import API_KEY
from tests.clients.wire import Wire

KEY = "openai-insecure-api-key."
PAGE = "https://app.example.com"


def open_page(wire: Wire, *subprotocols: str) -> Any:
    return connect(f"{wire.ws_url}?model=gpt-realtime", subprotocols=list(subprotocols), origin=PAGE)


async def hello(socket: Any) -> dict[str, Any]:
    """Say hello; the response when it is done."""
    content = [{"type": "input_text", "text": "Hello!"}]
    item = {"type": "message", "role": "user", "content": content}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create"}))
    async for frame in socket:
        event = json.loads(frame)
        if event["type"] == "response.done":
            return event["response"]
    raise AssertionError("the server hung up")


def transcript(response: dict[str, Any]) -> str:
    return response["output"][0]["content"][0]["transcript"]


def test_a_client_secret_in_a_subprotocol(wire: Wire) -> None:
    with OpenAI(base_url=wire.url, api_key=API_KEY) as owner:
        secret = owner.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Be brief."}).value

    async def scene() -> None:
        async with open_page(wire, "realtime", KEY + secret) as socket:
            assert socket.subprotocol == "realtime"
            assert transcript(await hello(socket)) == GREETING
            assert wire.connections[0].events[0]["session"]["instructions"] == "Be brief."

    asyncio.run(scene())


def test_the_beta_in_a_subprotocol(beta_wire: Wire) -> None:
    async def scene() -> None:
        async with open_page(beta_wire, "realtime", KEY + API_KEY, "openai-beta.realtime-v1") as socket:
            assert socket.subprotocol == "realtime"
            assert transcript(await hello(socket)) == GREETING

    asyncio.run(scene())


@pytest.mark.parametrize("credential", [KEY + "sk-wrong", KEY + "ek_wrong", "something-else"])
def test_without_a_good_credential_the_door_stays_shut(wire: Wire, credential: str) -> None:
    async def scene() -> None:
        with pytest.raises(InvalidStatus) as refusal:
            await open_page(wire, "realtime", credential)
        answer = refusal.value.response
        assert answer.status_code == 401
        assert json.loads(answer.body)["error"]["code"] == "invalid_api_key"

    asyncio.run(scene())
