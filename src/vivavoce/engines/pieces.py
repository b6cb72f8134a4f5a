"""A text to speak → the pieces that a model is given at once. Pure.

A model that answers only when a piece is whole begins early if the first one is short; one that was trained on single
sentences skips words in long texts. So a text is cut where a voice rests anyway, at the ends of clauses, and in between only
if it must be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from vivavoce.engines.clauses import ABBREVIATIONS

_CLAUSE_END: Final = re.compile(r"[.!?;:,…][\"')\]”’]*\s+|[。！？，、；：]")
_LAST_WORD: Final = re.compile(r"([^\W\d_]+)\.\s+$")


class Piece(Struct, frozen=True):
    """A part of a text."""

    start: int
    """Where its first character stands."""
    end: int
    """Behind the space that follows it."""
    text: str
    """Without space around it."""

    @property
    def last(self) -> int:
        """Behind its last character."""
        return self.start + len(self.text)


def pieces(text: str, *, enough: int, whole: int, longest: int) -> Iterator[Piece]:
    """Cut a text; blank pieces are left out. All lengths are in characters.

    What is no longer than `whole` stays in one piece. Else a piece ends at the first end of a clause after `enough`, or at
    the last space before `longest`; a rest of a few characters stays with what stands before it.
    """
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= whole else _end(text, start, start + enough, start + longest)
        if len(text) - end < enough // 3:
            end = len(text)
        if stripped := text[start:end].strip():
            yield Piece(text.index(stripped, start), end, stripped)
        start = end


def _end(text: str, start: int, least: int, last: int) -> int:
    ends = (match.end() for match in _CLAUSE_END.finditer(text, least, last))
    clause = next((end for end in ends if not _is_abbreviated(text, start, end)), None)
    if clause is not None:
        return clause
    return len(text) if len(text) <= last else text.rfind(" ", start + 1, last) + 1 or last


def _is_abbreviated(text: str, start: int, end: int) -> bool:
    """Is the full stop before `end` a part of its word: "Mr. ", "J. "?"""
    word = _LAST_WORD.search(text, start, end)
    return word is not None and (word[1].lower() in ABBREVIATIONS or (len(word[1]) == 1 and word[1] != "I"))


_SENTENCE_PAUSE_SECONDS: Final = 0.2
_CLAUSE_PAUSE_SECONDS: Final = 0.12


def pause_seconds(text: str) -> float:
    """How long a voice rests after a text at speed 1. Nothing where it breaks off in the middle of a clause."""
    end = text.rstrip().rstrip("\"'”’)]*_`")[-1:]
    if end and end in ".!?…。！？":
        return _SENTENCE_PAUSE_SECONDS
    return _CLAUSE_PAUSE_SECONDS if end and end in ",;:—–，、；：" else 0.0
