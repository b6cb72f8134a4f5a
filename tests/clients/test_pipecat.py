"""Pipecat's `OpenAIRealtimeLLMService` in a pipeline, with turns found by the server, by Pipecat, and by a button."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
    TurnDetection,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies, UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from tests.clients.recordings import microphone, recording
from tests.clients.script import GREETING, MOVING, QUESTION, REPORT, SPOKEN, STORY, heard, sound
from tests.clients.serving import API_KEY
from tests.clients.wire import Wire

MICROPHONE_HZ = 16_000
PATIENCE_SECONDS = 20
BACKLOG_FRAMES = 5
"""So many frames of 20 ms may be on their way through the pipeline."""
SERVER_VAD = TurnDetection()
NOT_ACTIVE = "response_cancel_not_active"
"""Pipecat cancels at each turn that it found itself, whether there is something to cancel or not, and expects the error."""
GREETED = [("user", "Hello!"), ("assistant", GREETING)]
REMARKS = ("is not emitting turn frames", "realtime mode — mutated turn strategies", "realtime_handoff_flush")
"""What it says about itself, not about us: that the server does not find the turns, that it adapted a strategy to a realtime
service, and that the pipeline ended before a timer of its own."""


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """What Pipecat logs as a warning or worse fails the test."""
    said: list[str] = []
    logger.remove()
    sink = logger.add(lambda message: said.append(str(message)), level="WARNING", format="{message}")
    yield
    logger.remove(sink)
    unexpected = [text for text in said if not any(remark in text for remark in REMARKS)]
    assert not unexpected, f"Pipecat warned: {unexpected}"


class Loudspeaker(FrameProcessor):
    """The end of the pipeline: what the user hears, and what went wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.passed = 0
        """How many frames from the microphone came all the way through."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.passed += 1
        else:
            self.frames.append(frame)
        await self.push_frame(frame, direction)

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.frames if isinstance(frame, kind)]

    @property
    def audio(self) -> bytes:
        return b"".join(frame.audio for frame in self.of(TTSAudioRawFrame))


class Bot:
    """A running pipeline."""

    def __init__(self, worker: PipelineWorker, context: LLMContext, loudspeaker: Loudspeaker, errors: list[Any]) -> None:
        self.worker = worker
        self.context = context
        self.loudspeaker = loudspeaker
        self.errors = errors

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():
                assert not self.errors, self.errors
                await asyncio.sleep(0.005)  # The context has no events of its own.

    async def history(self, expected: list[tuple[str, str]]) -> None:
        """Wait until the context holds just this."""
        try:
            await self.until(lambda: self.messages == expected)
        except TimeoutError:
            assert self.messages == expected

    @property
    def messages(self) -> list[tuple[str, str]]:
        return [(message["role"], message.get("content", "")) for message in self.context.get_messages()]

    async def begin(self) -> None:
        """Let the model speak first, as Pipecat's examples do."""
        await self.worker.queue_frame(LLMContextFrame(self.context))

    async def greet(self) -> None:
        """A first exchange, typed."""
        await self.begin()
        await self.history(GREETED)

    async def speak(self, pcm: bytes, until: Callable[[], object], times_real: float = 8) -> None:
        at_16_khz = np.frombuffer(pcm, np.int16)
        positions = np.arange(0, len(at_16_khz), 1.5)
        narrow = np.interp(positions, np.arange(len(at_16_khz)), at_16_khz).astype(np.int16).tobytes()
        spoken, passed = 0, self.loudspeaker.passed
        async for chunk in microphone(narrow, lambda: bool(until()), times_real * 2 / 3, chunk_bytes=640):
            await self.worker.queue_frame(InputAudioRawFrame(chunk, MICROPHONE_HZ, 1))
            spoken += 1
            # A microphone is no faster than speech. This one waits for the pipeline, so that nothing else has to.
            await self.until(lambda: spoken - (self.loudspeaker.passed - passed) <= BACKLOG_FRAMES)  # noqa: B023 - awaited here


@asynccontextmanager
async def bot(
    wire: Wire,
    turn_detection: TurnDetection | bool,
    *said: str,
    params: LLMUserAggregatorParams | None = None,
    tools: dict[str, Callable[[FunctionCallParams], Any]] | None = None,
) -> AsyncIterator[Bot]:
    properties = SessionProperties(
        audio=AudioConfiguration(input=AudioInput(transcription=InputAudioTranscription(), turn_detection=turn_detection))
    )
    settings = OpenAIRealtimeLLMService.Settings(system_instruction="Be brief.", session_properties=properties)
    service = OpenAIRealtimeLLMService(api_key=API_KEY, base_url=wire.ws_url, settings=settings)
    schemas = [
        FunctionSchema(name, "The weather in a city.", {"city": {"type": "string"}}, ["city"], handler=tool)
        for name, tool in (tools or {}).items()
    ]
    context = LLMContext([{"role": "user", "content": text} for text in said], ToolsSchema(schemas))
    pair = LLMContextAggregatorPair(context, user_params=params)
    loudspeaker = Loudspeaker()
    worker = PipelineWorker(
        Pipeline([pair.user(), service, loudspeaker, pair.assistant()]),
        params=PipelineParams(audio_in_sample_rate=MICROPHONE_HZ, audio_out_sample_rate=24_000),
        cancel_on_idle_timeout=False,
    )
    errors: list[ErrorFrame] = []
    worker.add_event_handler("on_pipeline_error", lambda _worker, frame: errors.append(frame))
    started = asyncio.Event()
    worker.add_event_handler("on_pipeline_started", lambda _worker, _frame: started.set())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await started.wait()
    try:
        bot = Bot(worker, context, loudspeaker, errors)
        yield bot
        await bot.until(lambda: wire.connections[0].at_rest)  # The context knows an answer before it is over.
        await worker.queue_frame(EndFrame())
    except BaseException:
        await worker.cancel()
        raise
    finally:
        await running
    assert not errors


# --- turns found by the server ---


def test_a_typed_message(wire: Wire) -> None:
    async def scene() -> None:
        async with bot(wire, SERVER_VAD, "Hello!") as talk:
            await talk.greet()
            assert talk.loudspeaker.audio == sound(GREETING)
            assert len(talk.loudspeaker.of(TTSStoppedFrame)) == 1

    asyncio.run(scene())


def test_a_spoken_turn_found_by_the_server(wire: Wire) -> None:
    async def scene() -> None:
        async with bot(wire, SERVER_VAD, "Hello!") as talk:
            await talk.greet()
            await talk.speak(recording("goforward"), lambda: MOVING in str(talk.messages))
            await talk.history([*GREETED, ("user", SPOKEN), ("assistant", MOVING)])
            assert talk.loudspeaker.audio == sound(GREETING) + sound(MOVING)
            assert len(talk.loudspeaker.of(UserStartedSpeakingFrame)) == 1

    asyncio.run(scene())


def test_a_tool_call_that_ends_in_speech(wire: Wire) -> None:
    asked: list[Any] = []

    async def get_weather(call: FunctionCallParams) -> None:
        asked.append(dict(call.arguments))
        await call.result_callback("21 degrees in Oslo")

    async def scene() -> None:
        async with bot(wire, SERVER_VAD, "How is the weather?", tools={"get_weather": get_weather}) as talk:
            await talk.begin()
            await talk.until(lambda: talk.messages[-1][0] == "assistant" and talk.messages[-1][1])
            assert asked == [{"city": "Oslo", "unit": "celsius"}]
            spoken = REPORT.replace("21 degrees in Oslo", '"21 degrees in Oslo"')  # Pipecat sends results as JSON.
            assert talk.messages[-1] == ("assistant", spoken)
            assert talk.loudspeaker.audio == sound(spoken)

    asyncio.run(scene())


def test_an_interruption(wire: Wire) -> None:
    async def scene() -> None:
        async with bot(wire, SERVER_VAD, "Tell me a story.") as talk:
            await talk.begin()
            await talk.until(lambda: len(talk.loudspeaker.audio) > 3 * 48_000)
            await talk.speak(recording("goforward"), lambda: MOVING in str(talk.messages))
            assert talk.loudspeaker.of(InterruptionFrame)
            await talk.speak(recording("goforward"), lambda: "You heard:" in str(talk.messages))
            await talk.until(lambda: talk.messages[-1][1] == remembered(wire))
            assert talk.messages[-2] == ("user", QUESTION)

    asyncio.run(scene())


def remembered(wire: Wire) -> str:
    """What the model ought to say that it remembers: of both answers the words before the point at which Pipecat cut them.

    Nothing plays the audio here, so Pipecat takes the second answer as well for unfinished when the user speaks again.
    """
    sent = wire.connections[0].from_client_events
    cuts_ms = [event["audio_end_ms"] for event in sent if event["type"] == "conversation.item.truncate"]
    assert cuts_ms
    known = [heard(text, cut_ms) for text, cut_ms in zip((STORY, MOVING), cuts_ms, strict=False)]
    return " ".join(["You heard:", *filter(None, known)])


# --- turns found by Pipecat ---


def local_turns() -> LLMUserAggregatorParams:
    """Pipecat's own voice activity detection drives the conversation."""
    strategies = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()],
        stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6, wait_for_transcript=False)],
    )
    return LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=strategies)


def test_a_spoken_turn_found_by_pipecat(wire: Wire) -> None:
    wire.expected_errors = {NOT_ACTIVE}

    async def scene() -> None:
        async with bot(wire, False, "Hello!", params=local_turns()) as talk:
            await talk.greet()
            await talk.speak(recording("goforward"), lambda: MOVING in str(talk.messages), times_real=2)
            await talk.history([*GREETED, ("user", SPOKEN), ("assistant", MOVING)])

    asyncio.run(scene())


def test_an_interruption_found_by_pipecat(wire: Wire) -> None:
    wire.expected_errors = {NOT_ACTIVE}

    async def scene() -> None:
        async with bot(wire, False, "Tell me a story.", params=local_turns()) as talk:
            await talk.begin()
            await talk.until(lambda: len(talk.loudspeaker.audio) > 3 * 48_000)
            await talk.speak(recording("goforward"), lambda: MOVING in str(talk.messages), times_real=2)
            await talk.speak(recording("goforward"), lambda: "You heard:" in str(talk.messages), times_real=2)
            await talk.until(lambda: talk.messages[-1][1] == remembered(wire))

    asyncio.run(scene())


def test_push_to_talk(wire: Wire) -> None:
    """A button in place of turn detection: the application says when the user speaks."""
    wire.expected_errors = {NOT_ACTIVE}

    async def scene() -> None:
        params = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
        async with bot(wire, False, "Hello!", params=params) as talk:
            await talk.greet()
            await talk.worker.queue_frame(UserStartedSpeakingFrame())
            await talk.speak(recording("goforward"), lambda: True)
            await talk.worker.queue_frame(UserStoppedSpeakingFrame())
            await talk.history([*GREETED, ("user", SPOKEN), ("assistant", MOVING)])

    asyncio.run(scene())
