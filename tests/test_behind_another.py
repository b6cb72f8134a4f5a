"""Vivavoce behind Vivavoce, over the socket: a client, a server with the engine `realtime`, a server with a script."""

import asyncio
import json
import wave
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from tests.engines.realtime_upstream_server import Wire, wire
from tests.live import live
from tests.serving import Served, receive, send, serving, until
from vivavoce.engines.sine_voice import say

SCRIPT = {
    "turns": [
        {"when": "weather", "call": "get_weather", "arguments": {"city": "Paris"}},
        {"when_output": "sunny", "say": "It is {said}."},
        {"when": "recall", "say": "I said {so_far}"},
        {"when": "slowly", "say": "One two three four five six seven eight nine ten.", "pace": 4},
        {"when": "at length", "do": [{"say": "One two three four five six seven eight nine ten. " * 5}, {"hang": True}]},
        {"when": "hang", "do": [{"say": "I was about to"}, {"hang": True}]},
        {"say": "You said: {said}."},
    ],
    "transcripts": ["Speak at length.", "Now recall it all."],
}
MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None, "transcription": {"model": "any"}}}}
SPEECH = b"".join(word.pcm for word in say("good morning"))


@pytest.fixture(scope="module")
def inner() -> Iterator[str]:
    with live(engine="scripted", engines={"scripted": {"script": SCRIPT}}) as url:
        yield url


@asynccontextmanager
async def chain(inner: str, **options: Any) -> AsyncIterator[tuple[Served, Wire]]:
    """The outer server, and the wire between the two."""
    async with wire(inner) as between:
        settings = {"base_url": between.url, "model": "scripted", "transcription": "any", **options}
        async with serving(engine="realtime", engines={"realtime": settings}) as outer:
            yield outer, between


async def begin(client: ClientConnection, session: dict[str, Any] = MANUAL) -> None:
    await send(client, "session.update", session=session)
    await until(client, "session.updated")


async def say_in_text(client: ClientConnection, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    await send(client, "conversation.item.create", item={"type": "message", "role": "user", "content": content})


class Heard:
    """A response, as the client got it."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events
        self.response = events[-1]["response"]
        self.words = self._joined("response.output_audio_transcript.delta")
        self.text = self._joined("response.output_text.delta")
        self.pcm = b"".join(b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta")
        self.item_id = next((e["item"]["id"] for e in events if e["type"] == "response.output_item.added"), "")

    def _joined(self, kind: str) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == kind)


async def response(client: ClientConnection) -> Heard:
    events = [await receive(client)]
    while events[-1]["type"] != "response.done":
        events.append(await receive(client))
    return Heard(events)


async def ask(client: ClientConnection, text: str, **fields: Any) -> Heard:
    await say_in_text(client, text)
    await send(client, "response.create", response=fields)
    return await response(client)


async def speak(client: ClientConnection, audio: bytes) -> None:
    for start in range(0, len(audio), 4_800):
        delta = b64encode(audio[start : start + 4_800]).decode()
        await send(client, "input_audio_buffer.append", audio=delta)


def test_text_and_speech(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, between), outer.connect() as client:
            await begin(client)
            spoken = await ask(client, "hello")
            assert spoken.words == "You said: hello."
            assert spoken.pcm == b"".join(word.pcm for word in say("You said: hello.", "alloy"))
            assert spoken.response["status"] == "completed"
            assert spoken.response["usage"]["output_token_details"]["audio_tokens"] > 0
            written = await ask(client, "again", output_modalities=["text"])
            assert (written.text, written.pcm) == ("You said: again.", b"")
            assert between.connections == 1

    asyncio.run(main())


def test_a_spoken_turn_and_its_words(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, _), outer.connect() as client:
            await begin(client)
            await speak(client, SPEECH)
            await send(client, "input_audio_buffer.commit")
            kind = "conversation.item.input_audio_transcription"
            words = ""
            while (event := await receive(client))["type"] != f"{kind}.completed":
                words += event["delta"] if event["type"] == f"{kind}.delta" else ""
            assert words == event["transcript"] == "Speak at length."
            await send(client, "response.create")
            assert (await until(client, "response.output_audio_transcript.delta"))["delta"].startswith("One")

    asyncio.run(main())


def test_tools_go_there_and_back(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, _), outer.connect() as client:
            tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
            await begin(client, {**MANUAL, "tools": [tool]})
            called = await ask(client, "the weather?")
            [call] = called.response["output"]
            assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
            await send(client, "conversation.item.create", item=output)
            await send(client, "response.create")
            assert (await response(client)).words == "It is sunny."

    asyncio.run(main())


def test_what_the_client_truncates_is_forgotten_there_too(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, _), outer.connect() as client:
            await begin(client)
            first = await ask(client, "slowly")
            end_ms = sum(len(word.pcm) for word in say("One two three")) // 48
            await send(client, "conversation.item.truncate", item_id=first.item_id, content_index=0, audio_end_ms=end_ms)
            await until(client, "conversation.item.truncated")
            assert (await ask(client, "recall")).words == "I said One two three"

    asyncio.run(main())


def test_what_is_deleted_and_inserted_here_is_so_there(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, _), outer.connect() as client:
            await begin(client)
            first = await ask(client, "hello")
            await ask(client, "more")
            await send(client, "conversation.item.delete", item_id=first.item_id)
            past = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Once."}]}
            await send(client, "conversation.item.create", item={**past, "id": "x" * 60}, previous_item_id="root")
            assert (await ask(client, "recall")).words == "I said Once. You said: more."

    asyncio.run(main())


def test_a_cancelled_answer_stops_there_and_the_conversation_goes_on(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, between), outer.connect() as client:
            await begin(client)
            await say_in_text(client, "hang")
            await send(client, "response.create")
            await until(client, "response.output_audio.delta")
            await send(client, "response.cancel")
            assert (await response(client)).response["status"] == "cancelled"
            assert (await ask(client, "hello")).words == "You said: hello."
            assert between.connections == 1

    asyncio.run(main())


def test_barge_in_with_a_voice(inner: str) -> None:
    """A recorded voice speaks, is answered, speaks into the answer, and the other server knows what was heard."""
    with wave.open(str(Path(__file__).parents[1] / ".." / "shared" / "audio" / "hello-world.wav")) as file:
        voice = file.readframes(file.getnframes()) + bytes(48_000)

    async def main() -> None:
        async with chain(inner) as (outer, between), outer.connect() as client:
            await speak(client, voice)
            await until(client, "response.output_audio.delta")
            await speak(client, voice)
            cut = await response(client)
            assert cut.response["status"] == "cancelled"
            assert cut.response["status_details"]["reason"] == "turn_detected"
            recalled = await response(client)
            said = recalled.words.removeprefix("I said").strip()
            assert cut.words.startswith(said)
            assert len(said) < len(cut.words)
            assert between.connections == 1

    asyncio.run(main())


def test_out_of_band_answers_run_beside_the_conversation(inner: str) -> None:
    async def main() -> None:
        async with chain(inner) as (outer, _), outer.connect() as client:
            await begin(client)
            await ask(client, "hello")
            await say_in_text(client, "hang")
            await send(client, "response.create")
            await until(client, "response.output_audio.delta")
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "beside"}]}
            aside = {"conversation": "none", "input": [item], "output_modalities": ["text"]}
            await send(client, "response.create", response=aside)
            beside = await response(client)
            assert (beside.text, beside.response["status"]) == ("You said: beside.", "completed")
            await send(client, "response.cancel")
            await response(client)
            assert (await ask(client, "recall")).words.startswith("I said You said: hello.")

    asyncio.run(main())


def test_several_sessions_at_once(inner: str) -> None:
    async def one(outer: Served, words: str) -> str:
        async with outer.connect() as client:
            await begin(client)
            await ask(client, words)
            return (await ask(client, "recall")).words

    async def main() -> None:
        async with chain(inner) as (outer, between):
            wanted = [f"number {n}" for n in range(8)]
            told = await asyncio.gather(*(one(outer, words) for words in wanted))
            assert told == [f"I said You said: {words}." for words in wanted]
            assert between.connections == 8
            await outer.sessions(0)

    asyncio.run(main())


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_the_other_server_dies_in_the_middle_of_an_answer(inner: str, dialect: str) -> None:
    """One clear failure at once; the session lives; the next turn is answered, and the conversation is known."""

    async def main() -> None:
        async with chain(inner, dialect=dialect) as (outer, between), outer.connect() as client:
            await begin(client)
            await speak(client, SPEECH)
            await send(client, "input_audio_buffer.commit")
            await ask(client, "hello")
            await say_in_text(client, "hang")
            await send(client, "response.create")
            await until(client, "response.output_audio.delta")
            between.cut()
            failed = (await response(client)).response
            assert failed["status"] == "failed"
            assert failed["status_details"]["error"]["code"] == "upstream_disconnected"
            # The server that comes back knows nothing: it is told all of it.
            recalled = await ask(client, "recall")
            assert recalled.response["status"] == "completed"
            assert recalled.words.startswith("I said You said: hello.")
            assert between.connections == 2

    asyncio.run(main())
