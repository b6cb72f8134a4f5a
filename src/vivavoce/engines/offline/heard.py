"""What the user said, while a tool's places are being filled from it."""

from __future__ import annotations

from datetime import datetime

from vivavoce.engines.offline.words import Lexicon, Word, passage, split

NOTHING = ""
"""The key of a word that is spoken for, in `Heard.rest`."""


class Heard:
    """What the user said, and which of its words are spoken for."""

    def __init__(self, text: str, now: datetime, verbs: Lexicon) -> None:
        self.text = text
        self.words = split(text)
        self.now = now
        self.verbs = verbs
        """The words that name the tool, and their synonyms."""
        self._taken: set[int] = set()

    def take(self, start: int, end: int) -> None:
        """These words are spoken for."""
        self._taken.update(range(start, end))

    def free(self, start: int, end: int) -> bool:
        """Whether none of these words is spoken for."""
        return self._taken.isdisjoint(range(start, end))

    def passage(self, start: int, end: int) -> str:
        """These words as they were written."""
        return passage(self.text, self.words[start:end])

    def key(self, at: int) -> str:
        """The word there; empty beyond the ends."""
        return self.words[at].key if 0 <= at < len(self.words) else ""

    def rest(self) -> tuple[Word, ...]:
        """The words, those that are spoken for without their key: positions stay what they are."""
        taken = self._taken
        return tuple(Word(NOTHING, word.start, word.end) if at in taken else word for at, word in enumerate(self.words))
