"""How something is said: whispered, slowly, with a laugh.

Two readers, both pure. `tone_of` reads prose, the session's instructions. `TagReader` reads the tags that chat models
write into their answers, while the text arrives:

    <whisper>come closer</whisper>   in that tone up to the closing tag; without one, to the end of the answer
    [whispers] (whispering)          a stage direction: in that tone to the end of the line, or to the next one
    <laugh> [laughs] *chuckles*      a sound, heard at this place
    <normal>                         back to the voice's own manner

Only the words of `manners.MANNERS` count. `a < b`, `<html>`, `List<int>`, `f(x)`, `**bold**` and `` `<whisper>` `` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from vivavoce.engines.directions import read_directions
from vivavoce.engines.manners import Manner, tag_literals


class Tone(Struct, frozen=True, kw_only=True):
    """A manner of speaking. The defaults are the voice's own manner."""

    whisper: bool = False
    pace: float = 1.0
    """1.2 is a fifth faster. Comes on top of the session's `speed`."""
    pitch: float = 1.0
    """1.2 is a fifth higher."""
    pitch_range: float = 1.0
    """Above 1 more melody (excited), below 1 less (calm, flat)."""
    volume: float = 1.0
    laugh: bool = False
    """A laugh before the words."""
    direction: str = ""
    """The directions in the user's own words, for synthesizers that follow prose."""


NEUTRAL: Final = Tone()

_LIMITS: Final = {"pace": (0.4, 2.0), "pitch": (0.5, 2.0), "pitch_range": (0.1, 2.5), "volume": (0.2, 2.0)}
"""However many directions come together, the speech stays speech."""


def _in_manner(tone: Tone, manner: Manner, degree: float = 1.0) -> Tone:
    """`tone`, and on top of it this manner. `degree` 1.5 is "very", 0.5 is "slightly", below 0 is "not so"."""
    if manner.resets:
        return NEUTRAL
    numbers = {
        name: min(high, max(low, getattr(tone, name) * getattr(manner, name) ** degree))
        for name, (low, high) in _LIMITS.items()
    }
    prose = f"{tone.direction} {manner.prose}".strip()
    return replace(tone, whisper=tone.whisper or (manner.whisper and degree > 0), direction=prose, **numbers)


@lru_cache(maxsize=256)
def tone_of(instructions: str) -> Tone:
    """Read the tone that instructions in prose ask for ("Speak slowly, in a deep voice"). Never sets `laugh`.

    Careful rather than clever: negations ("don't whisper"), conditions ("if she is asleep, whisper"), abilities ("you can
    whisper") and quotations set no tone; "not so fast" sets the opposite. English only.
    """
    directions = read_directions(instructions)
    tone = NEUTRAL
    for manner, degree in directions.manners:
        tone = _in_manner(tone, manner, degree)
    return replace(tone, direction=directions.prose)


class Span(Struct, frozen=True):
    """Text that is said in one tone.

    A laugh is a span of its own: `tone.laugh` is set and `text` is empty. No other span is empty, and no other has
    `tone.laugh`. So a laugh never stands in a transcript.
    """

    text: str
    tone: Tone


def spans(text: str, tone: Tone) -> list[Span]:
    """Split a whole text at its tone tags. `tone` is what text outside of any tag is said in."""
    reader = TagReader(tone)
    return join([*reader.feed(text), *reader.flush()])


def join(pieces: Iterable[Span]) -> list[Span]:
    """The same spans with neighbours of one tone made one. Laughs stay apart."""
    joined: list[Span] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and last.text and piece.text and last.tone == piece.tone:
            joined[-1] = Span(last.text + piece.text, piece.tone)
        else:
            joined.append(piece)
    return joined


_TAGS: Final = tag_literals()
_BEGINNINGS: Final = frozenset(tag[:n] for tag in _TAGS for n in range(1, len(tag)))
_LONGEST_TAG: Final = max(map(len, _TAGS))
_NOT_SPACE: Final = re.compile(r"\S")
_PLAIN: Final = re.compile(r".[^\s<\[(*]*", re.DOTALL)
_NO_SPACE_BEFORE: Final = frozenset(",.!?;:)…")


class TagReader:
    """Splits text at its tone tags while it arrives: a tag may be cut anywhere.

    However the text is cut, the spans, joined, are the same. Text without tags comes out as it went in. Where a tag is
    taken out, the space that stood around it is closed up.
    """

    def __init__(self, tone: Tone = NEUTRAL) -> None:
        self._base = tone
        self._tone = tone
        self._open: list[Manner] = []
        self._direction: Manner | None = None
        """The stage direction in force."""
        self._followed = False
        """Something was said in it: the next end of line ends it."""
        self._held = ""
        """Text that is not certain yet: trailing space, the beginning of a tag."""
        self._gap: str | None = None
        """A tag was just taken out, and this space stood before it."""
        self._last = ""
        """The character before `_held`; empty at the beginning."""

    def feed(self, delta: str) -> list[Span]:
        """Take more text; return what is certain by now. Holds back what may be the beginning of a tag, and space."""
        self._held += delta
        return self._read(final=False)

    def flush(self) -> list[Span]:
        """The text is over: return the rest. Space after a last tag is left out."""
        return self._read(final=True)

    def _read(self, final: bool) -> list[Span]:
        out: list[Span] = []
        at = 0
        while at < len(self._held):
            word = _NOT_SPACE.search(self._held, at)
            start = word.start() if word else len(self._held)
            space = self._held[at:start]
            tag = self._tag_at(start, space)
            if not final and (tag == "perhaps" or start == len(self._held)):
                break
            if isinstance(tag, tuple):
                self._gap = _wider(self._gap or "", space)
                at = start + self._take(tag, start, out)
            else:
                plain = _PLAIN.match(self._held, start)
                at = plain.end() if plain else start
                self._say(space, self._held[start:at], out)
        self._held = self._held[at:]
        return join(out)

    def _tag_at(self, start: int, space: str) -> tuple[Manner, bool, bool] | Literal["perhaps"] | None:
        """The tag that begins at `start` of the held text; "perhaps" if only more text can tell."""
        opener = self._held[start : start + 1]
        if not opener or opener not in "<[(*":
            return None
        before = space or ("" if self._gap is not None else self._last)
        # `<whisper>` in code is text; so is f(laughs), x[calm], a*laughs*: only <…> may follow a letter directly.
        if before == "`" or (opener != "<" and before.isascii() and before.isalnum()):
            return None
        piece = self._held[start : start + _LONGEST_TAG].lower()
        end = piece.find({"<": ">", "[": "]", "(": ")", "*": "*"}[opener], 1)
        if end > 0:
            return _TAGS.get(piece[: end + 1])
        return "perhaps" if piece in _BEGINNINGS else None

    def _take(self, tag: tuple[Manner, bool, bool], start: int, out: list[Span]) -> int:
        """Act on a tag; return its length."""
        manner, closes, pairs = tag
        if manner.sounds:
            if not closes:
                out.append(Span("", replace(self._tone, laugh=True)))
        elif closes and pairs:
            self._close(manner)
        elif closes:
            self._direction = None
        elif not manner.silent:
            if pairs:
                self._open.append(manner)
            else:
                self._direction, self._followed = manner, False
        self._set_tone()
        closer = {"<": ">", "[": "]", "(": ")", "*": "*"}[self._held[start]]
        return self._held.index(closer, start + 1) + 1 - start

    def _close(self, manner: Manner) -> None:
        """End the innermost open tag of this manner and what was opened inside it. A stray closing tag does nothing."""
        if manner in self._open:
            while self._open.pop() != manner:
                pass
        self._direction = None

    def _set_tone(self) -> None:
        tone = self._base
        for manner in (*self._open, *([self._direction] if self._direction else [])):
            tone = _in_manner(tone, manner)
        self._tone = tone

    def _say(self, space: str, text: str, out: list[Span]) -> None:
        """Let text go, after the space that belongs before it."""
        if self._gap is not None:
            space = _wider(self._gap, space)
            if not self._last or not text or text[0] in _NO_SPACE_BEFORE:
                space = ""
            self._gap = None
        if "\n" in space and self._direction and self._followed:
            self._direction = None
            self._set_tone()
        if space + text:
            out.append(Span(space + text, self._tone))
            self._last = (space + text)[-1]
            self._followed = True


def _wider(before: str, after: str) -> str:
    """Of the space on either side of a tag, the one that separates more."""
    return max(before, after, key=lambda space: (space.count("\n"), len(space)))
