"""The conversation as the rules read it: who said what, and what tools returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from vivavoce.engines.history import words_of
from vivavoce.protocol.objects import FunctionCall, FunctionCallOutput, Item, Message

MAX_ITEMS: Final = 200
"""The newest items that are read."""
MAX_FIRST_ITEMS: Final = 8
"""Of the oldest items, as many are read too: system messages stand there."""


class Turn(Struct, frozen=True):
    """What somebody said."""

    role: Literal["user", "assistant"]
    text: str
    """Empty where nothing was understood, or nothing was heard."""


class Result(Struct, frozen=True):
    """What a tool returned, and for which call, if that is still in the conversation."""

    output: str
    call: FunctionCall | None


class Conversation(Struct, frozen=True):
    """The part of the conversation that is read."""

    turns: tuple[Turn, ...]
    system: str
    """All system messages."""
    results: tuple[Result, ...]
    """Of the tools that returned since somebody last spoke."""
    calls: tuple[FunctionCall, ...]
    """Made since the user last spoke."""

    @property
    def said(self) -> str | None:
        """What the user just said; None if the user did not speak last."""
        return self.turns[-1].text if self.turns and self.turns[-1].role == "user" else None


def read_items(items: Sequence[Item]) -> Conversation:
    """The conversation in these items, oldest first."""
    older, newest = items[:-MAX_ITEMS], items[-MAX_ITEMS:]
    turns: list[Turn] = []
    system: list[str] = []
    calls: dict[str, FunctionCall] = {}
    open_calls: list[FunctionCall] = []
    results: list[Result] = []
    for item in (*older[:MAX_FIRST_ITEMS], *newest):
        match item:
            case Message(role="system"):
                system.append(words_of(item).strip())
            case Message(role=("user" | "assistant") as role):
                turns.append(Turn(role, words_of(item).strip()))
                results = []
                open_calls = [] if role == "user" else open_calls
            case FunctionCall():
                calls[str(item.call_id)] = item
                open_calls.append(item)
            case FunctionCallOutput():
                results.append(Result(item.output, calls.get(item.call_id)))
    return Conversation(tuple(turns), "\n".join(system), tuple(results), tuple(open_calls))
