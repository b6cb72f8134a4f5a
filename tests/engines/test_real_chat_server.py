"""Chat completions against a server that is not ours: `transformers serve`, with a tiny Llama of random weights."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from tests.engines.probe import in_use
from tests.serving import receive, send, serving, until
from vivavoce.engine_api import Generate
from vivavoce.engines.openai_chat import OpenAIChat
from vivavoce.engines.parts import ChatDone, ChatEvent, TextDelta
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import FunctionTool, InputTextPart, Item, Message, OutputTextPart

pytest.importorskip("transformers")
pytestmark = pytest.mark.timeout(300)  # It imports PyTorch twice before it answers.

START_SECONDS = 200
SHORT = 12
"""Tokens."""
CLOCK = FunctionTool(name="get_time", description="What time it is", parameters={"type": "object", "properties": {}})


class RealServer(Struct):
    url: str
    model: str

    def answer(self, messages: list[dict[str, str]], **fields: Any) -> dict[str, Any]:
        """What it says to a client that we did not write, all at once."""
        body = {"model": self.model, "messages": messages, "max_tokens": SHORT, **fields}
        response = httpx2.post(f"{self.url}/chat/completions", json=body, timeout=60)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    from tests.engines.tiny_models.llama import write_llama

    folder = tmp_path_factory.mktemp("chat")
    model = write_llama(folder / "llama")
    (folder / "cache").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model), "--port", str(port)]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], env=os.environ | quiet, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield RealServer(f"http://127.0.0.1:{port}/v1", str(model))
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"transformers serve did not start:\n{log.read_text()[-3000:]}")


def user(text: str) -> Message:
    return Message(role="user", content=(InputTextPart(text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(OutputTextPart(text),))


def part_at(real: RealServer, **options: Any) -> AbstractAsyncContextManager[OpenAIChat]:
    return in_use(OpenAIChat({"base_url": real.url, "model": real.model, **options}))


def reply(real: RealServer, *items: Item, **fields: Any) -> list[ChatEvent]:
    async def scene() -> list[ChatEvent]:
        request = Generate(response_id="resp_1", items=items, **{"max_output_tokens": SHORT, **fields})
        async with part_at(real) as part:
            return await collected(part.reply(request))

    return asyncio.run(scene())


async def collected(events: AsyncIterator[ChatEvent]) -> list[ChatEvent]:
    return [event async for event in events]


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def done(events: list[ChatEvent]) -> ChatDone:
    assert isinstance(events[-1], ChatDone)
    return events[-1]


# --- the part ---


def test_its_words_come_one_by_one_and_are_those_that_it_says_to_others(real: RealServer) -> None:
    events = reply(real, user("where is the cat"))
    expected = real.answer([{"role": "user", "content": "where is the cat"}])
    assert text_of(events).strip() == expected["choices"][0]["message"]["content"].strip()
    assert len(events) > SHORT // 2
    usage = done(events).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (expected["usage"]["prompt_tokens"], SHORT)
    assert done(events).reason == "max_output_tokens"


def test_it_is_told_the_whole_conversation(real: RealServer) -> None:
    said = ("where is the cat", "on the mat", "and the dog")
    events = reply(real, user(said[0]), assistant(said[1]), user(said[2]), instructions="sing")
    roles = ("system", "user", "assistant", "user")
    messages = [{"role": role, "content": text} for role, text in zip(roles, ("sing", *said), strict=True)]
    assert text_of(events).strip() == real.answer(messages)["choices"][0]["message"]["content"].strip()


def test_tools_are_accepted_and_told_to_the_model(real: RealServer) -> None:
    without = done(reply(real, user("what time is it")))
    offered = done(reply(real, user("what time is it"), tools=(CLOCK,), parallel_tool_calls=False))
    assert without.usage is not None
    assert offered.usage is not None
    assert offered.usage.input_tokens > without.usage.input_tokens + 20


def test_who_stops_listening_stops_the_server(real: RealServer) -> None:
    """It answers one request at a time: the second one waits while the first one is answered, for minutes if need be."""

    async def scene() -> None:
        async with part_at(real) as part:
            endless = part.reply(Generate(response_id="resp_1", items=(user("tell me of the sea"),)))
            await anext(endless)
            request = Generate(response_id="resp_2", items=(user("hello"),), max_output_tokens=SHORT)
            second = asyncio.ensure_future(collected(part.reply(request)))
            for _ in range(100):
                assert isinstance(await anext(endless), TextDelta)
            assert not second.done()
            await endless.aclose()
            assert done(await second).reason == "max_output_tokens"

    asyncio.run(scene())


def test_an_unknown_model_is_refused_in_its_own_words(real: RealServer) -> None:
    async def scene() -> None:
        async with part_at(real, model="house/nothing") as part:
            async for _ in part.reply(Generate(response_id="resp_1", items=(user("hello"),))):
                pass

    with pytest.raises(EngineError, match="house/nothing") as raised:
        asyncio.run(scene())
    assert raised.value.code == "upstream_rejected"


# --- in a session ---


def cascade(real: RealServer, **options: Any) -> dict[str, Any]:
    chat = {"base_url": real.url, "model": real.model, **options}
    return {"engine": "cascade", "engines": {"cascade": {"chat_model": "openai_chat", "openai_chat": chat}}}


async def ask(client: Any, text: str, **response: Any) -> None:
    content = [{"type": "input_text", "text": text}]
    await send(client, "conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await send(client, "response.create", response={"output_modalities": ["text"], **response})


def test_a_session_goes_on_after_an_answer_was_cancelled(real: RealServer) -> None:
    async def scene() -> None:
        async with serving(**cascade(real)) as served, served.connect() as client:
            await ask(client, "tell me of the sea")
            await until(client, "response.output_text.delta")
            await send(client, "response.cancel")
            assert (await until(client, "response.done"))["response"]["status"] == "cancelled"
            await ask(client, "hello", max_output_tokens=SHORT)
            spoken = await until(client, "response.output_text.done")
            assert spoken["text"]
            assert (await until(client, "response.done"))["response"]["status"] == "incomplete"

    asyncio.run(scene())


def test_a_session_lives_on_after_a_refusal(real: RealServer) -> None:
    async def scene() -> None:
        async with serving(**cascade(real, model="house/nothing")) as served, served.connect() as client:
            for _ in range(2):
                await ask(client, "hello")
                response = (await until(client, "response.done"))["response"]
                assert response["status"] == "failed"
                assert response["status_details"]["error"]["code"] == "upstream_rejected"
            await send(client, "session.update", session={"type": "realtime", "instructions": "still here"})
            while (event := await receive(client))["type"] != "session.updated":
                assert event["type"] != "error"

    asyncio.run(scene())
