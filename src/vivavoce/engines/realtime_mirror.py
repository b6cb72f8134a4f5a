"""The conversation that another Realtime server holds for us, as far as we know it. Pure.

We are asked with a snapshot, the other server remembers. `steps` says what to insert, delete and truncate there so that its
items are the snapshot's. What it knows already (speech that it heard as it came, answers that it gave) stays where it is:
its own answers stay sound, cut to what was heard.

Our item may be several of theirs (a server that says two messages in a row), or none (an answer that nobody heard).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from vivavoce.audio import bytes_to_samples, ms_to_samples, samples_to_ms
from vivavoce.engines.chat_messages import call_id
from vivavoce.engines.history import words_of
from vivavoce.engines.realtime_wire import Dialect, Event, is_sayable, item_create
from vivavoce.protocol.objects import PCM, FunctionCall, InputAudioPart, Item, Message, OutputAudioPart

ROOT: Final = "root"
_LONGEST_ID: Final = 32
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


class Create(Struct, frozen=True):
    """Insert an item under the id `theirs`: behind `after`, at the head (`root`), or at the end (`None`)."""

    item: Item
    theirs: str
    after: str | None


class Delete(Struct, frozen=True):
    """Remove an item."""

    theirs: str


class Truncate(Struct, frozen=True):
    """Keep only the beginning of an answer's sound."""

    theirs: str
    content_index: int
    audio_end_ms: int


Step = Create | Delete | Truncate


class Spoken(Struct):
    """A message of the server's answer."""

    theirs: str
    samples: int = 0
    content_index: int = 0


class Entry(Struct):
    """One item of ours, and what it is there."""

    ours: str = ""
    """Empty for an answer that no snapshot has shown yet."""
    theirs: list[str] = []
    """Empty where it is not there, or not known yet (`is_coming`)."""
    is_coming: bool = False
    """Speech that was committed there, and whose id is on its way."""
    heard_bytes: int | None = None
    """Speech that it heard as it came: how many bytes it was."""
    item: Item | None = None
    """What we sent."""
    call_id: str = ""
    """An answer that is a call."""
    spoken: list[Spoken] | None = None
    """An answer that is a message, and its words so far."""
    words: str = ""


class Mirror:
    """What the server holds, in its order."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    @property
    def known(self) -> set[str]:
        """Our ids of what is there."""
        return {entry.ours for entry in self._entries if entry.ours}

    def place(self, entry: Entry) -> None:
        """Speech that was committed, and whose id has not come: it will be at the end."""
        if not any(entry is known for known in self._entries):
            self._entries.append(entry)

    def committed(self, entry: Entry, theirs: str) -> None:
        """The id of speech that was committed; where it was not awaited, this is its place."""
        entry.theirs, entry.is_coming = [theirs], False
        self.place(entry)

    def answer(self, theirs: str, call_id: str = "", *, joins: bool = False) -> None:
        """The server began an item of its answer. `joins`: it continues the message before it."""
        if joins and self._entries and (spoken := self._entries[-1].spoken) is not None:
            spoken.append(Spoken(theirs))
            self._entries[-1].theirs.append(theirs)
        else:
            self._entries.append(Entry(theirs=[theirs], call_id=call_id, spoken=None if call_id else [Spoken(theirs)]))

    def grew(self, theirs: str, samples: int, words: str, content_index: int) -> None:
        """More of an answer. A server need not have said that the item began."""
        for entry in reversed(self._entries):
            for part in entry.spoken or ():
                if part.theirs == theirs:
                    part.samples += samples
                    part.content_index = content_index if samples else part.content_index
                    entry.words += words
                    return
        if theirs:
            self._entries.append(Entry(theirs=[theirs], spoken=[Spoken(theirs, samples, content_index)], words=words))

    def steps(self, items: Sequence[Item]) -> list[Step]:
        """What makes the server's items those of a snapshot, in order. The mirror is as if it were done."""
        self._claim(items)
        found: list[Step] = []
        wanted = {_id(item): item for item in items}
        for entry in list(self._entries):
            item = wanted.pop(entry.ours, None) if entry.ours else None
            if item is None or not _same(entry, item):
                found += self._remove(entry)
            elif entry.spoken is not None:
                found += _cut(entry, item)
        for at, item in enumerate(items):
            if at < len(self._entries) and self._entries[at].ours == _id(item):
                continue
            for entry in self._entries:  # It stands elsewhere: conversations do not turn round, but it would be no harm.
                if entry.ours == _id(item):
                    found += self._remove(entry)
                    break
            found += self._insert(at, item)
        return found

    def waits_for(self, items: Iterable[Item]) -> bool:
        """Something has to go whose id is not known yet."""
        wanted = {_id(item) for item in items}
        return any(entry.is_coming and entry.ours not in wanted for entry in self._entries)

    def _claim(self, items: Sequence[Item]) -> None:
        """Find the server's answers in the snapshot: calls by their id, messages by their words, in order."""
        known = self.known
        for item in items:
            if _id(item) in known:
                continue
            for entry in self._entries:
                if not entry.ours and _is_answer(entry, item):
                    entry.ours = _id(item)
                    break

    def _remove(self, entry: Entry) -> list[Step]:
        self._entries = [other for other in self._entries if other is not entry]
        return [Delete(theirs) for theirs in entry.theirs]

    def _insert(self, at: int, item: Item) -> list[Step]:
        entry = Entry(ours=_id(item), item=_bare(item))
        before = next((other.theirs[-1] for other in reversed(self._entries[:at]) if other.theirs), ROOT)
        is_last = not any(other.theirs or other.is_coming for other in self._entries[at:])
        self._entries.insert(at, entry)
        if not is_sayable(item):
            return []
        entry.theirs = [their_id(_id(item))]
        return [Create(item, entry.theirs[0], None if is_last else before)]


def told(steps: Iterable[Step], dialect: Dialect) -> list[Event]:
    """The steps as events. Sound takes a while."""
    found: list[Event] = []
    for step in steps:
        match step:
            case Create(item, theirs, after):
                found.append(item_create(item, theirs, after, dialect))
            case Delete(theirs):
                found.append({"type": "conversation.item.delete", "item_id": theirs})
            case Truncate(theirs, index, end_ms):
                place = {"item_id": theirs, "content_index": index, "audio_end_ms": end_ms}
                found.append({"type": "conversation.item.truncate", **place})
    return found


def have_sound(steps: Iterable[Step]) -> bool:
    """There is speech to convert."""
    items = [step.item for step in steps if isinstance(step, Create)]
    parts = [part for item in items if isinstance(item, Message) for part in item.content]
    return any(isinstance(part, InputAudioPart) and part.audio is not UNSET for part in parts)


def their_id(ours: str) -> str:
    """Our id where a server takes it: at most 32 plain characters. Else a name made of it."""
    if len(ours) <= _LONGEST_ID and _PLAIN_ID.fullmatch(ours) and ours != ROOT:
        return ours
    return f"item_{blake2b(ours.encode(), digest_size=12).hexdigest()}"


def _id(item: Item) -> str:
    return "" if item.id is UNSET else item.id


def _is_answer(entry: Entry, item: Item) -> bool:
    if isinstance(item, FunctionCall):
        return bool(entry.call_id) and entry.call_id == call_id(item)
    if entry.spoken is None or not isinstance(item, Message) or item.role != "assistant":
        return False
    silent = any(isinstance(part, OutputAudioPart) and part.audio is UNSET for part in item.content)
    if silent and any(part.samples for part in entry.spoken):
        return False  # A copy in words, made by a client.
    return _letters(entry.words).startswith(_letters(words_of(item)))


def _letters(text: str) -> str:
    return "".join(text.split())


def _same(entry: Entry, item: Item) -> bool:
    """It is there as it should be, but for its length."""
    if entry.item is not None:
        return entry.item == _bare(item)
    if entry.heard_bytes is not None:
        return isinstance(item, Message) and [entry.heard_bytes] == [_bytes_of(part) for part in item.content]
    return _is_answer(entry, item)


def _bytes_of(part: object) -> int:
    return len(part.audio) if isinstance(part, InputAudioPart) and part.audio is not UNSET else -1


def _bare(item: Item) -> Item:
    """Without what may change and is not sent: states, and what a transcriber heard."""
    item = msgspec.structs.replace(item, status=UNSET)
    if isinstance(item, Message) and item.role == "user":
        content = [
            msgspec.structs.replace(part, transcript=None)
            if isinstance(part, InputAudioPart) and part.audio is not UNSET
            else part
            for part in item.content
        ]
        item = msgspec.structs.replace(item, content=tuple(content))
    return item


def _cut(entry: Entry, item: Item) -> list[Step]:
    """Cut an answer's sound to what was heard of it."""
    left = _spoken_samples(item)
    assert entry.spoken is not None
    if left >= sum(part.samples for part in entry.spoken):
        return []
    found: list[Step] = []
    kept = []
    for part in entry.spoken:
        end_ms = _end_ms(left, part.samples)
        if end_ms == 0:
            found.append(Delete(part.theirs))
            continue
        if left < part.samples:
            found.append(Truncate(part.theirs, part.content_index, end_ms))
            part.samples = ms_to_samples(end_ms)
        kept.append(part)
        left -= min(left, part.samples)
    entry.spoken, entry.theirs = kept, [part.theirs for part in kept]
    return found


def _end_ms(heard: int, samples: int) -> int:
    """The nearest millisecond that is not behind the end: a whole one less would cost the word that ends there."""
    nearest = samples_to_ms(min(heard, samples) + ms_to_samples(1) // 2)
    return nearest if ms_to_samples(nearest) <= samples else nearest - 1


def _spoken_samples(item: Item) -> int:
    parts = item.content if isinstance(item, Message) else ()
    return sum(
        bytes_to_samples(len(part.audio), (PCM if part.format is UNSET else part.format).type)
        for part in parts
        if isinstance(part, OutputAudioPart) and part.audio is not UNSET
    )
