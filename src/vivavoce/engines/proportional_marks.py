"""Which word is heard when, for a voice that does not say: by the length of the words. Pure.

Once a clause is whole, its sound is shared out over its characters, and the last mark is exact. A voice that is slower than
speech is another matter: words of the clause are heard before its end is known. For these the pace of speech has to do.
"""

from __future__ import annotations

from typing import Final

from vivavoce.engine_api import Mark
from vivavoce.engines.speakable import Words

CHARACTERS_PER_SECOND: Final = 14.0
"""Of English at an ordinary pace. A guess that is too slow would keep words that were not heard; this one is not fast."""


class ProportionalMarks:
    """The marks of one clause. Lengths in samples at 24,000 Hz, counted from its beginning."""

    def __init__(self, text: str, samples_per_second: int, speed: float = 1.0) -> None:
        words = Words(text)
        self._ends = [words.end(word) for word in range(len(words))]
        self._characters = len(text)
        self._samples_per_character = samples_per_second / (CHARACTERS_PER_SECOND * speed)
        self._told = 0
        self._last_samples = 0

    def heard(self, heard_samples: int) -> tuple[Mark, ...]:
        """The marks of words that may have been heard by now: all but the last one, whose end is not known yet."""
        marks = []
        while self._told < len(self._ends) - 1:
            samples = round(self._ends[self._told] * self._samples_per_character)
            if samples > heard_samples:
                break
            marks.append(Mark(self._ends[self._told], samples))
            self._told, self._last_samples = self._told + 1, samples
        return tuple(marks)

    def end(self, samples: int) -> tuple[Mark, ...]:
        """The clause is so long: the marks of all words that have none, and one at the end of text and sound."""
        before = self._ends[self._told - 1] if self._told else 0
        per_character = max(0, samples - self._last_samples) / max(1, self._characters - before)
        marks = [
            Mark(end, round(self._last_samples + (end - before) * per_character)) for end in self._ends[self._told : -1]
        ]
        return (*marks, Mark(self._characters, samples))
