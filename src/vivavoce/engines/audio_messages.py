"""Items of a conversation → messages of a chat completion that hears. Pure.

The user's speech goes as `input_audio`, a WAV file in base64, whatever it came as. The assistant's goes as its words, cut to
what was heard; to a server that keeps its own answers, an answer that was heard to its end goes by its name (`audio.id`).
All else is as in `chat_messages`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct

from vivavoce.audio import bytes_to_samples, to_pcm
from vivavoce.engines.chat_messages import INAUDIBLE, ChatMessage, Content, image, messages
from vivavoce.engines.wav import wav_header
from vivavoce.protocol.objects import PCM, InputAudioPart, InputImagePart, Item, Message, OutputAudioPart

AudioId = Callable[[Message], str]
"""The name that the server gave to an answer, or nothing."""
REFERENCE: Final = "audio"
"""The type of a part that stands for an answer by name. It never leaves this module."""


class Hearing(Struct, frozen=True):
    """How this server wants to hear."""

    rate_hz: int
    """Of the WAV files."""
    data_url: bool = False
    """`data:;base64,…` in place of bare base64."""
    audio_turns: int = 0
    """How many of the user's messages go as sound, the newest; older ones go as words where there are some. 0: all."""


def audio_messages(
    instructions: str, items: Sequence[Item], hearing: Hearing, audio_id: AudioId = lambda message: ""
) -> list[ChatMessage]:
    """The whole conversation, instructions first."""
    users = [item for item in items if isinstance(item, Message) and item.role == "user"]
    as_words = {id(user) for user in users[: -hearing.audio_turns]} if hearing.audio_turns else set()

    def content(message: Message) -> Content:
        if message.role == "assistant" and (name := audio_id(message)):
            return [{"type": REFERENCE, "id": name, "text": _words_of(message)}]
        said = [_part(part, hearing, prefers_words=id(message) in as_words) for part in message.content]
        parts = [part for part in said if part is not None]
        if all(part["type"] == "text" for part in parts):
            return "\n".join(part["text"] for part in parts)
        return parts

    return [_named(message) for message in messages(instructions, items, content)]


def is_whole(message: Message, transcript: str, samples: int) -> bool:
    """Whether an answer was heard to its end: `message` is what the conversation has of it. Samples at 24,000 Hz."""
    if message.role != "assistant" or len(message.content) != 1:
        return False
    [part] = message.content
    if not isinstance(part, OutputAudioPart) or part.audio is UNSET or part.transcript != transcript:
        return False
    return bytes_to_samples(len(part.audio), (PCM if part.format is UNSET else part.format).type) >= samples


def _part(part: Any, hearing: Hearing, *, prefers_words: bool) -> dict[str, Any] | None:
    if isinstance(part, InputImagePart):
        return image(part)
    if isinstance(part, InputAudioPart):
        words = (part.transcript or "").strip()
        if part.audio is UNSET or (prefers_words and words):
            return {"type": "text", "text": words or INAUDIBLE}
        return _input_audio(part, part.audio, hearing)
    text: str = part.transcript if isinstance(part, OutputAudioPart) else part.text
    return {"type": "text", "text": text.strip()} if text.strip() else None


def _input_audio(part: InputAudioPart, audio: bytes, hearing: Hearing) -> dict[str, Any]:
    pcm = to_pcm(audio, (PCM if part.format is UNSET else part.format).type, hearing.rate_hz)
    data = b64encode(wav_header(hearing.rate_hz, len(pcm)) + pcm).decode()
    return {
        "type": "input_audio",
        "input_audio": {"data": f"data:;base64,{data}" if hearing.data_url else data, "format": "wav"},
    }


def _words_of(message: Message) -> str:
    return " ".join(part.transcript for part in message.content if isinstance(part, OutputAudioPart)).strip()


def _named(message: ChatMessage) -> ChatMessage:
    """An answer by name is a field of its message. One that was joined with words is said in words."""
    content = message.get("content")
    if not isinstance(content, list) or not any(part["type"] == REFERENCE for part in content):
        return message
    if len(content) == 1:
        rest = {name: value for name, value in message.items() if name != "content"}
        return {**rest, "audio": {"id": content[0]["id"]}}
    return {**message, "content": "\n".join(part["text"] for part in content if part.get("text"))}
