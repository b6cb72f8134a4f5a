"""Chunks of a chat completion that speaks, in any of four forms → words, calls and sound. Pure but for the ids it draws.

    OpenAI        delta.audio.{id, expires_at, transcript, data}
    vLLM-Omni     modality "audio": sound in delta.content, audio_metadata.{format, sample_rate_hz, channels}
    SGLang-Omni   delta.audio.{id, data}, no rate: 24,000 Hz; words in delta.content
    DashScope     words in delta.content (or delta.audio.transcript), sound in delta.audio.data, cut anywhere

One reader understands them all, mixed too. Sound is PCM16 or WAV: `sound_stream` reads it. Words may come before their
sound, after it or without it. Two places may hold them: the first that says something is listened to.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from msgspec import Struct

from vivavoce.engines.chat_chunks import Answer, ChatChunk, ChatUsage, Choice, Delta, ToolCallDelta
from vivavoce.engines.parts import ChatEvent
from vivavoce.engines.sound_stream import SoundStream


class AudioPart(Struct):
    """`delta.audio`."""

    id: str | None = None
    """OpenAI's name for the spoken answer; later turns may refer to it."""
    expires_at: float | None = None
    """Unix seconds: until when."""
    transcript: str | None = None
    data: str | None = None
    """Base64."""


class AudioMetadata(Struct):
    """What sound is in a delta."""

    format: str | None = None
    sample_rate_hz: int | None = None
    sample_rate: int | None = None
    channels: int | None = None


class AudioDelta(Struct):
    """More of the answer."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    audio: AudioPart | None = None
    modality: str | None = None
    audio_metadata: AudioMetadata | None = None


class AudioChoice(Struct):
    """`message` stands where a server does not stream."""

    delta: AudioDelta | None = None
    message: AudioDelta | None = None
    finish_reason: str | None = None
    modality: str | None = None
    audio_metadata: AudioMetadata | None = None


class AudioChunk(Struct):
    """One event of the stream, or the whole of an answer that is not streamed."""

    choices: list[AudioChoice] | None = None
    usage: ChatUsage | None = None
    modality: str | None = None
    audio_metadata: AudioMetadata | None = None
    error: Any = None


class Sound(Struct, frozen=True):
    """More speech: PCM16 mono at 24,000 Hz."""

    pcm: bytes


class AudioAnswer:
    """Reads one answer. `used_ids` are the calls of the conversation."""

    def __init__(self, used_ids: Collection[str] = (), *, parallel: bool = True, spoken: bool = True) -> None:
        self.finished = False
        """The server said why it stopped: what may follow are figures, and sound that lags behind its words."""
        self.over = False
        """The server said that this was all (`[DONE]`)."""
        self.audio_id = ""
        self.expires_at = 0.0
        """Of `audio_id`, Unix seconds. 0: the server does not say."""
        self.spoken: Final = spoken
        self._answer = Answer(used_ids, parallel=parallel)
        self._sound = SoundStream()
        self._words_in = ""
        """Where this server puts its words: `content` or `transcript`."""

    def feed(self, chunk: AudioChunk) -> list[ChatEvent | Sound]:
        """What the chunk adds. Raises `ValueError` for sound that is not to be read."""
        choice = (chunk.choices or [AudioChoice()])[0]
        delta = choice.delta or choice.message or AudioDelta()
        modality = delta.modality or choice.modality or chunk.modality
        audio = delta.audio or AudioPart()
        content = _text_of(delta.content)
        data = audio.data or ""
        if modality == "audio" and content:
            content, data = "", data or content
        self.audio_id = audio.id or self.audio_id
        self.expires_at = audio.expires_at or self.expires_at
        if choice.finish_reason and not (self.spoken and modality == "text"):
            self.finished = True  # Where text and sound are streams of their own, each of them ends: the text first.
        words = self._words(content, audio.transcript or "") + (delta.refusal or "")
        plain = Choice(delta=Delta(content=words, tool_calls=delta.tool_calls), finish_reason=choice.finish_reason)
        events: list[ChatEvent | Sound] = [*self._answer.feed(ChatChunk(choices=[plain], usage=chunk.usage))]
        if data and self.spoken:
            metadata = delta.audio_metadata or choice.audio_metadata or chunk.audio_metadata or AudioMetadata()
            rate_hz = metadata.sample_rate_hz or metadata.sample_rate
            events += _sounds(self._sound.feed(data, metadata.format or "", rate_hz, metadata.channels))
        return events

    def end(self) -> list[ChatEvent | Sound]:
        """The answer is whole: what was held back, and why it ends. Raises `ValueError`."""
        return [*_sounds(self._sound.flush()), *self._answer.end()]

    def _words(self, content: str, transcript: str) -> str:
        """A server that says its words in both places says them once."""
        if not self._words_in and (content or transcript).strip():
            self._words_in = "transcript" if transcript.strip() else "content"
        return transcript if self._words_in == "transcript" else content


def _text_of(content: str | list[Any] | None) -> str:
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return content or ""


def _sounds(pcm: bytes) -> list[ChatEvent | Sound]:
    return [Sound(pcm)] if pcm else []
