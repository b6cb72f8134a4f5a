"""The conversation: items in order, their audio, and how much of each answer was heard.

An `Entry` holds an item the way events show it, without audio, and beside it the audio as it crossed the wire. Inserting
is all that makes an item appear; nothing else changes the order, so `previous_item_id` is always the neighbour's id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from vivavoce.audio import bytes_to_samples, ms_to_samples, samples_to_bytes, samples_to_ms
from vivavoce.engine_api import Mark
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import (
    PCM,
    AudioFormat,
    ContentPart,
    InputAudioPart,
    Item,
    Message,
    OutputAudioPart,
)

TRUNCATE_SLACK_MS = 100
"""Clients count played audio in their own clock and round up: so much beyond the end is taken as the end."""

ROOT = "root"


class Clip(Struct, frozen=True):
    """Audio of one content part, encoded as on the wire."""

    audio: bytes
    format: AudioFormat

    @property
    def samples(self) -> int:
        """Length in samples at 24,000 Hz."""
        return bytes_to_samples(len(self.audio), self.format.type)

    def cut(self, samples: int) -> Clip:
        """The first `samples` of it."""
        return Clip(self.audio[: samples_to_bytes(samples, self.format.type)], self.format)


class Entry:
    """One item and what belongs to it."""

    __slots__ = ("clips", "heard_samples", "item", "marks")

    def __init__(self, item: Item, clips: dict[int, Clip] | None = None) -> None:
        self.item = item
        self.clips = clips or {}
        """Audio by content index."""
        self.marks: dict[int, list[Mark]] = {}
        """Which words were spoken when, by content index."""
        self.heard_samples: int | None = None
        """The most that can have been heard of an answer that was cut off. `None`: all of it."""

    @property
    def id(self) -> str:
        """The item's id."""
        assert self.item.id is not UNSET
        return self.item.id

    def whole(self, max_bytes: int | None = None) -> Item:
        """The item with its audio; of more than `max_bytes` in all, only the beginnings."""
        clips = self.clips
        if max_bytes is not None and clips:
            share = max_bytes // len(clips)
            clips = {index: clip.cut(bytes_to_samples(share, clip.format.type)) for index, clip in clips.items()}
        return _with_audio(self.item, clips) if clips else self.item

    def heard(self) -> Item:
        """The item with its audio as the model shall remember it: what was cut off was never said."""
        if self.heard_samples is None or not isinstance(self.item, Message):
            return self.whole()
        index, part, clip = _last_spoken(self)
        if part is None or clip is None or clip.samples <= self.heard_samples:
            return self.whole()
        transcript = self.words_until(index, part.transcript, clip.samples, self.heard_samples)
        item = _replace_part(self.item, index, msgspec.structs.replace(part, transcript=transcript))
        return _with_audio(item, {**self.clips, index: clip.cut(self.heard_samples)})

    def words_until(self, index: int, transcript: str, total_samples: int, samples: int) -> str:
        """The words of part `index` that were over at `samples`: by the marks, or by proportion where there are none."""
        if samples >= total_samples:
            return transcript
        if marks := self.marks.get(index):
            return transcript[: max((mark.characters for mark in marks if mark.samples <= samples), default=0)].rstrip()
        characters = len(transcript) * samples // max(total_samples, 1)
        if characters < len(transcript) and not transcript[characters].isspace():
            characters = transcript.rfind(" ", 0, characters) + 1
        return transcript[:characters].rstrip()

    def truncate(self, index: int, audio_end_ms: int) -> None:
        """Keep what was heard of part `index`. Raises `RequestError`; never lengthens anything."""
        part, clip = self._spoken_part(index)
        total_ms = samples_to_ms(clip.samples)
        if audio_end_ms > total_ms + TRUNCATE_SLACK_MS:
            message = f"Audio content of {total_ms}ms is already shorter than {audio_end_ms}ms"
            raise RequestError("invalid_value", message, "audio_end_ms")
        samples = min(ms_to_samples(audio_end_ms), clip.samples)
        transcript = self.words_until(index, part.transcript, clip.samples, samples)
        assert isinstance(self.item, Message)
        self.item = _replace_part(self.item, index, msgspec.structs.replace(part, transcript=transcript))
        self.clips[index] = clip.cut(samples)
        self.marks[index] = [mark for mark in self.marks.get(index, []) if mark.samples <= samples]
        self.heard_samples = None  # The client knows what it played; the clock could only guess.

    def _spoken_part(self, index: int) -> tuple[OutputAudioPart, Clip]:
        if not isinstance(self.item, Message) or self.item.role != "assistant":
            raise RequestError("unsupported_content_type", "Only model output audio messages can be truncated", "item_id")
        if not 0 <= index < len(self.item.content):
            message = f"Invalid content index {index}: the item has {len(self.item.content)} content parts."
            raise RequestError("invalid_value", message, "content_index")
        part = self.item.content[index]
        if not isinstance(part, OutputAudioPart):
            message = "Only model output audio messages can be truncated"
            raise RequestError("unsupported_content_type", message, "content_index")
        return part, self.clips.get(index, Clip(b"", PCM))

    def set_transcript(self, transcript: str) -> None:
        """What a transcriber heard in this user message."""
        if not isinstance(self.item, Message):
            return
        for index, part in enumerate(self.item.content):
            if isinstance(part, InputAudioPart):
                self.item = _replace_part(self.item, index, msgspec.structs.replace(part, transcript=transcript))


def entry_of(item: Item, input_format: AudioFormat) -> Entry:
    """An entry for an item that a client sent: its audio is moved out of the parts. Bytes are in the input format."""
    if not isinstance(item, Message):
        return Entry(item)
    clips: dict[int, Clip] = {}
    parts: list[ContentPart] = []
    for index, part in enumerate(item.content):
        if isinstance(part, InputAudioPart | OutputAudioPart) and part.audio is not UNSET:
            clips[index] = Clip(part.audio, input_format if part.format is UNSET else part.format)
            part = msgspec.structs.replace(part, audio=UNSET, format=UNSET)
        parts.append(part)
    return Entry(msgspec.structs.replace(item, content=tuple(parts)), clips)


def _with_audio(item: Item, clips: dict[int, Clip]) -> Item:
    assert isinstance(item, Message)
    for index, clip in clips.items():
        format = UNSET if clip.format.type == PCM.type else clip.format
        part = msgspec.structs.replace(item.content[index], audio=clip.audio, format=format)
        item = _replace_part(item, index, part)
    return item


def _replace_part(item: Message, index: int, part: Any) -> Message:
    return msgspec.structs.replace(item, content=(*item.content[:index], part, *item.content[index + 1 :]))


def _last_spoken(entry: Entry) -> tuple[int, OutputAudioPart | None, Clip | None]:
    assert isinstance(entry.item, Message)
    for index in reversed(range(len(entry.item.content))):
        part = entry.item.content[index]
        if isinstance(part, OutputAudioPart):
            return index, part, entry.clips.get(index)
    return 0, None, None


class Conversation:
    """Entries in order."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        """The id of the last item."""
        return self._order[-1] if self._order else None

    def get(self, item_id: str) -> Entry | None:
        """The entry, if it is there."""
        return self._entries.get(item_id)

    def find(self, item_id: str, code: str) -> Entry:
        """The entry, or a `RequestError` with this code."""
        if (entry := self._entries.get(item_id)) is None:
            raise RequestError(code, f"Item with item_id not found: {item_id}", "item_id")
        return entry

    def insert(self, entry: Entry, after: str | UnsetType | None = UNSET) -> str | None:
        """Put an item at the end, at the head (`after="root"`) or after another. The id of the item before it.

        > "If not set, the new item will be appended to the end of the conversation. If set to `root`, the new item will be
        > added to the beginning of the conversation." (API reference, conversation.item.create)
        """
        if entry.id in self._entries or entry.id == ROOT:
            message = f"Error adding item: an item with id '{entry.id}' already exists."
            raise RequestError("invalid_value", message, "item.id")
        index = self._index_after(after)
        self._order.insert(index, entry.id)
        self._entries[entry.id] = entry
        return self._order[index - 1] if index else None

    def _index_after(self, after: str | UnsetType | None) -> int:
        if after is UNSET or after is None or after == self.last_id:
            return len(self._order)
        if after == ROOT:
            return 0
        if after not in self._entries:
            message = f"Error adding item: the previous item with id '{after}' does not exist."
            raise RequestError("invalid_value", message, "previous_item_id")
        return self._order.index(after) + 1

    def previous_id(self, item_id: str) -> str | None:
        """The id of the item before this one, `None` for the first."""
        index = self._order.index(item_id)
        return self._order[index - 1] if index else None

    def delete(self, item_id: str) -> None:
        """Remove an item. Raises `RequestError`."""
        self.find(item_id, "item_delete_invalid_item_id")
        self._order.remove(item_id)
        del self._entries[item_id]
