"""A voice behind any `/v1/audio/speech`: Kokoro, Piper, Orpheus, another Vivavoce, hosted ones.

    utterance ─ speakable ─▶ POST ─▶ ┊ upstream ┊ ─ PCM, WAV or events ─ rate → 24,000 Hz ─▶ Speech, Speech, …

The sound is passed on as it arrives. Such servers do not say when which word is heard: `proportional_marks` estimates it.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, Resampler
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.engines.proportional_marks import ProportionalMarks
from vivavoce.engines.speakable import speakable
from vivavoce.engines.streaming import closing
from vivavoce.engines.tone import Tone
from vivavoce.engines.upstream import Reply, Upstream, UpstreamOptions
from vivavoce.engines.wav import is_usual, read_head
from vivavoce.protocol.errors import SettingsError
from vivavoce.registry import read_options

_VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
"""The API's. Most servers know them, or take one of their own for each."""
_LAUGH: Final = "Ha ha ha!"
_SLOWEST, _FASTEST = 0.25, 4.0
"""What the API lets `speed` be."""
_LONGEST_HEAD_BYTES: Final = 64 * 2**10
_PCM_TYPES: Final = ("audio/pcm", "audio/x-pcm", "audio/l16", "audio/raw", "application/octet-stream", "")
_WAV_TYPES: Final = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")


class Options(UpstreamOptions, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.openai_speech]`."""

    model: str = "tts-1"
    """Servers that hold one model do not mind."""
    voice: str = ""
    """The voice for names that `voices` does not hold. Empty: the name that the client gave, as it is."""
    voices: dict[str, str] = msgspec.field(default_factory=dict)
    """Clients' names for voices, and the server's: `{alloy = "af_heart", echo = "am_puck"}`."""
    sample_rate_hz: int = SAMPLE_HZ
    """Of the PCM that the server sends. WAV says so itself."""
    instructions: bool = True
    """Send tone directions as `instructions`. If not, the pace of a tone goes into `speed`, and the rest is left out."""
    stream_format: Literal["audio", "sse"] = "audio"
    """What to ask for: bare sound, or events with sound in them. Either is understood."""
    language: str = "en"
    """What is spoken. In English, signs such as `→` are read as words; in other languages they are left to the server."""
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict)
    """More fields for every request, as the server's manual has them."""


class _Event(Struct):
    type: str = ""
    audio: str | None = None
    error: Any = None


class OpenAISpeech:
    """A `Synthesizer`. A clause is a request."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is contacted yet."""
        name = "cascade.openai_speech"
        self._options = read_options(options or {}, Options, name)
        if not is_usual(self._options.sample_rate_hz):
            rate_hz = self._options.sample_rate_hz
            raise SettingsError(f"engines.{name}.sample_rate_hz: {rate_hz} is no rate that voices have.")
        self._upstream = Upstream(name, "The voice's server", self._options)
        self.voices = tuple(self._options.voices) or _VOICES

    async def start(self) -> None:
        """Get ready. A server that is not there yet is asked again when there is something to say."""
        await self._upstream.start()

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        """Speak. The last mark is at the end of text and sound, the others are estimates. Raises `EngineError`."""
        said = self._said(utterance)
        speed = self._speed(utterance)
        marks = ProportionalMarks(utterance.text, SAMPLE_HZ, speed)
        samples = 0
        if said:
            began_at = None
            sound = _Sound(self._upstream, self._options.sample_rate_hz)
            body = self._body(utterance, said, speed)
            async with self._upstream.post("audio/speech", json=body) as reply, closing(sound.read(reply)) as pieces:
                async for pcm in pieces:
                    now = asyncio.get_running_loop().time()
                    began_at = now if began_at is None else began_at
                    samples += len(pcm) // PCM_SAMPLE_BYTES
                    # Nobody hears faster than time passes, nor more than there is.
                    heard = min(samples, round((now - began_at) * SAMPLE_HZ))
                    yield Speech(pcm, marks.heard(heard))
            if not samples:
                raise self._upstream.failure("upstream_invalid", "sent no sound.")
        yield Speech(b"", marks.end(samples))

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()

    def _said(self, utterance: Utterance) -> str:
        """What the server is to read: words without Markdown. Nothing where there is nothing to pronounce."""
        reading = speakable(utterance.text, english=self._options.language.startswith("en"))
        if not reading.is_silent():
            return reading.text.strip()
        return _LAUGH if utterance.tone.laugh and self._options.instructions else ""

    def _speed(self, utterance: Utterance) -> float:
        pace = 1.0 if self._options.instructions else utterance.tone.pace
        return round(min(_FASTEST, max(_SLOWEST, utterance.speed * pace)), 3)

    def _body(self, utterance: Utterance, said: str, speed: float) -> dict[str, Any]:
        options = self._options
        voice = options.voices.get(utterance.voice) or options.voice or utterance.voice
        body: dict[str, Any] = {"model": options.model, "input": said, "voice": voice, "response_format": "pcm"}
        if speed != 1.0:
            body["speed"] = speed
        if options.instructions and (directions := instructions_for(utterance.tone)):
            body["instructions"] = directions
        if options.stream_format == "sse":
            body["stream_format"] = "sse"
        return {**body, **options.extra_body}


def instructions_for(tone: Tone) -> str:
    """A tone in prose: the directions in the user's own words, as far as there are any."""
    prose = tone.direction
    if tone.whisper and "whisper" not in prose.lower():
        prose = f"{prose} Whisper.".strip()
    return f"{prose} Begin with a laugh.".strip() if tone.laugh else prose


class _Sound:
    """What a server sends as speech → PCM16 at 24,000 Hz, whole samples."""

    def __init__(self, upstream: Upstream, rate_hz: int) -> None:
        self._upstream = upstream
        self._resampler = Resampler(rate_hz, SAMPLE_HZ)
        self._half_sample = b""
        self._head: bytes | None = b""
        """The beginning, until it is clear whether it is a WAV file's."""
        self._left_bytes: int | None = None
        """Of a WAV file's samples: other chunks may follow them."""

    async def read(self, reply: Reply) -> AsyncIterator[bytes]:
        """The sound, as it arrives; no piece is empty. Raises `EngineError`."""
        if reply.content_type not in (*_PCM_TYPES, *_WAV_TYPES, "text/event-stream"):
            raise self._upstream.failure("upstream_invalid", "does not send PCM.", f"It sent {reply.content_type}.")
        is_events = reply.content_type == "text/event-stream"
        while (sound := await (self._from_event(reply) if is_events else reply.chunk())) != b"":
            pcm = self._taken(sound or b"")
            if pcm:
                yield pcm
        if self._head:
            self._half_sample, self._head = self._head, None  # Shorter than any WAV file: a few samples.
        rest = self._pcm(self._half_sample[: len(self._half_sample) // 2 * 2]) + self._flushed()
        if rest:
            yield rest

    async def _from_event(self, reply: Reply) -> bytes | None:
        """The sound of the next event, `None` if it has none; `b""` at the end."""
        data = await reply.event()
        if data is None:
            raise self._upstream.failure("upstream_disconnected", "broke off in the middle of its answer.")
        if data.strip() == b"[DONE]":
            return b""
        event = self._upstream.decoded(data, _Event, "speech")
        if event.type.endswith(".done"):
            return b""
        try:
            return b64decode(event.audio, validate=True) or None if event.audio else None
        except ValueError as error:
            raise self._upstream.failure("upstream_invalid", "sent something that is no speech.", error) from None

    def _taken(self, sound: bytes) -> bytes:
        """The next bytes of the sound as PCM, as far as they are settled."""
        if self._head is not None:
            sound = self._after_head(self._head + sound)
        if self._left_bytes is not None:
            sound = sound[: self._left_bytes]
            self._left_bytes -= len(sound)
        sound = self._half_sample + sound
        whole = len(sound) // PCM_SAMPLE_BYTES * PCM_SAMPLE_BYTES
        self._half_sample = sound[whole:]
        return self._pcm(sound[:whole])

    def _after_head(self, sound: bytes) -> bytes:
        """The samples behind a WAV file's head; all of it where it is none. Nothing while that is not clear."""
        if not (sound.startswith(b"RIFF") or b"RIFF".startswith(sound[:4])):
            self._head = None
            return sound
        try:
            head = read_head(sound)
            if head is not None and (head.encoding not in (1, 0xFFFE) or head.channels != 1 or head.sample_bytes != 2):
                raise ValueError("its WAV is not 16-bit mono")
            if head is None and len(sound) > _LONGEST_HEAD_BYTES:
                raise ValueError("a WAV head without end")
        except ValueError as error:
            raise self._upstream.failure("upstream_invalid", "does not send PCM.", error) from None
        if head is None:
            self._head = sound
            return b""
        self._head = None
        self._resampler = Resampler(head.rate_hz, SAMPLE_HZ)
        self._left_bytes = head.length_bytes or None
        return sound[head.start :]

    def _pcm(self, sound: bytes) -> bytes:
        return self._resampler.feed(np.frombuffer(sound, "<i2").astype(np.int16, copy=False)).astype("<i2").tobytes()

    def _flushed(self) -> bytes:
        return self._resampler.flush().astype("<i2").tobytes()
