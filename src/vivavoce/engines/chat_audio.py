"""A model that hears and speaks behind any `/v1/chat/completions` with audio. `docs/how-to/upstream-speech.md`.

    Generate ─ audio_messages ─▶ POST, streamed ─▶ ┊ upstream ┊ ─ audio_chunks ─▶ words, sound, calls, why it ends
    Transcribe ─ side_transcriber ─▶ the user's words, for the client to read; the model never sees them

Each answer is a request of its own, and `StopGenerating` closes it. Nothing of the user's speech is text on the way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Capabilities, Emit, EngineSession, Generate, Transcribe
from vivavoce.engines.audio_chunks import AudioAnswer, AudioChoice, AudioChunk, Sound
from vivavoce.engines.audio_messages import AudioId, Hearing, audio_messages, is_whole
from vivavoce.engines.chat_audio_servers import SERVERS, ServerName, TokensField
from vivavoce.engines.chat_messages import call_id, tools
from vivavoce.engines.parts import ChatDone, ChatEvent, TextDelta, ToolCallArguments, ToolCallStarted
from vivavoce.engines.side_transcripts import SideTranscripts, transcriber_of
from vivavoce.engines.spoken_answer import SpokenAnswer
from vivavoce.engines.streaming import GenerationEvent, StreamingSession, Words, closing
from vivavoce.engines.upstream import ModelCard, Reply, Upstream, UpstreamOptions
from vivavoce.engines.wav import is_usual
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import FunctionCall, Message
from vivavoce.registry import read_options

logger = logging.getLogger(__name__)

_NAME: Final = "chat_audio"
_FIGURES_SECONDS: Final = 0.5
"""How long figures may come after the last word of a written answer, and anything after the end of the stream."""
_LARGE_BYTES: Final = 64 * 2**10
"""Larger chunks are read in a thread."""
_LONGEST_EVENT_BYTES: Final = 32 * 2**20
"""A server may send all of its sound at once: eight minutes of it."""
_SPARE_SECONDS: Final = 30.0
"""An answer's name is not used in the last moments before it expires."""
_REMEMBERED_ANSWERS: Final = 1_000


class Options(UpstreamOptions, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.chat_audio]`."""

    server: ServerName = "openai"
    """What kind of server it is: how it wants to be asked."""
    voice: str = ""
    """The voice for names that `voices` does not hold. Empty: what suits the kind of server."""
    voices: dict[str, str] = msgspec.field(default_factory=dict)
    """Clients' names for voices, and the server's: `{alloy = "Ethan", verse = "Chelsie"}`."""
    transcriber: str = ""
    """The part that writes down what the user says, for clients that ask. Its options stand in a table of its name here."""
    audio_turns: int = 0
    """How many of the user's turns go as sound; older ones go as words where a transcriber wrote some. 0: all of them."""
    input_rate_hz: int = SAMPLE_HZ
    """Of the sound that is sent. 16,000 saves a third; most models hear no more."""
    context_tokens: int = 0
    """How much context the server holds. 0: what it says itself, else 128,000."""
    temperature: float | None = None
    """Where the client sets none."""
    max_tokens_field: TokensField | None = None
    """What the server calls the limit. Unset: what suits the kind of server."""
    tools: bool | None = None
    """Whether it calls functions. Unset: what is known of the kind of server."""
    usage: bool = True
    """Ask for token counts (`stream_options`). A few servers refuse the question."""
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict)
    """More fields for every request, as the server's manual has them."""


class ChatAudio:
    """The engine."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is contacted yet."""
        given = dict(options or {})
        transcriber = given.get("transcriber", "")
        side = given.pop(transcriber, {}) if isinstance(transcriber, str) else {}
        self.options: Final = _options(given)
        self.server: Final = SERVERS[self.options.server]
        self.transcriber: Final = transcriber_of("chat_audio", self.options.transcriber, side)
        self.upstream: Final = Upstream(_NAME, "The speech model's server", self.options, _LONGEST_EVENT_BYTES)
        self.model = self.options.model or self.server.model
        self.capabilities = self._capabilities(self.options.context_tokens or 128_000)
        self._told_of_tools = False

    async def start(self) -> None:
        """See which models there are, and load the side transcriber. A server that is not there yet is asked again later."""
        self._meet(await self.upstream.start())
        if self.transcriber is not None:
            await self.transcriber.start()

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session."""
        session = _Conversation(self)
        return StreamingSession(emit, session.generate, session.transcribe if self.transcriber is not None else None)

    async def close(self) -> None:
        """Close all connections."""
        await self.upstream.close()
        if self.transcriber is not None:
            await self.transcriber.close()

    async def find_model(self) -> None:
        """Ask the server which models it has, where nobody knows yet. Raises `EngineError`."""
        if not self.model:
            self._meet(await self.upstream.models(self.options.first_seconds))

    def body(self, request: Generate, audio_id: AudioId) -> bytes:
        """The request as JSON. Takes a while: sound becomes base64."""
        options, server = self.options, self.server
        spoken = "audio" in request.modalities
        hearing = Hearing(options.input_rate_hz, server.data_url, options.audio_turns)
        optional = {
            "model": self.model or None,
            "audio": self._audio(request.voice) if spoken else None,
            "temperature": options.temperature if request.temperature is None else request.temperature,
            "reasoning_effort": request.reasoning_effort,
            options.max_tokens_field or server.tokens_field: request.max_output_tokens,
            "stream_options": {"include_usage": True} if options.usage else None,
        }
        fields: dict[str, Any] = {
            "stream": True,
            "modalities": ["text", "audio"] if spoken else ["text"],
            "messages": audio_messages(request.instructions, request.items, hearing, audio_id),
            **{name: value for name, value in optional.items() if value is not None},
            **self._tools(request),
            **options.extra_body,
        }
        return msgspec.json.encode(fields)

    def _audio(self, wanted: str) -> dict[str, str]:
        """Voice and format."""
        voice = self.options.voices.get(wanted) or self.options.voice or self.server.voice
        voice = wanted if voice is None else voice
        return {"voice": voice, "format": self.server.format} if voice else {"format": self.server.format}

    def _tools(self, request: Generate) -> dict[str, Any]:
        calls_tools = self.server.calls_tools if self.options.tools is None else self.options.tools
        if calls_tools or not request.tools:
            return tools(request)
        if not self._told_of_tools:
            self._told_of_tools = True
            logger.warning("engines.%s: %s calls no functions; they are left out", _NAME, self.options.server)
        return {}

    def _meet(self, cards: list[ModelCard]) -> None:
        """Choose a model where the operator named none; take the server's word for how much it holds."""
        if not self.model and cards:
            self.model = cards[0].id
            logger.info("engines.%s.model: %s, the first of %d", _NAME, self.model, len(cards))
        for card in cards:
            if card.id == self.model and card.max_model_len and not self.options.context_tokens:
                self.capabilities = self._capabilities(card.max_model_len)

    def _capabilities(self, context_tokens: int) -> Capabilities:
        return Capabilities(
            native_audio=True,
            transcribes=self.transcriber is not None,
            voices=tuple(self.options.voices),
            context_tokens=context_tokens,
        )


class _KeptAnswer(Struct, frozen=True):
    """An answer that the server remembers."""

    audio_id: str
    expires_at: float
    transcript: str
    samples: int


class _Conversation:
    """One session: the answers that the server remembers by name."""

    def __init__(self, engine: ChatAudio) -> None:
        self._engine = engine
        self._upstream = engine.upstream
        self._kept: deque[_KeptAnswer] = deque(maxlen=_REMEMBERED_ANSWERS)

    async def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        """The user's words, beside everything else. Raises `EngineError`."""
        if self._engine.transcriber is not None:
            async with closing(SideTranscripts(self._engine.transcriber).transcribe(request)) as words:
                async for more in words:
                    yield more

    async def generate(self, request: Generate) -> AsyncIterator[GenerationEvent]:
        """Answer, as the server's words and sound arrive. Raises `EngineError`."""
        await self._engine.find_model()
        telling = _Telling(request)
        try:
            async with closing(self._answer(request, telling)) as outputs:
                async for output in outputs:
                    yield output
        except EngineError as error:
            if error.code != "upstream_rejected" or not self._kept or telling.answer.said_something:
                raise
            self._kept.clear()  # It may be that the server forgot an answer before its time: in words, then.
            async with closing(self._answer(request, telling)) as outputs:
                async for output in outputs:
                    yield output

    async def _answer(self, request: Generate, telling: _Telling) -> AsyncIterator[GenerationEvent]:
        used_ids = [call_id(item) for item in request.items if isinstance(item, FunctionCall)]
        spoken = "audio" in request.modalities
        answer = AudioAnswer(used_ids, parallel=request.parallel_tool_calls, spoken=spoken)
        async with closing(self._read(request, answer)) as events:
            async for event in events:
                outputs = list(telling.tell(event))
                if isinstance(event, ChatDone):
                    self._keep(answer, telling)
                for output in outputs:
                    yield output

    async def _read(self, request: Generate, answer: AudioAnswer) -> AsyncIterator[ChatEvent | Sound]:
        body = await asyncio.to_thread(self._engine.body, request, self._audio_id)
        headers = {"content-type": "application/json"}
        async with self._upstream.post("chat/completions", headers, content=body) as reply:
            while (events := await self._events(reply, answer)) is not None:
                for event in events:
                    yield event
        for event in self._understood(answer.end):
            yield event

    async def _events(self, reply: Reply, answer: AudioAnswer) -> list[ChatEvent | Sound] | None:
        """What the next chunk adds; `None` at the end. After it is finished, silence is no failure."""
        if answer.finished:
            seconds = _FIGURES_SECONDS if answer.over or not answer.spoken else self._engine.options.silence_seconds
            try:
                async with asyncio.timeout(seconds):
                    return await self._next(reply, answer)
            except TimeoutError:
                return None
            except EngineError as error:
                if answer.spoken and not answer.over and error.code == "upstream_disconnected":
                    raise  # The words were whole; of their sound nobody knows.
                return None
        events = await self._next(reply, answer)
        if events is None and not answer.finished:
            raise self._upstream.failure("upstream_disconnected", "broke off in the middle of its answer.")
        return events

    async def _next(self, reply: Reply, answer: AudioAnswer) -> list[ChatEvent | Sound] | None:
        if reply.content_type == "application/json":
            data = await reply.whole() or None  # It does not stream; or it fails with status 200.
        elif reply.content_type in ("text/event-stream", ""):
            data = await reply.event()
        else:
            raise self._upstream.failure("upstream_invalid", "does not speak this API.", f"It sent {reply.content_type}.")
        if data is None:
            return None
        if data.strip() == b"[DONE]":
            answer.over = True
            return answer.feed(AudioChunk(choices=[AudioChoice(finish_reason="stop")]))
        if len(data) > _LARGE_BYTES:
            return await asyncio.to_thread(self._fed, data, answer)
        return self._fed(data, answer)

    def _fed(self, data: bytes, answer: AudioAnswer) -> list[ChatEvent | Sound]:
        chunk = self._upstream.decoded(data, AudioChunk, "chat completion")
        return self._understood(lambda: answer.feed(chunk))

    def _understood(self, read: Callable[[], list[ChatEvent | Sound]]) -> list[ChatEvent | Sound]:
        try:
            return read()
        except ValueError as error:
            raise self._upstream.failure("upstream_invalid", "sent sound that is not to be read.", error) from None

    # --- answers that the server remembers ---

    def _keep(self, answer: AudioAnswer, telling: _Telling) -> None:
        """Only an answer that is all of a message can be meant by its name."""
        if self._engine.server.keeps_answers and answer.audio_id and len(telling.told) == 1:
            [(transcript, samples)] = telling.told
            self._kept.append(_KeptAnswer(answer.audio_id, answer.expires_at, transcript, samples))

    def _audio_id(self, message: Message) -> str:
        """The server's name for this answer, if it was heard to its end and the server still knows it."""
        latest = time.time() + _SPARE_SECONDS
        for kept in reversed(self._kept):
            if is_whole(message, kept.transcript, kept.samples):
                return kept.audio_id if kept.expires_at > latest or not kept.expires_at else ""
        return ""


class _Telling:
    """What the server says, as the engine's events."""

    def __init__(self, request: Generate) -> None:
        self.answer = SpokenAnswer(request)
        self.told: list[tuple[str, int]] = []
        """Transcript and samples of each spoken item that is whole."""
        self._clock = asyncio.get_running_loop().time

    def tell(self, event: ChatEvent | Sound) -> Iterator[GenerationEvent]:
        """The events to emit."""
        match event:
            case Sound(pcm):
                yield from self.answer.sound(pcm, self._clock())
            case TextDelta(text):
                yield from self.answer.words(text)
            case ToolCallStarted(call_id, name):
                self._note_item()
                yield from self.answer.call(call_id, name)
            case ToolCallArguments(call_id, delta):
                yield from self.answer.arguments(call_id, delta)
            case ChatDone(reason, usage):
                self._note_item()
                yield from self.answer.end(reason, usage)

    def _note_item(self) -> None:
        if self.answer.item.samples:
            self.told.append((self.answer.item.transcript, self.answer.item.samples))


def _options(given: Mapping[str, Any]) -> Options:
    """The operator's options; what is missing, as the kind of server wants it. Raises `SettingsError`."""
    options = read_options(given, Options, _NAME)
    if not is_usual(options.input_rate_hz):
        raise SettingsError(f"engines.{_NAME}.input_rate_hz: {options.input_rate_hz} is no rate of recordings.")
    return msgspec.structs.replace(options, base_url=options.base_url or SERVERS[options.server].url)
