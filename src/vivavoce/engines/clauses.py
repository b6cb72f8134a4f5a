"""Text that is still being written → clauses to speak.

A clause is what a synthesizer gets at once: long enough for a melody, short enough to begin early. The first one ends at the
first pause of any kind, so that the voice begins while the model still writes; the later ones are whole sentences.

The clauses, joined, are exactly the text, so positions in the transcript stay true; blank space before a clause is its own.
Where a clause ends depends on the text alone, never on the pieces in which it came.
"""

from __future__ import annotations

import re
from typing import Final

SENTENCE_ENDS: Final = ".!?…"
WIDE_SENTENCE_ENDS: Final = "。！？｡"
"""These end a sentence without a space after them."""
PAUSES: Final = ",;:—–"
WIDE_PAUSES: Final = "，、；："
CLOSERS: Final = "\"'”’»)]}*_」』）】"
"""May stand between the end of a sentence and the space after it."""

FIRST_PAUSE_WORDS: Final = 2
"""So many words before a comma ends the first clause: "Well," alone would be over before the rest is there."""
FIRST_PAUSE_WIDE_CHARACTERS: Final = 5
"""The same where there are no spaces to count words by."""
FIRST_WORDS: Final = 10
"""The first clause ends after so many words, pause or not."""
LONGEST_CHARACTERS: Final = 300
"""A sentence longer than this is cut at a space…"""
LONGEST_WORD_CHARACTERS: Final = 600
"""…and text without spaces after so many characters."""

_WORDS_WITH_FULL_STOP: Final = (
    "mr mrs ms dr prof st sr jr nos vol fig eq pp ca approx vs etc cf al inc ltd co corp dept est ave blvd rd mt ft "
    "gen col sgt capt lt rev hon gov sen rep jan feb apr jun jul aug sep sept oct nov dec"
)
ABBREVIATIONS: Final = frozenset(_WORDS_WITH_FULL_STOP.split())
_LETTERS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
"""An initial or letters with dots between: "J", "e.g", "a.m", "U.S"."""
_ENUMERATOR = re.compile(r"\(?(?:\d{1,3}|[^\W\d_])[.)]")
"""What a list item begins with: "1.", "12)", "(a)"."""


class Clauses:
    """Splits one text. Feed it pieces; it returns the clauses that are whole."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, delta: str) -> list[str]:
        """Take more text."""
        clauses = []
        start, seen = 0, len(self._text)
        self._text += delta
        for at in range(seen, len(self._text)):
            if self._ends_before(start, at):
                clauses.append(self._text[start:at])
                start = at
                self._first = False
        self._text = self._text[start:]
        return clauses

    def flush(self) -> list[str]:
        """No more text for now: the rest of it, which may be blank."""
        rest, self._text = self._text, ""
        self._first = self._first and not rest.strip()
        return [rest] if rest else []

    def _ends_before(self, start: int, at: int) -> bool:
        """Is the text from `start` up to `at` a clause, now that the character at `at` is known?"""
        character = self._text[at]
        if not character.isspace():
            if at - start >= LONGEST_WORD_CHARACTERS:
                return True
            return at > start and _ends_wide(self._text[at - 1], character, self._text[start:at], self._first)
        clause = self._text[start:at].strip()
        if not clause or _ENUMERATOR.fullmatch(clause):
            return False
        if character == "\n" or at - start >= LONGEST_CHARACTERS:
            return True
        return _ends_sentence(clause) or (self._first and _pauses(clause))


def _ends_wide(last: str, following: str, clause: str, first: bool) -> bool:
    """Does a clause end here though no space follows, as Chinese and Japanese do?"""
    if following in WIDE_SENTENCE_ENDS + CLOSERS:
        return False
    if last in WIDE_PAUSES:
        return first and len(clause) >= FIRST_PAUSE_WIDE_CHARACTERS
    return last in WIDE_SENTENCE_ENDS + CLOSERS and clause.rstrip(CLOSERS).endswith(tuple(WIDE_SENTENCE_ENDS))


def _ends_sentence(clause: str) -> bool:
    """Does a sentence end here, given that a space follows?"""
    bare = clause.rstrip(CLOSERS)
    if not bare.endswith(tuple(SENTENCE_ENDS + WIDE_SENTENCE_ENDS)):
        return False
    if not bare.endswith(".") or bare.endswith(".."):
        return True
    word = bare[:-1].split()[-1:] or [""]
    return not _abbreviates(word[0].lstrip("\"'“‘«([{*_"))


def _abbreviates(word: str) -> bool:
    """Is the full stop after `word` a part of it? ("I" is a word of its own: "So do I.")"""
    return word.lower() in ABBREVIATIONS or (word != "I" and _LETTERS.fullmatch(word) is not None)


def _pauses(clause: str) -> bool:
    """Is there breath enough here for the first clause?"""
    words = len(clause.split())
    return words >= FIRST_WORDS or (
        words >= FIRST_PAUSE_WORDS and clause.rstrip(CLOSERS).endswith(tuple(PAUSES + WIDE_PAUSES))
    )
