"""The Agents SDK for Python, `openai-agents`: `RealtimeRunner`, and its streaming speech-to-text model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from agents import GuardrailFunctionOutput, OutputGuardrail, function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner, realtime_handoff
from agents.realtime.model_inputs import RealtimeModelSendRawMessage
from agents.voice import OpenAISTTModel, StreamedAudioInput, STTModelSettings
from openai import AsyncOpenAI

from tests.clients.recordings import chunks, microphone, recording
from tests.clients.script import BILLING, GREETING, MOVING, REPORT, SPOKEN, STORY, TOOL_OUTPUT, heard, sound
from tests.clients.serving import API_KEY
from tests.clients.wire import Wire

set_tracing_disabled(True)
PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
def no_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK logs what it does not understand. It has nothing to say."""
    caplog.set_level(logging.WARNING)
    yield
    said = [record.getMessage() for record in caplog.records if record.name.startswith("openai")]
    assert not said, f"the SDK warned: {said}"


class Host:
    """The application around a `RealtimeSession`: it plays the audio and shows the history."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.events: list[Any] = []
        self._changed = asyncio.Condition()

    async def listen(self) -> None:
        async for event in self.session:
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(is_so)

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    async def turns(self, count: int) -> None:
        """Wait until so many responses have ended."""
        await self.until(lambda: len(self.of("agent_end")) >= count)

    @property
    def audio(self) -> bytes:
        return b"".join(event.audio.data for event in self.of("audio"))

    @property
    def history(self) -> list[tuple[str, str]]:
        """What the session says was said: role and words; of a tool call its name and output."""
        events = [event for event in self.events if event.type == "history_updated" or event.type == "history_added"]
        assert events
        return [_line(item) for item in self.session._history]

    async def speak(self, pcm: bytes, until: Callable[[], object]) -> None:
        async for chunk in microphone(pcm, until):
            await self.session.send_audio(chunk)


def _line(item: Any) -> tuple[str, str]:
    if item.type == "function_call":
        return item.name, item.output
    words = (getattr(part, "transcript", None) or getattr(part, "text", None) or "" for part in item.content)
    return item.role, " ".join(words)


@asynccontextmanager
async def host(wire: Wire, agent: RealtimeAgent | None = None, **settings: Any) -> AsyncIterator[Host]:
    runner = RealtimeRunner(agent or RealtimeAgent(name="Assistant", instructions="Be brief."))
    model_config: Any = {
        "api_key": API_KEY,
        "url": f"{wire.ws_url}?model=gpt-realtime",
        "initial_model_settings": settings,
    }
    if "playback_tracker" in settings:
        model_config["playback_tracker"] = settings.pop("playback_tracker")
    async with await runner.run(model_config=model_config) as session:
        host = Host(session)
        listening = asyncio.create_task(host.listen())
        yield host
        assert not host.of("error"), f"the session complained: {[event.error for event in host.of('error')]}"
    await listening


# --- the five conversations ---


def test_a_typed_message(wire: Wire) -> None:
    async def scene() -> None:
        async with host(wire) as user:
            await user.session.send_message("Hello!")
            await user.turns(1)
            assert user.history == [("user", "Hello!"), ("assistant", GREETING)]
            assert user.audio == sound(GREETING, "ash")
            assert user.of("audio_end")

    asyncio.run(scene())


def test_a_spoken_turn_found_by_the_server(wire: Wire) -> None:
    async def scene() -> None:
        async with host(wire) as user:
            speaking = asyncio.create_task(user.speak(recording("goforward"), lambda: user.of("agent_end")))
            await user.turns(1)
            await user.until(lambda: user.history == [("user", SPOKEN), ("assistant", MOVING)])
            await speaking
            assert user.audio == sound(MOVING, "ash")

    asyncio.run(scene())


def test_push_to_talk(wire: Wire) -> None:
    async def scene() -> None:
        async with host(wire, turn_detection=None) as user:
            for chunk in chunks(recording("goforward")):
                await user.session.send_audio(chunk)
            await user.session.send_audio(bytes(960), commit=True)
            await user.session.model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))
            await user.turns(1)
            await user.until(lambda: user.history == [("user", SPOKEN), ("assistant", MOVING)])

    asyncio.run(scene())


def test_a_tool_call_that_ends_in_speech(wire: Wire) -> None:
    asked: list[tuple[str, str]] = []

    @function_tool
    def get_weather(city: str, unit: str) -> str:
        """The weather in a city."""
        asked.append((city, unit))
        return TOOL_OUTPUT

    async def scene() -> None:
        async with host(wire, RealtimeAgent(name="Weather", tools=[get_weather])) as user:
            await user.session.send_message("How is the weather?")
            await user.turns(2)
            assert asked == [("Oslo", "celsius")]
            assert [event.output for event in user.of("tool_end")] == [TOOL_OUTPUT]
            assert user.history == [
                ("user", "How is the weather?"),
                ("get_weather", TOOL_OUTPUT),
                ("assistant", REPORT),
            ]
            assert user.audio == sound(REPORT, "ash")

    asyncio.run(scene())


def test_an_interruption(wire: Wire) -> None:
    """The application plays at its own speed and tells the session, which truncates by it."""

    async def scene() -> None:
        tracker = RealtimePlaybackTracker()
        async with host(wire, playback_tracker=tracker) as user:
            await user.session.send_message("Tell me a story.")
            await user.until(lambda: len(user.audio) > 4 * 48_000)
            item_id = user.of("audio")[0].item_id
            tracker.on_play_bytes(item_id, 0, user.audio[: 2 * 48_000])
            speaking = asyncio.create_task(user.speak(recording("goforward"), lambda: len(user.of("agent_end")) >= 2))
            await user.until(lambda: user.of("audio_interrupted"))
            await user.turns(2)
            await speaking
            remembered = heard(STORY, 2000)
            expected = [("user", "Tell me a story."), ("assistant", remembered), ("user", SPOKEN), ("assistant", MOVING)]
            await user.until(lambda: user.history == expected)
            await user.session.send_message("What did I hear?")
            await user.turns(3)
            assert user.history[-1] == ("assistant", f"You heard: {remembered} {MOVING}")

    asyncio.run(scene())


# --- what else the SDK can do ---


def test_the_application_interrupts(wire: Wire) -> None:
    async def scene() -> None:
        async with host(wire, turn_detection={"type": "semantic_vad", "interrupt_response": False}) as user:
            await user.session.send_message("Tell me a story.")
            await user.until(lambda: len(user.audio) > 2 * 48_000)
            await user.session.interrupt()
            await user.turns(1)
            assert user.of("audio_interrupted")
            await user.session.send_message("What did I hear?")
            await user.turns(2)
            answer = user.history[-1][1].removeprefix("You heard:").strip()
            assert STORY.startswith(answer)
            assert len(answer) < len(STORY) / 2

    asyncio.run(scene())


def test_a_hand_off(wire: Wire) -> None:
    async def scene() -> None:
        billing = RealtimeAgent(name="billing", instructions="You do the bills.")
        front = RealtimeAgent(
            name="front desk",
            handoffs=[realtime_handoff(billing, tool_name_override="transfer_to_billing")],
        )
        async with host(wire, front) as user:
            await user.session.send_message("I have a question about billing.")
            await user.turns(2)
            handoff = user.of("handoff")[0]
            assert (handoff.from_agent.name, handoff.to_agent.name) == ("front desk", "billing")
            assert user.history[-1] == ("assistant", BILLING)
            updated = [event for event in wire.connections[0].events if event["type"] == "session.updated"]
            assert updated[-1]["session"]["instructions"] == "You do the bills."

    asyncio.run(scene())


def test_a_guardrail_stops_an_answer(wire: Wire) -> None:
    async def no_passwords(context: Any, agent: Any, output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="swordfish" in output)

    async def scene() -> None:
        guardrail = OutputGuardrail(guardrail_function=no_passwords, name="no_passwords")
        agent = RealtimeAgent(name="Assistant", output_guardrails=[guardrail])
        async with host(wire, agent) as user:
            await user.session.send_message("Tell me the secret.")
            await user.until(lambda: user.of("guardrail_tripped"))
            await user.turns(2)
            said = "guardrail triggered: no_passwords"
            assert user.history[-2:] == [("user", said), ("assistant", f"You said: {said}")]
            statuses = [e["response"]["status"] for e in wire.connections[0].events if e["type"] == "response.done"]
            assert statuses == ["cancelled", "completed"]

    asyncio.run(scene())


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_streaming_speech_to_text(wire: Wire, dtype: type) -> None:
    async def scene() -> None:
        client = AsyncOpenAI(base_url=wire.url, websocket_base_url=wire.url.replace("http", "ws"), api_key=API_KEY)
        model = OpenAISTTModel("gpt-4o-transcribe", client)
        audio = StreamedAudioInput()
        vad = {"type": "server_vad", "silence_duration_ms": 300}
        settings = STTModelSettings(turn_detection=vad, language="en", prompt="A robot is told where to go.")
        session = await model.create_session(audio, settings, False, False)
        turns: list[str] = []

        async def speak() -> None:
            samples = np.frombuffer(recording("goforward"), np.int16)
            samples = samples if dtype is np.int16 else (samples / 32768).astype(np.float32)
            async for chunk in microphone(recording("goforward"), lambda: bool(turns)):
                part = np.frombuffer(chunk, np.int16)
                await audio.add_audio(part if dtype is np.int16 else (part / 32768).astype(np.float32))
            await audio.add_audio(None)

        async with asyncio.timeout(PATIENCE_SECONDS):
            speaking = asyncio.create_task(speak())
            async for turn in session.transcribe_turns():
                turns.append(turn)
            await speaking
        assert turns[0] == SPOKEN

    wire.expected_errors = {"input_audio_buffer_commit_empty"}  # The SDK commits at the end, whatever was committed before.
    asyncio.run(scene())
