"""The official Python SDK, `openai`: `client.realtime` (GA), `client.beta.realtime`, its HTTP calls, and reconnecting."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, OpenAI

from tests.clients.recordings import chunks, microphone, recording, silence
from tests.clients.script import GREETING, MOVING, REPORT, SPOKEN, STORY, TOOL_OUTPUT, heard, sound
from tests.clients.serving import API_KEY
from tests.clients.wire import Wire, WireLoop

WEATHER_TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@dataclass(frozen=True)
class Dialect:
    """What differs between the two namespaces of the SDK."""

    name: str
    audio: str
    transcript: str
    text: str
    vad: dict[str, Any]
    """`session.update` for turn detection on the server, with transcripts of the user."""
    push_to_talk: dict[str, Any]
    tools: dict[str, Any]
    written: dict[str, Any]
    """`response` for a written answer."""

    def connect(self, client: AsyncOpenAI) -> Any:
        realtime = client.realtime if self.name == "ga" else client.beta.realtime
        return realtime.connect(model="gpt-realtime")


GA = Dialect(
    "ga",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_text.delta",
    {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}},
    {"type": "realtime", "audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}},
    {"type": "realtime", "tools": [WEATHER_TOOL], "tool_choice": "auto"},
    {"output_modalities": ["text"]},
)
BETA = Dialect(
    "beta",
    "response.audio.delta",
    "response.audio_transcript.delta",
    "response.text.delta",
    {"input_audio_transcription": {"model": "whisper-1"}},
    {"turn_detection": None, "input_audio_transcription": {"model": "whisper-1"}},
    {"tools": [WEATHER_TOOL], "tool_choice": "auto"},
    {"modalities": ["text"]},
)


@dataclass
class Talk:
    """A connection of the SDK, and the user's code around it."""

    connection: Any
    dialect: Dialect
    events: list[Any]

    async def until(self, *types: str) -> Any:
        """Take events until one of these types."""
        async with asyncio.timeout(20):
            while True:
                event = await self.connection.recv()
                self.events.append(event)
                if event.type in types:
                    return event

    async def answer(self) -> Any:
        """Take events until a response is done."""
        return (await self.until("response.done")).response

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    @property
    def audio(self) -> bytes:
        return b"".join(base64.b64decode(event.delta) for event in self.of(self.dialect.audio))

    @property
    def transcript(self) -> str:
        return "".join(event.delta for event in self.of(self.dialect.transcript))

    async def type(self, text: str) -> None:
        await self.connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        )

    async def append(self, pcm: bytes) -> None:
        await self.connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

    async def speak(self, pcm: bytes, until: Callable[[], bool]) -> None:
        """Talk into the microphone."""
        async for chunk in microphone(pcm, until):
            await self.append(chunk)


def client_of(wire: Wire, api_key: str = API_KEY) -> AsyncOpenAI:
    """The beta namespace turns `http://` into `wss://` unless it is told the WebSocket's URL as well."""
    return AsyncOpenAI(base_url=wire.url, websocket_base_url=wire.url.replace("http", "ws"), api_key=api_key, max_retries=0)


@asynccontextmanager
async def talk(wire: Wire, dialect: Dialect) -> AsyncIterator[Talk]:
    async with client_of(wire) as client, dialect.connect(client) as connection:
        yield Talk(connection, dialect, [])


@pytest.fixture(params=["ga", "beta"])
def line(request: pytest.FixtureRequest) -> tuple[Wire, Dialect]:
    """The dialect, and a wire for it."""
    if request.param == "ga":
        return request.getfixturevalue("wire"), GA
    return request.getfixturevalue("beta_wire"), BETA


Line = tuple[Wire, Dialect]


# --- the five conversations ---


def test_a_typed_message(line: Line) -> None:
    async def scene() -> None:
        async with talk(*line) as user:
            assert (await user.until("session.created")).session.id
            await user.type("Hello!")
            await user.connection.response.create()
            response = await user.answer()
            assert response.status == "completed"
            assert user.transcript == response.output[0].content[0].transcript == GREETING
            assert user.audio == sound(GREETING)
            await user.type("Hello again, in writing.")
            await user.connection.response.create(response=user.dialect.written)
            response = await user.answer()
            assert response.output[0].content[0].text == GREETING
            assert "".join(event.delta for event in user.of(user.dialect.text)) == GREETING
            assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0

    asyncio.run(scene())


def test_a_spoken_turn_found_by_the_server(line: Line) -> None:
    async def scene() -> None:
        async with talk(*line) as user:
            await user.connection.session.update(session=user.dialect.vad)
            assert (await user.until("session.updated")).session.id
            speaking = asyncio.create_task(user.speak(recording("goforward"), lambda: bool(user.of("response.done"))))
            response = await user.answer()
            await speaking
            assert [event.transcript for event in user.of("conversation.item.input_audio_transcription.completed")] == [
                SPOKEN
            ]
            assert response.output[0].content[0].transcript == MOVING
            assert user.audio == sound(MOVING)
            started, stopped = (
                user.of("input_audio_buffer.speech_started")[0],
                user.of("input_audio_buffer.speech_stopped")[0],
            )
            # Where a person hears "go forward ten meters" begin and end, give or take the padding.
            assert 0 <= started.audio_start_ms < 700
            assert 1800 < stopped.audio_end_ms < 3400
            assert started.item_id == stopped.item_id == user.of("input_audio_buffer.committed")[0].item_id

    asyncio.run(scene())


def test_push_to_talk(line: Line) -> None:
    async def scene() -> None:
        async with talk(*line) as user:
            await user.connection.session.update(session=user.dialect.push_to_talk)
            for chunk in chunks(recording("goforward")):
                await user.append(chunk)
            await user.connection.input_audio_buffer.commit()
            await user.connection.response.create()
            response = await user.answer()
            assert response.output[0].content[0].transcript == MOVING
            if not user.of("conversation.item.input_audio_transcription.completed"):
                await user.until("conversation.item.input_audio_transcription.completed")
            assert not user.of("input_audio_buffer.speech_started")
            item_id = user.of("input_audio_buffer.committed")[0].item_id
            await user.connection.conversation.item.retrieve(item_id=item_id)
            item = (await user.until("conversation.item.retrieved")).item
            assert item.content[0].transcript == SPOKEN
            assert base64.b64decode(item.content[0].audio) == recording("goforward")

    asyncio.run(scene())


def test_a_tool_call_that_ends_in_speech(line: Line) -> None:
    async def scene() -> None:
        async with talk(*line) as user:
            await user.connection.session.update(session=user.dialect.tools)
            await user.type("How is the weather?")
            await user.connection.response.create()
            call = (await user.answer()).output[0]
            assert call.type == "function_call"
            assert call.name == "get_weather"
            assert json.loads(call.arguments) == {"city": "Oslo", "unit": "celsius"}
            pieces = "".join(event.delta for event in user.of("response.function_call_arguments.delta"))
            done = user.of("response.function_call_arguments.done")[0]
            assert pieces == done.arguments == call.arguments
            assert done.call_id == call.call_id
            await user.connection.conversation.item.create(
                item={"type": "function_call_output", "call_id": call.call_id, "output": TOOL_OUTPUT}
            )
            await user.connection.response.create()
            assert (await user.answer()).output[0].content[0].transcript == REPORT
            assert user.audio == sound(REPORT)

    asyncio.run(scene())


def test_an_interruption(line: Line) -> None:
    async def scene() -> None:
        async with talk(*line) as user:
            await user.connection.session.update(session=user.dialect.vad)
            await user.type("Tell me a story.")
            await user.connection.response.create()
            item_id = (await user.until(user.dialect.audio)).item_id
            while len(user.audio) < 4 * 48_000:
                await user.until(user.dialect.audio)
            # The user has heard two seconds, and speaks over the third.
            answered = asyncio.Event()
            speaking = asyncio.create_task(user.speak(recording("goforward"), answered.is_set))
            await user.until("input_audio_buffer.speech_started")
            await user.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=2000)
            story = await user.answer()
            assert story.status == "cancelled"
            assert story.status_details.reason == "turn_detected"
            assert (await user.answer()).output[0].content[0].transcript == MOVING
            assert user.of("conversation.item.truncated")[0].audio_end_ms == 2000
            answered.set()
            await speaking
            await user.type("What did I hear?")
            await user.connection.response.create(response=user.dialect.written)
            remembered = heard(STORY, 2000)
            assert STORY.startswith(remembered)
            assert (await user.answer()).output[0].content[0].text == f"You heard: {remembered} {MOVING}"

    asyncio.run(scene())


# --- HTTP, and what happens to connections ---


def test_a_client_secret_opens_a_session_with_its_configuration(wire: Wire) -> None:
    async def scene() -> None:
        async with client_of(wire) as owner:
            secret = await owner.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 60},
                session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief.", "tools": [WEATHER_TOOL]},
            )
        assert secret.value.startswith("ek_")
        assert secret.session.instructions == "Be brief."
        async with client_of(wire, secret.value) as user, GA.connect(user) as connection:
            session = (await connection.recv()).session
            assert session.instructions == "Be brief."
            assert session.tools[0].name == "get_weather"

    asyncio.run(scene())


def test_a_beta_session_is_made_over_http(beta_wire: Wire) -> None:
    async def scene() -> None:
        async with client_of(beta_wire) as owner:
            session = await owner.beta.realtime.sessions.create(model="gpt-4o-realtime-preview", voice="verse")
            transcribing = await owner.beta.realtime.transcription_sessions.create(
                input_audio_transcription={"model": "whisper-1", "language": "en"}
            )
        assert session.voice == "verse"
        assert transcribing.input_audio_transcription.model == "whisper-1"
        async with (
            client_of(beta_wire, session.client_secret.value) as user,
            BETA.connect(user) as opened,
        ):
            assert (await opened.recv()).session.voice == "verse"

    asyncio.run(scene())


def test_models_are_listed(wire: Wire) -> None:
    with OpenAI(base_url=wire.url, api_key=API_KEY) as client:
        assert {"gpt-realtime", "scripted"} <= {model.id for model in client.models.list()}


def test_a_wrong_key_is_told_so(wire: Wire) -> None:
    with (
        OpenAI(base_url=wire.url, api_key="sk-wrong") as client,
        pytest.raises(AuthenticationError, match="Incorrect API key"),
    ):
        client.realtime.client_secrets.create()


def test_the_blocking_client(line: Line) -> None:
    wire, dialect = line
    with OpenAI(base_url=wire.url, websocket_base_url=wire.url.replace("http", "ws"), api_key=API_KEY) as client:
        realtime = client.realtime if dialect.name == "ga" else client.beta.realtime
        with realtime.connect(model="gpt-realtime") as connection:
            connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
            )
            connection.response.create()
            for event in connection:
                if event.type == "response.done":
                    assert event.response.output[0].content[0].transcript == GREETING
                    break


def test_the_client_reconnects_by_itself(wire: Wire, wire_loop: WireLoop) -> None:
    async def scene() -> None:
        attempts = []

        def on_reconnecting(event: Any) -> None:
            attempts.append(event.attempt)

        async with client_of(wire) as client:
            manager = client.realtime.connect(
                model="gpt-realtime", on_reconnecting=on_reconnecting, initial_delay=0.01, max_delay=0.01
            )
            async with manager as connection:
                sessions, answers = [], []
                async for event in connection:
                    if event.type == "session.created":
                        sessions.append(event.session.id)
                        await Talk(connection, GA, []).type("Hello!")
                        await connection.response.create()
                    elif event.type == "response.done":
                        answers.append(event.response.output[0].content[0].transcript)
                        if len(answers) == 2:
                            break
                        wire_loop.cut(wire)
                assert attempts == [1]
                assert len(set(sessions)) == 2
                assert answers == [GREETING, GREETING]

    asyncio.run(scene())


def test_appended_silence_is_no_turn(wire: Wire) -> None:
    async def scene() -> None:
        async with talk(wire, GA) as user:
            await user.append(silence(3000))
            await user.connection.input_audio_buffer.clear()
            await user.until("input_audio_buffer.cleared")
            assert [event.type for event in user.events] == ["session.created", "input_audio_buffer.cleared"]

    asyncio.run(scene())
