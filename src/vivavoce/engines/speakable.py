"""Written text → what a voice should read, with the way back.

Chat models write for the eye: Markdown, arrows, emoji, code. The transcript keeps all of that; the voice reads words.
Pure: one pass of rules over the text, each character of the result knows which character of the original it comes from.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import Final

from msgspec import Struct


class Speakable(Struct, frozen=True):
    """What to read of a text."""

    text: str
    origins: tuple[int, ...]
    """For each character of `text`, the index of the one in the original that it stands for. Never decreases."""

    def is_silent(self) -> bool:
        """Nothing to pronounce: only space and punctuation."""
        return not any(unicodedata.category(character)[0] in "LNS" for character in self.text)


_ENGLISH: Final = (
    # Between numbers a star multiplies, a dash spans; `~` is about.
    (r"(?<=\d) ?(?:\*|×|·) ?(?=\d)|(?<=[\w)]) \* (?=[\w(])", " times "),
    (r"(?<=\d)\s?[–—]\s?(?=[$€£]?\d)", " to "),
    (r"(?:(?<=^\d)|(?<=^\d\d)|(?<=[^\w-]\d)|(?<=[^\w-]\d\d))-(?=\d{1,3}\b(?!-))", " to "),
    (r"(?:~|≈) ?(?=[$€£]?\d)", "about "),
    (r" ?(?:<->|↔|⇔) ?", " and back "),
    (r" ?(?:->|=>|-->|==>|→|⇒|➜|➔) ?", " to "),
    (r" ?(?:!=|≠) ?", " is not "),
    (r" ?(?:===?) ?", " equals "),
    (r" ?(?:<=|≤) ?", " at most "),
    (r" ?(?:>=|≥) ?", " at least "),
    (r"(?<=[\w)]) < (?=[\w(])", " less than "),
    (r"(?<=[\w)]) > (?=[\w(])", " greater than "),
)
"""What espeak-ng would leave out or misread in English."""

_MARKDOWN: Final = (
    (r"^[ \t]*(?:```|~~~)[^\n]*$", ""),
    (r"^[ \t]*[-*_=|: \t]{3,}$", ""),
    (r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?)+", ""),
    (r"^[ \t]*\|[ \t]*|[ \t]*\|[ \t]*$", ""),
    (r"[ \t]*(?<!\|)\|(?!\|)[ \t]*", ", "),
    (r"!?\[(?=[^\]\n]{1,300}\]\()", ""),
    (r"(?<=[^\s\]])\]\([^)\s]*(?:\s+\"[^\"]*\")?\)", ""),
    (r"\b(?:https?|ftp)://(?:www\.)?", ""),
    (r"\\(?=[\\`*_{}\[\]()#+.!-])", ""),
    (r"(?<=[\w)])_+(?=[\w(])", " "),
    (r"`+|\*+|(?<!\w)_+|_+(?!\w)|~~", ""),
)
"""Marks that nobody reads aloud."""

_ALWAYS: Final = (
    (
        r"[\U0001F000-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF\uFE0E\uFE0F\u200D\u20E3\U000E0020-\U000E007F]+",
        "",
    ),
    (r"(?<=\d)-(?=\d)", " "),
    (r"(?<=[\w)\]\"'])[ \t]*\n\s*", ", "),
    (r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]", " "),
)
"""Emoji out (espeak-ng would read their names), hyphens in numbers silent, a line's end a short rest."""


class _Rules:
    """Rules joined into one expression: at each place the first that fits is applied."""

    def __init__(self, rules: tuple[tuple[str, str], ...]) -> None:
        self._replacements = [replacement for _, replacement in rules]
        self._expression = re.compile("|".join(f"({pattern})" for pattern, _ in rules), re.MULTILINE)

    def apply(self, text: str) -> Speakable:
        pieces: list[str] = []
        origins: list[int] = []
        end = 0
        for match in self._expression.finditer(text):
            pieces.append(text[end : match.start()])
            origins.extend(range(end, match.start()))
            replacement = self._replacements[(match.lastindex or 1) - 1]
            pieces.append(replacement)
            origins.extend([match.start()] * len(replacement))
            end = match.end()
        pieces.append(text[end:])
        origins.extend(range(end, len(text)))
        return Speakable("".join(pieces), tuple(origins))


_RULES: Final = _Rules(_MARKDOWN[:8] + _ALWAYS + _MARKDOWN[8:])
_ENGLISH_RULES: Final = _Rules(_MARKDOWN[:8] + _ENGLISH + _ALWAYS + _MARKDOWN[8:])

_UNUSUAL: Final = re.compile(r"[^\w .,;:!?'’\"“”()$€£%&+@]|_")
"""No rule applies to a text without one of these. Most texts have none."""


def speakable(text: str, *, english: bool = True) -> Speakable:
    """Read a text as a person would read it out. Rules with English words in them apply only to English."""
    if not _UNUSUAL.search(text):
        return Speakable(text, tuple(range(len(text))))
    return (_ENGLISH_RULES if english else _RULES).apply(text)


_NO_SPACES: Final = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u303e\u3041-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_NO_SPACES}][^\w\s]*|[^\s{_NO_SPACES}]+")


class Words:
    """The words of a text: runs without space, and single characters in scripts that put none between words."""

    def __init__(self, text: str) -> None:
        found = list(_WORD.finditer(text))
        self._starts = [word.start() for word in found]
        self._ends = [word.end() for word in found]

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, character: int) -> int:
        """Which word holds this character, or stands last before it; 0 at least."""
        return max(0, bisect_right(self._starts, character) - 1)

    def end(self, word: int) -> int:
        """The index after its last character."""
        return self._ends[word]
