"""Which words of a transcript that still grows will not change any more.

A streaming recogniser tells its best guess after each step. Greedy search only adds to it, but the last word may grow
("app", "apple"); beam search may change its mind further back. So a word is settled once another one follows it and the last
few guesses agree on it, or once nobody speaks any more. What was told stands: a final text that disagrees is heard from
where it goes further.
"""

from __future__ import annotations

import os
import re
from collections import deque
from typing import Final

_ALONE: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Kana and Han characters: a word each, for they are written without spaces."""
_LAST_WORD: Final = re.compile(rf"\s*(?:[{_ALONE}]|[^\s{_ALONE}]+)\Z")


class SettledWords:
    """The text of one turn, guess by guess."""

    def __init__(self, agreeing: int) -> None:
        """So many guesses in a row must agree: 1 where a guess only ever grows."""
        self._guesses: deque[str] = deque(maxlen=agreeing)
        self._told = ""

    def take(self, guess: str, *, paused: bool = False) -> str:
        """The next guess; returns what is newly settled, often nothing. After a pause that is all of it."""
        if paused:
            return self._tell(guess.rstrip())
        self._guesses.append(guess)
        if len(self._guesses) < (self._guesses.maxlen or 1):
            return ""
        shared = os.path.commonprefix(list(self._guesses))  # noqa: RUF071 - of characters, as meant
        if not guess[len(shared) : len(shared) + 1].isspace():
            shared = _without_last_word(shared)  # It may still grow, or they differ in the middle of it.
        return self._tell(shared.rstrip())

    def finish(self, text: str) -> str:
        """The whole text, which begins with what was told."""
        if not text.startswith(self._told):
            rest = text.split()[len(self._told.split()) :]
            text = " ".join([self._told, *rest])
        return text

    def _tell(self, settled: str) -> str:
        if not settled.startswith(self._told):
            return ""
        told, self._told = self._told, settled
        return settled[len(told) :]


def _without_last_word(text: str) -> str:
    return _LAST_WORD.sub("", text)
