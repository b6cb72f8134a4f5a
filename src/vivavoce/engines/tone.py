"""How something is said: whispered, slowly, with a laugh."""

from __future__ import annotations

from msgspec import Struct


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


class Span(Struct, frozen=True):
    """Text that is said in one tone.

    A laugh is a span of its own: `tone.laugh` is set and `text` is empty. No other span is empty, and no other has
    `tone.laugh`. So a laugh never stands in a transcript.
    """

    text: str
    tone: Tone


def tone_of(instructions: str) -> Tone:
    """Read the tone that instructions in prose ask for ("Speak slowly, in a deep voice"). Never sets `laugh`."""
    return Tone(direction=instructions) if not instructions else Tone()


def spans(text: str, tone: Tone) -> list[Span]:
    """Split a whole text at its tone tags. `tone` is what text outside of any tag is said in."""
    reader = TagReader(tone)
    return [*reader.feed(text), *reader.flush()]


class TagReader:
    """The same for text that arrives in pieces: a tag may be split anywhere."""

    def __init__(self, tone: Tone = Tone()) -> None:  # noqa: B008 - frozen
        self._tone = tone

    def feed(self, delta: str) -> list[Span]:
        """Take more text; return what is certain by now. Holds back what may be the beginning of a tag."""
        return [Span(delta, self._tone)] if delta else []

    def flush(self) -> list[Span]:
        """The text is over: return the rest."""
        return []
