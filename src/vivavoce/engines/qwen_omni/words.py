"""Tokens → text as it grows: whole characters, and no white space at either end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vivavoce.engines.qwen_omni.said import Said

UNFINISHED: Final = "\ufffd"
"""What a decoder shows for the first bytes of a character."""
LONGEST_CHARACTER_TOKENS: Final = 8
"""After so many tokens, broken bytes are just broken."""


Decode = Callable[[Sequence[int]], str]


class Decoding:
    """Text of tokens as they come, in whole characters."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self.tokens: list[int] = []
        self._whole = 0
        """Tokens whose text is known."""

    def push(self, token: int) -> str | None:
        """One more token. The text that became certain; `None` where a character is not whole yet."""
        self.tokens.append(token)
        before = self.tokens[max(0, self._whole - 1) : self._whole]
        fresh = self._decode([*before, *self.tokens[self._whole :]])[len(self._decode(before)) :]
        if fresh.endswith(UNFINISHED) and len(self.tokens) - self._whole < LONGEST_CHARACTER_TOKENS:
            return None
        self._whole = len(self.tokens)
        return fresh


class Words:
    """The text of one answer."""

    def __init__(self, decode: Decode) -> None:
        self._decoding = Decoding(decode)
        self._ends: list[int] = []
        """Characters after each token, as far as they are whole."""
        self._text = ""
        self._told = 0

    def push(self, token: int) -> str:
        """One more token. What is certain now and was not told, white space at the end held back."""
        fresh = self._decoding.push(token)
        if fresh is None:
            return ""
        self._text += fresh
        self._ends += [len(self._text)] * (len(self._decoding.tokens) - len(self._ends))
        sure = self._text.rstrip()
        begin = self._told or self._lead
        if len(sure) <= begin:
            return ""
        self._told = len(sure)
        return sure[begin:]

    def said(self) -> Said:
        """The answer as it was told, with all of its tokens."""
        text = self._text.strip()
        ends = tuple(min(max(0, end - self._lead), len(text)) for end in self._ends)
        return Said(text, tuple(self._decoding.tokens[: len(ends)]), ends)

    @property
    def _lead(self) -> int:
        """White space before the first word."""
        return len(self._text) - len(self._text.lstrip())
