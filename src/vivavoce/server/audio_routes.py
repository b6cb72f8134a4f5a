"""The ears and the voice by themselves: `/v1/audio/transcriptions` and `/v1/audio/speech`, as the hosted API has them.

The same parts that hold conversations answer here, with the same words for errors. What an engine cannot do is 501.
Audio goes in as WAV and comes out as WAV or PCM: no encoder and no decoder is installed.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, Resampler
from vivavoce.engine_api import (
    Engine,
    EngineEvent,
    Generate,
    OutputAudio,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.parts import ChatEvent, Synthesizer, TextDelta
from vivavoce.engines.speaking import speak
from vivavoce.engines.streaming import closing
from vivavoce.engines.wav import read_wav, wav_header
from vivavoce.protocol.errors import EngineError, RequestError
from vivavoce.protocol.objects import PCM, DurationUsage
from vivavoce.server.bodies import converted, form_with_file, json_object
from vivavoce.server.errors import HttpError
from vivavoce.server.state import ServerState

MOST_UPLOAD_BYTES: Final = 25 * 2**20
"""As the hosted API."""
_STATUS: Final = {"rate_limit_exceeded": 429, "upstream_timeout": 504}
"""Of an engine's error. Other `upstream_…` codes are 502, all others 500."""


class TranscriptionForm(Struct, frozen=True):
    """What `POST /v1/audio/transcriptions` takes beside the file."""

    model: str = ""
    language: str = ""
    prompt: str = ""
    response_format: Literal["json", "text", "verbose_json"] = "json"
    stream: bool = False
    logprobs: bool = False


class SpeechBody(Struct, frozen=True):
    """What `POST /v1/audio/speech` takes."""

    input: Annotated[str, Meta(min_length=1, max_length=4096)]
    model: str = ""
    voice: str | dict[str, Any] = "alloy"
    instructions: str = ""
    response_format: Literal["wav", "pcm"] = "wav"
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"


class AudioRoutes:
    """Bounded like sessions: so many requests at once, and no more; a key's limit counts them with its responses."""

    def __init__(self, state: ServerState) -> None:
        self._state: Final = state
        self._running = 0

    async def transcriptions(self, request: Request) -> Response:
        """`POST /v1/audio/transcriptions`."""
        self._admit(request)
        form = await form_with_file(request, "file", MOST_UPLOAD_BYTES)
        logprobs = "logprobs" in (form.fields.get("include[]"), form.fields.get("include"))
        asked = converted({**form.fields, "logprobs": logprobs}, TranscriptionForm, strict=False)
        engine = self._state.engines.transcriber(asked.model)
        if engine is None:
            raise HttpError(501, "not_implemented", "No engine of this server transcribes.")
        pcm = await asyncio.to_thread(_pcm_of, form.file)
        words = self._words(engine, asked, pcm)
        with _errors_as_status():
            first = await anext(words)
            if asked.stream:
                return _Streamed(_transcript_events(first, words, asked, _seconds(pcm)), "text/event-stream")
            async with closing(words):
                done = [first, *[word async for word in words]][-1]
        return _transcript(done, asked, _seconds(pcm))

    async def speech(self, request: Request) -> Response:
        """`POST /v1/audio/speech`."""
        self._admit(request)
        asked = converted(await json_object(request), SpeechBody)
        synthesizer = self._state.engines.synthesizer(asked.model)
        if synthesizer is None:
            raise HttpError(501, "not_implemented", "No engine of this server speaks by itself.")
        pieces = self._speech(synthesizer, asked)
        with _errors_as_status():
            first = await anext(pieces, b"")
        if asked.stream_format == "sse":
            return _Streamed(_speech_events(first, pieces), "text/event-stream")
        head = wav_header(SAMPLE_HZ) if asked.response_format == "wav" else b""
        return _Streamed(_joined(head + first, pieces), f"audio/{asked.response_format}")

    def _admit(self, request: Request) -> None:
        """Count a request against its key, as a response is. Raises `HttpError` 401 and 429."""
        account = self._state.accounts.of(self._state.gate.owner(request.headers, time.time()).key_id)
        now = time.monotonic()
        if refusal := account.admit(0, now).refusal:
            wait = {"retry-after": str(ceil(account.wait(now)))}
            raise HttpError(429, "rate_limit_exceeded", refusal, headers=wait)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._running >= self._state.settings.limits.max_sessions:
            message = "The server is busy. Try again in a moment."
            raise HttpError(503, "server_overloaded", message, headers={"retry-after": "1"})
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _words(self, engine: Engine, asked: TranscriptionForm, pcm: bytes) -> AsyncIterator[_Words]:
        """What the engine hears: deltas, then the whole. Raises `EngineError`."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[EngineEvent]()

        def emit(event: EngineEvent) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        command = Transcribe(
            item_id="item",
            audio=pcm,
            format=PCM,
            model=asked.model,
            language=asked.language,
            prompt=asked.prompt,
            logprobs=asked.logprobs,
        )
        with self._place():
            session = engine.open(emit)
            try:
                session.submit(command)
                while True:
                    async with asyncio.timeout(self._state.settings.limits.engine_silence_seconds):
                        event = await events.get()
                    if isinstance(event, TranscriptFailed):
                        raise EngineError(event.code, event.message)
                    if isinstance(event, TranscriptDelta | TranscriptDone):
                        yield event
                    if isinstance(event, TranscriptDone):
                        return
            except TimeoutError:
                raise EngineError("engine_timeout", "The engine did not answer in time.") from None
            finally:
                session.close()

    async def _speech(self, synthesizer: Synthesizer, asked: SpeechBody) -> AsyncIterator[bytes]:
        """Clause by clause, as a conversation's answers: tone tags count, and none is read aloud. Raises `EngineError`."""
        voice = asked.voice if isinstance(asked.voice, str) else str(asked.voice.get("id", ""))
        request = Generate(response_id="", instructions=asked.instructions, voice=voice, speed=asked.speed)
        with self._place():
            async with closing(speak(_written(asked.input), request, synthesizer)) as outputs:
                async for output in outputs:
                    if isinstance(output, OutputAudio) and output.pcm:
                        yield output.pcm


_Words = TranscriptDelta | TranscriptDone


async def _written(text: str) -> AsyncIterator[ChatEvent]:
    yield TextDelta(text)


@contextmanager
def _errors_as_status() -> Iterator[None]:
    """Until the first piece is there, what goes wrong can still become a status. Raises `HttpError`."""
    try:
        yield
    except EngineError as error:
        status = _STATUS.get(error.code, 502 if error.code.startswith("upstream_") else 500)
        raise HttpError(status, error.code, error.message) from None


def _pcm_of(file: bytes) -> bytes:
    """An upload as PCM16 at 24,000 Hz. Raises `RequestError`."""
    try:
        samples, rate_hz = read_wav(file)
    except ValueError as error:
        message = f"Unsupported audio: {error}. This server reads WAV."
        raise RequestError("unsupported_format", message, "file") from None
    resampler = Resampler(rate_hz, SAMPLE_HZ)
    return (resampler.feed(samples).astype("<i2").tobytes()) + resampler.flush().astype("<i2").tobytes()


def _seconds(pcm: bytes) -> float:
    return round(len(pcm) / PCM_SAMPLE_BYTES / SAMPLE_HZ, 3)


# --- responses ---


class _Streamed(StreamingResponse):
    """A stream that is closed where the client goes away."""

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(pieces, media_type=media_type, headers={"cache-control": "no-store"})

    async def stream_response(self, send: Send) -> None:
        async with closing(aiter(self.body_iterator)):
            await super().stream_response(send)


async def _joined(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with closing(pieces):
        yield first
        async for piece in pieces:
            yield piece


async def _speech_events(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async with closing(_joined(first, pieces)) as all_pieces:
            async for piece in all_pieces:
                yield _event({"type": "speech.audio.delta", "audio": b64encode(piece).decode()})
    except EngineError as error:
        yield _failure(error)
    else:
        yield _event({"type": "speech.audio.done"})


async def _transcript_events(
    first: _Words, words: AsyncIterator[_Words], asked: TranscriptionForm, seconds: float
) -> AsyncIterator[bytes]:
    try:
        async with closing(words):
            event: _Words | None = first
            while event is not None:
                done = isinstance(event, TranscriptDone)
                fields: dict[str, Any] = {"text": event.text, "usage": _usage(seconds)} if done else {"delta": event.text}
                fields |= {"logprobs": event.logprobs} if asked.logprobs else {}
                yield _event({"type": f"transcript.text.{'done' if done else 'delta'}", **fields})
                event = await anext(words, None)
    except EngineError as error:
        yield _failure(error)


def _transcript(done: _Words, asked: TranscriptionForm, seconds: float) -> Response:
    if asked.response_format == "text":
        return Response(done.text + "\n", media_type="text/plain")
    content: dict[str, Any] = {"text": done.text, "usage": _usage(seconds)}
    if asked.response_format == "verbose_json":
        content |= {"task": "transcribe", "language": asked.language or "en", "duration": seconds, "segments": []}
    if asked.logprobs:
        content["logprobs"] = done.logprobs
    return Response(msgspec.json.encode(content), media_type="application/json")


def _usage(seconds: float) -> DurationUsage:
    return DurationUsage(seconds=seconds)


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(content) + b"\n\n"


def _failure(error: EngineError) -> bytes:
    """An error where the status has left already."""
    details = {"type": "server_error", "code": error.code, "message": error.message, "param": None}
    return _event({"error": details})
