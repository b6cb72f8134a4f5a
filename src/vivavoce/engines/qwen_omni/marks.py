"""Which word is heard when. The model does not say: it reads a word long before it has spoken it.

While the answer is being made, words go by at the pace of speech, and only so many as there is sound for. Once it is whole,
those that are left share what is left of the sound, and the last mark is exact.
"""

from __future__ import annotations

import re
from typing import Final

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Mark
from vivavoce.engines.proportional_marks import CHARACTERS_PER_SECOND

SAMPLES_PER_CHARACTER: Final = SAMPLE_HZ / CHARACTERS_PER_SECOND
_WORD_END: Final = re.compile(r"(?<=\S)(?=\s)")


class GrowingMarks:
    """The marks of one answer, counted from its beginning."""

    def __init__(self) -> None:
        self._text = ""
        self._ends: list[int] = []
        """Of words whose end is certain: white space follows."""
        self._told = 0
        self._last = Mark(0, 0)

    def add(self, text: str) -> None:
        """More of the transcript."""
        start = max(0, len(self._text) - 1)
        self._text += text
        self._ends += [
            end.start() for end in _WORD_END.finditer(self._text, start) if not self._ends or end.start() > self._ends[-1]
        ]

    def heard(self, samples: int) -> tuple[Mark, ...]:
        """So much sound is there: the marks of words that lie within, at the pace of speech."""
        marks = []
        while self._told < len(self._ends):
            mark = Mark(self._ends[self._told], round(self._ends[self._told] * SAMPLES_PER_CHARACTER))
            if mark.samples > samples:
                break
            marks.append(mark)
            self._told, self._last = self._told + 1, mark
        return tuple(marks)

    def end(self, samples: int) -> tuple[Mark, ...]:
        """Text and sound are whole: the marks that are left, the last of them at the end of both."""
        if not self._text:
            return ()
        left = len(self._text) - self._last.characters
        per_character = max(0, samples - self._last.samples) / max(1, left)
        marks = [
            Mark(end, round(self._last.samples + (end - self._last.characters) * per_character))
            for end in self._ends[self._told :]
            if end < len(self._text)
        ]
        self._told = len(self._ends)
        return (*marks, Mark(len(self._text), max(samples, self._last.samples)))
