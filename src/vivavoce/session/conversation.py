"""The conversation: items in order, their audio, and how much of each answer was heard.

An `Entry` holds an item with its audio as it crossed the wire, just as engines read it: each answer is asked for with the
same objects, and nothing is kept twice. Events show the item without audio. Inserting is all that makes an item appear;
nothing else changes the order, so `previous_item_id` is always the neighbour's id.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
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


class Marks:
    """When which words of part `index` were spoken, in eight bytes a mark: a conversation keeps them all."""

    __slots__ = ("_numbers", "index")

    def __init__(self, index: int, marks: Iterable[Mark]) -> None:
        self.index = index
        self._numbers = array("I", [_fitting(number) for mark in marks for number in (mark.characters, mark.samples)])

    def __iter__(self) -> Iterator[Mark]:
        return map(Mark, self._numbers[::2], self._numbers[1::2])


class Entry:
    """One item and what belongs to it."""

    __slots__ = ("_item", "_marks", "heard_samples")

    def __init__(self, item: Item, clips: Mapping[int, Clip] | None = None) -> None:
        """`clips` is audio by content index, where the item has none yet."""
        self._item = item
        self._marks: tuple[Marks, ...] = ()
        self.heard_samples: int | None = None
        """The most that can have been heard of an answer that was cut off. `None`: all of it."""
        for index, clip in (clips or {}).items():
            self._put_clip(index, clip)

    @property
    def id(self) -> str:
        """The item's id."""
        assert self._item.id is not UNSET
        return self._item.id

    @property
    def item(self) -> Item:
        """The item the way events show it: without audio."""
        item = self._item
        if not isinstance(item, Message):
            return item
        for index, _ in _clips(item):
            item = _replace_part(item, index, audio=UNSET, format=UNSET)
        return item

    def whole(self, max_bytes: int | None = None) -> Item:
        """The item with its audio; of more than `max_bytes` in all, only the beginnings."""
        item = self._item
        if max_bytes is None or not isinstance(item, Message):
            return item
        clips = list(_clips(item))
        for index, clip in clips:
            beginning = clip.cut(bytes_to_samples(max_bytes // len(clips), clip.format.type))
            item = _replace_part(item, index, audio=beginning.audio)
        return item

    def heard(self) -> Item:
        """The item with its audio as the model shall remember it: what was cut off was never said."""
        item, heard_samples = self._item, self.heard_samples
        if heard_samples is None or not isinstance(item, Message):
            return item
        for index, part in reversed(list(enumerate(item.content))):
            if isinstance(part, OutputAudioPart):
                clip = _clip(part)
                if clip.samples <= heard_samples:
                    return item
                transcript = self.words_until(index, part.transcript, clip.samples, heard_samples)
                return _replace_part(item, index, transcript=transcript, audio=clip.cut(heard_samples).audio)
        return item

    def change(self, **fields: Any) -> None:
        """Give fields of the item other values."""
        self._item = msgspec.structs.replace(self._item, **fields)

    def add(self, part: ContentPart) -> None:
        """The message has one more part."""
        assert isinstance(self._item, Message)
        self._item = msgspec.structs.replace(self._item, content=(*self._item.content, part))

    def add_speech(self, transcript: str, clip: Clip, marks: Iterable[Mark]) -> None:
        """The message has one more part: spoken words, and when they were spoken."""
        self.add(OutputAudioPart(transcript))
        assert isinstance(self._item, Message)
        index = len(self._item.content) - 1
        self._put_clip(index, clip)
        self._put_marks(index, marks)

    def _put_clip(self, index: int, clip: Clip) -> None:
        assert isinstance(self._item, Message)
        format = UNSET if clip.format.type == PCM.type else clip.format
        self._item = _replace_part(self._item, index, audio=clip.audio, format=format)

    def _put_marks(self, index: int, marks: Iterable[Mark]) -> None:
        self._marks = (*(others for others in self._marks if others.index != index), Marks(index, marks))

    def _marks_of(self, index: int) -> list[Mark]:
        return [mark for marks in self._marks if marks.index == index for mark in marks]

    def words_until(self, index: int, transcript: str, total_samples: int, samples: int) -> str:
        """The words of part `index` that were over at `samples`: by the marks, or by proportion where there are none."""
        if samples >= total_samples:
            return transcript
        if marks := self._marks_of(index):
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
        assert isinstance(self._item, Message)
        self._item = _replace_part(self._item, index, transcript=transcript, audio=clip.cut(samples).audio)
        self._put_marks(index, [mark for mark in self._marks_of(index) if mark.samples <= samples])
        self.heard_samples = None  # The client knows what it played; the clock could only guess.

    def _spoken_part(self, index: int) -> tuple[OutputAudioPart, Clip]:
        if not isinstance(self._item, Message) or self._item.role != "assistant":
            raise RequestError("unsupported_content_type", "Only model output audio messages can be truncated", "item_id")
        if not 0 <= index < len(self._item.content):
            message = f"Invalid content index {index}: the item has {len(self._item.content)} content parts."
            raise RequestError("invalid_value", message, "content_index")
        part = self._item.content[index]
        if not isinstance(part, OutputAudioPart):
            message = "Only model output audio messages can be truncated"
            raise RequestError("unsupported_content_type", message, "content_index")
        return part, _clip(part)

    def set_transcript(self, transcript: str) -> None:
        """What a transcriber heard in this user message."""
        if not isinstance(self._item, Message):
            return
        for index, part in enumerate(self._item.content):
            if isinstance(part, InputAudioPart):
                self._item = _replace_part(self._item, index, transcript=transcript)


def entry_of(item: Item, input_format: AudioFormat) -> Entry:
    """An entry for an item that a client sent. Its audio is in the input format, unless a part says otherwise."""
    if not isinstance(item, Message):
        return Entry(item)
    return Entry(item, dict(_clips(item, input_format)))


def _clips(item: Message, default: AudioFormat = PCM) -> Iterator[tuple[int, Clip]]:
    """The parts that have audio, by content index. `default` is the format where a part names none."""
    for index, part in enumerate(item.content):
        if isinstance(part, InputAudioPart | OutputAudioPart) and part.audio is not UNSET:
            yield index, _clip(part, default)


def _clip(part: InputAudioPart | OutputAudioPart, default: AudioFormat = PCM) -> Clip:
    return Clip(b"" if part.audio is UNSET else part.audio, default if part.format is UNSET else part.format)


def _replace_part(item: Message, index: int, **fields: Any) -> Message:
    """The message, with other values in fields of one part."""
    part = msgspec.structs.replace(item.content[index], **fields)
    return msgspec.structs.replace(item, content=(*item.content[:index], part, *item.content[index + 1 :]))


def _fitting(number: int) -> int:
    """As an array of 32 bits holds it."""
    return min(max(number, 0), 2**32 - 1)


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
