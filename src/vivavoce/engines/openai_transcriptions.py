"""A transcriber behind any `/v1/audio/transcriptions`: whisper.cpp, speaches, vLLM, another Vivavoce, hosted ones.

The turn is kept while it is spoken, at 16 kHz, and goes out as a WAV file when it is over. Where the server streams
(`stream=true`), its words are passed on as they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from vivavoce.audio import PCM_SAMPLE_BYTES, Decoder
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.upstream import Reply, Upstream, UpstreamOptions
from vivavoce.engines.wav import wav_header
from vivavoce.protocol.objects import AudioFormat, LogProb
from vivavoce.registry import read_options

_RATE_HZ: Final = 16_000
"""What recognisers work at: more would only be more to send."""
_SHORTEST_SECONDS: Final = 0.1
"""Less is no word, and the hosted API refuses it."""
_MOST_PROMPT_CHARACTERS: Final = 600
"""Whisper reads the last 224 tokens of a prompt."""


class Options(UpstreamOptions, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.openai_transcriptions]`."""

    model: str = "whisper-1"
    """Servers that hold one model do not mind."""
    language: str = ""
    """ISO-639-1, where the client names none. Empty: the server guesses."""
    stream: bool = True
    """Ask for words as they are recognised. Servers that cannot, answer as ever; a few refuse the question."""
    phrases: bool = True
    """Put words that are likely to come (tools' names, what their parameters may be) behind the client's prompt."""
    logprobs: bool = False
    """Ask how sure it is of each token (`include[]=logprobs`)."""


class _LogProb(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None


class _Event(Struct):
    """An event of any dialect (OpenAI's, speaches' segments, vLLM's chunks), or the whole answer."""

    type: str = ""
    delta: str | None = None
    text: str | None = None
    choices: list[_Choice] | None = None
    logprobs: list[_LogProb] | None = None
    error: Any = None


class OpenAITranscriptions:
    """A `Transcriber`. A turn is a request."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is contacted yet."""
        name = "cascade.openai_transcriptions"
        self._options = read_options(options or {}, Options, name)
        self._upstream = Upstream(name, "The transcriber's server", self._options)
        self._turns: set[_Turn] = set()

    async def start(self) -> None:
        """Get ready. A server that is not there yet is asked again when somebody speaks."""
        await self._upstream.start()

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> _Turn:
        """Begin a turn: keep what is said."""
        return _Turn(self, hints, on_delta)

    async def close(self) -> None:
        """Stop all requests and close all connections."""
        for turn in list(self._turns):
            turn.cancel()
        await self._upstream.close()

    async def transcribe(self, turn: _Turn, pcm: bytes, hints: Hints, words: _Words) -> None:
        """Send PCM16 at 16 kHz; put what comes into `words`. Raises `EngineError`."""
        self._turns.add(turn)
        try:
            file = ("audio.wav", wav_header(_RATE_HZ, len(pcm)) + pcm, "audio/wav")
            async with self._upstream.post("audio/transcriptions", files={"file": file}, data=self._fields(hints)) as reply:
                await self._read(reply, words)
        finally:
            self._turns.discard(turn)

    def _fields(self, hints: Hints) -> dict[str, str]:
        options = self._options
        prompt = hints.prompt
        if options.phrases and hints.phrases:
            prompt = f"{prompt} {', '.join(hints.phrases)}".strip()[:_MOST_PROMPT_CHARACTERS]
        fields = {
            "model": options.model,
            "response_format": "json",
            "language": hints.language or options.language,
            "prompt": prompt,
            "stream": "true" if options.stream else "",
            "include[]": "logprobs" if options.logprobs else "",
        }
        return {name: value for name, value in fields.items() if value}

    async def _read(self, reply: Reply, words: _Words) -> None:
        match reply.content_type:
            case "application/json":
                words.take(self._decoded(await reply.whole()))
            case "text/event-stream":
                while (data := await reply.event()) is not None and data.strip() != b"[DONE]":
                    words.take(self._decoded(data))
            case "text/plain":
                words.take(_Event(text=(await reply.whole()).decode(errors="replace")))
            case other:
                raise self._upstream.failure("upstream_invalid", "does not speak this API.", f"It sent {other}.")
        if not words.answered:
            raise self._upstream.failure("upstream_disconnected", "broke off in the middle of its answer.")

    def _decoded(self, data: bytes) -> _Event:
        return self._upstream.decoded(data, _Event, "transcript")


class _Words:
    """A transcript that arrives. What was passed on stands: later versions may only add to it."""

    def __init__(self, on_delta: Callable[[Transcript], None]) -> None:
        self.answered = False
        """The server said something that can be all of it."""
        self._on_delta = on_delta
        self._text = ""
        self._space = ""
        """Space at the end is not passed on before something follows it."""
        self._logprobs: list[LogProb] = []

    def take(self, event: _Event) -> None:
        """A piece, or the whole."""
        logprobs = [LogProb(one.token, one.logprob, tuple(one.bytes or one.token.encode())) for one in event.logprobs or ()]
        if event.delta is not None:
            self._add(event.delta, logprobs)
        elif event.choices:
            self._add(event.choices[0].delta.content or "" if event.choices[0].delta else "", logprobs)
            self.answered = True
        elif event.text is not None:
            self._take_text(event, logprobs)

    @property
    def transcript(self) -> Transcript:
        """What came of it."""
        return Transcript(self._text, tuple(self._logprobs))

    def _take_text(self, event: _Event, logprobs: list[LogProb]) -> None:
        """All of it, or one segment (speaches), which says no type."""
        self.answered = True
        whole = event.text or ""
        if event.type == "transcript.text.done":
            rest = whole.strip().removeprefix(self._text)
            if whole.strip().startswith(self._text) and rest:
                self._space = ""  # The rest brings its own.
                self._add(rest, [] if self._logprobs else logprobs)
        else:
            self._add(whole if whole[:1].isspace() or not self._text else f" {whole}", logprobs)

    def _add(self, text: str, logprobs: list[LogProb]) -> None:
        self._logprobs += logprobs
        text = self._space + text if self._text else text.lstrip()
        told = text.rstrip()
        if told:
            self._text += told
            self._on_delta(Transcript(told, tuple(logprobs)))
        self._space = text[len(told) :]


class _Turn:
    """One turn: sound, then a request."""

    def __init__(self, transcriber: OpenAITranscriptions, hints: Hints, on_delta: Callable[[Transcript], None]) -> None:
        self._transcriber = transcriber
        self._hints = hints
        self._words = _Words(on_delta)
        self._decoder: Decoder | None = None
        self._pcm = bytearray()
        self._request: asyncio.Task[None] | None = None
        self._cancelled = False

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """The next audio."""
        if self._decoder is None:
            self._decoder = Decoder(format.type, _RATE_HZ)
        self._pcm += self._decoder.feed(audio).astype("<i2", copy=False).tobytes()

    async def finish(self) -> Transcript:
        """The turn is over: send it, and wait for the words. Raises `EngineError`."""
        if self._decoder is not None:
            self._pcm += self._decoder.flush().astype("<i2", copy=False).tobytes()
        pcm, self._pcm = bytes(self._pcm), bytearray()
        if self._cancelled or len(pcm) < _SHORTEST_SECONDS * _RATE_HZ * PCM_SAMPLE_BYTES:
            return Transcript("")
        self._request = asyncio.create_task(self._transcriber.transcribe(self, pcm, self._hints, self._words))
        try:
            await self._request
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
        return self._words.transcript

    def cancel(self) -> None:
        """Nobody wants the words: close the request."""
        self._cancelled = True
        self._pcm.clear()
        if self._request is not None:
            self._request.cancel()
