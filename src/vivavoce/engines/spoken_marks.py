"""Where the words of the written text end in the sound, for a voice that is given speakable text in pieces. Pure.

    written ─ speakable ─▶ spoken text ─ pieces ─▶ sound

The ends of pieces are exact. Within one, a model may tell when which phoneme is heard (`word_ends`); what it does not tell
is shared out over the characters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from msgspec import Struct

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Mark
from vivavoce.engines.pieces import Piece
from vivavoce.engines.proportional_marks import CHARACTERS_PER_SECOND
from vivavoce.engines.speakable import Speakable, Words

_CHARACTER_SAMPLES: Final = SAMPLE_HZ / CHARACTERS_PER_SECOND


class Anchor(Struct, frozen=True):
    """So many characters of the spoken text were heard with so many samples of the utterance."""

    characters: int
    samples: int


class SpokenMarks:
    """The marks of one utterance, in the written text's characters."""

    def __init__(self, written: str, reading: Speakable) -> None:
        words = Words(written)
        self._written_ends = [words.end(word) for word in range(len(words))]
        self._spoken_ends = [bisect_left(reading.origins, end) for end in self._written_ends]
        self._characters = len(written)
        self._told = 0
        self._last = Anchor(0, 0)

    def until(self, anchors: Iterable[Anchor]) -> list[Mark]:
        """The marks of the words that end up to the last anchor. Anchors never go back, nor behind earlier ones."""
        marks: list[Mark] = []
        for before, after in pairwise((self._last, *anchors)):
            self._last = after
            while self._told < len(self._spoken_ends) and self._spoken_ends[self._told] <= after.characters:
                share = (self._spoken_ends[self._told] - before.characters) / max(1, after.characters - before.characters)
                samples = before.samples + round(max(0.0, share) * (after.samples - before.samples))
                marks.append(Mark(self._written_ends[self._told], samples))
                self._told += 1
        return marks

    def guess(self, heard_samples: int, last_character: int) -> list[Mark]:
        """The marks of words that may have been heard by now, by the usual pace of speech.

        For a voice that streams: the piece that ends at `last_character` of the spoken text is being made, and nobody knows
        how long it will be. Its last word stays open.
        """
        marks: list[Mark] = []
        while self._told + 1 < len(self._spoken_ends) and self._spoken_ends[self._told + 1] <= last_character:
            end = self._spoken_ends[self._told]
            samples = self._last.samples + round((end - self._last.characters) * _CHARACTER_SAMPLES)
            if samples > heard_samples:
                break
            self._last = Anchor(end, samples)
            marks.append(Mark(self._written_ends[self._told], samples))
            self._told += 1
        return marks

    def end(self, samples: int) -> list[Mark]:
        """The utterance is so long: the words that are left, and a mark at the end of text and sound."""
        left = [Mark(end, samples) for end in self._written_ends[self._told :]]
        self._told = len(self._written_ends)
        return [*left, Mark(self._characters, samples)]


class HeardWord(Struct, frozen=True):
    """A word of phonemes, and where its sound ends: samples from the piece's beginning."""

    phonemes: str
    end_samples: int


_WORD: Final = re.compile(r"\S+")
_PAUSES: Final = tuple(".!?…,;:—")


def word_ends(piece: Piece, heard: list[HeardWord], start_samples: int) -> list[Anchor]:
    """Anchors inside a piece, at the ends of words that are certain.

    A voice says "42" in two words and "of the" in one, so words are not simply counted. Punctuation is kept by the
    phonemizer: between one pause and the next, as many words on both sides are the same words, and a pause is where it is in
    any case.
    """
    words = list(_WORD.finditer(piece.text))
    written, spoken = _phrases([word[0] for word in words]), _phrases([word.phonemes for word in heard])
    if not heard or len(written) != len(spoken):
        return []
    anchors: list[Anchor] = []
    for ours, theirs in zip(written, spoken, strict=True):
        certain = zip(ours, theirs, strict=True) if len(ours) == len(theirs) else ((ours[-1], theirs[-1]),)
        anchors += [Anchor(piece.start + words[w].end(), start_samples + heard[h].end_samples) for w, h in certain]
    return anchors


def _phrases(words: list[str]) -> list[range]:
    """The numbers of the words from each pause to the next."""
    ends = [n + 1 for n, word in enumerate(words) if word.rstrip("\"'”’)]").endswith(_PAUSES)]
    if not ends or ends[-1] != len(words):
        ends.append(len(words))
    return [range(start, end) for start, end in pairwise((0, *ends))]
