"""What a rule looks at, and what a rule is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct

from vivavoce.engines.offline.conversation import Conversation, Turn
from vivavoce.engines.offline.orders import Orders

WHO: Final = "Vivavoce's offline assistant"
ABILITIES: Final = "I can tell the time, calculate, remember what you tell me, repeat, count, spell and tell stories"


class Situation(Struct, frozen=True, kw_only=True):
    """The user's turn with all that an answer may depend on."""

    text: str
    """What the user said, as it was written. Where the user did not speak last, the instructions."""
    said: str
    """The same as lowercase words; contractions and misheard words set right."""
    conversation: Conversation
    background: str
    """Instructions and system messages."""
    orders: Orders
    tools: tuple[str, ...]
    """Names of the tools that may be called."""
    now: datetime

    @property
    def earlier(self) -> tuple[Turn, ...]:
        """The turns before this one. Where the instructions ask and not the user, all of them."""
        turns = self.conversation.turns
        return turns if self.conversation.said is None else turns[:-1]

    def told_before(self, text: str) -> bool:
        """Whether the assistant has said this, or the beginning of it."""
        return any(turn.role == "assistant" and turn.text[:30] == text[:30] for turn in self.earlier)


class Rule(Struct, frozen=True):
    """When `pattern` is found in what was said, `answer` may answer. None: it is not for this rule after all."""

    pattern: re.Pattern[str]
    answer: Callable[[Situation, re.Match[str]], str | None]


def rule(answer: Callable[[Situation, re.Match[str]], str | None] | str, *patterns: str) -> Rule:
    """A rule from an answer, fixed or not, and what calls for it: any of these patterns in `Situation.said`."""
    pattern = re.compile("|".join(patterns))
    if isinstance(answer, str):
        fixed: str = answer
        return Rule(pattern, lambda situation, match: fixed)
    return Rule(pattern, answer)
