"""What the model has said, token by token, so that it reads its own answers as it wrote them.

An answer comes back in the next prompt as text. The same text can be cut into other tokens than those that were generated,
and then the KV cache would hold the wrong ones. So answers are remembered with their tokens; one that was cut short, because
that is what was heard, keeps the tokens that lie before the cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

REMEMBERED_ANSWERS: Final = 256

Encode = Callable[[str], list[int]]


class Said(Struct, frozen=True):
    """An answer."""

    text: str
    tokens: tuple[int, ...]
    ends: tuple[int, ...]
    """For each token, how many characters of the text there are after it."""


class Sayings:
    """The answers of one session."""

    def __init__(self) -> None:
        self._said: dict[str, Said] = {}

    def remember(self, said: Said) -> None:
        """One more answer."""
        self._said.pop(said.text, None)
        self._said[said.text] = said
        if len(self._said) > REMEMBERED_ANSWERS:
            del self._said[next(iter(self._said))]

    def tokens(self, text: str, encode: Encode) -> Sequence[int]:
        """Tokens of an answer, or of its beginning. What nobody has said is encoded."""
        said = self._said.get(text) or next(
            (one for one in reversed(self._said.values()) if one.text.startswith(text)), None
        )
        if said is None:
            return encode(text)
        if said.text == text:
            return said.tokens
        kept = bisect_right(said.ends, len(text))
        rest = text[said.ends[kept - 1] if kept else 0 :]
        return [*said.tokens[:kept], *(encode(rest) if rest else ())]
