"""From the user's turn to calls: several in one sentence, and the question for what is missing, with its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from vivavoce.engines.offline.conversation import Turn
from vivavoce.engines.offline.free_text import titled
from vivavoce.engines.offline.heard import Heard
from vivavoce.engines.offline.numbers import find_numbers
from vivavoce.engines.offline.parameters import Leaf, Values, question
from vivavoce.engines.offline.readers import read, read_answer
from vivavoce.engines.offline.schema import Document
from vivavoce.engines.offline.tools import ENOUGH, Choice, Draft, ToolBox, draft
from vivavoce.engines.offline.units import factor
from vivavoce.engines.offline.words import STOP_WORDS, Word, keys, name_words, split, stem, word_set

MAX_CLAUSES: Final = 6
MAX_QUESTION: Final = 300
"""Characters. No question of ours is longer."""
MAX_ROUNDS: Final = 8
"""Questions about one call."""

_JOINT = re.compile(r"\s*[,;]\s+(?:and\s+)?(?:then\s+)?|\s+(?:and\s+then|and\s+also|and|then)\s+", re.IGNORECASE)
_UNTOUCHED = re.compile(r"\b(?:saying|says|that says|asking|about)\b|[\"“:]", re.IGNORECASE)
"""From here on it is somebody's message, not ours to take apart."""

_QUESTION = re.compile(r"(?:who|what|when|where|why|how|which|whose|is|are|does|did|was|were) (?:\S+ ?){2,}")
_SEARCHES: Final = word_set("search lookup google ask query find")
_ANOTHER: Final = word_set("another one second also too more")

SORRY: Final = "Sorry. "
"""Stands before a question that is asked again."""


class Resumed(Struct, frozen=True):
    """A call that is being talked about: the user has just answered a question for it."""

    draft: Draft
    understood: bool
    """Whether the answer filled the place that was asked for."""
    asked: Leaf


def plan(box: ToolBox, text: str, now: datetime) -> list[Draft]:
    """The calls that the words ask for, in order; empty: none. Only a single one may have something missing."""
    whole = box.choose(text, now)
    if whole is None:
        return []
    found: list[tuple[Draft, str]] = []
    for clause in _clauses(text):
        chosen = box.choose(clause, now)
        if chosen is not None and (not found or _is_own(chosen, found[-1][0], now)):
            found.append((draft(chosen.tool, chosen.values), clause))
        elif found and (varied := _variation(found[-1][0], clause, now)):
            found.append((varied, clause))
        elif found:
            joined = f"{found[-1][1]} and {clause}"
            values = read(found[-1][0].tool.leaves, Heard(joined, now, found[-1][0].tool.verbs), _document(found[-1][0]))
            found[-1] = (draft(found[-1][0].tool, values), joined)
    drafts = [entry for entry, _ in found]
    if len(drafts) > 1 and drafts[0].arguments is not None:
        return [entry for entry in drafts if entry.arguments is not None]
    return [draft(whole.tool, whole.values)]


def _clauses(text: str) -> Iterator[str]:
    """The text in pieces, cut at "and", "then" and commas, but neither inside a number nor inside a message."""
    words = split(text)
    numbers = [(words[start].start, words[end - 1].end) for start, end in _quantities(words)]
    limit = message.start() if (message := _UNTOUCHED.search(text)) else len(text)
    start = 0
    for count, joint in enumerate(_JOINT.finditer(text, 0, limit)):
        if count < MAX_CLAUSES - 1 and joint.start() > start and not any(a <= joint.start() < b for a, b in numbers):
            yield text[start : joint.start()]
            start = joint.end()
    yield text[start:]


def _quantities(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Where numbers stand; "five minutes and thirty seconds" is one stretch."""
    found: list[tuple[int, int]] = []
    for amount in find_numbers(words):
        unit = words[amount.end].key if amount.end < len(words) else ""
        if found and amount.start == found[-1][1] + 2 and words[amount.start - 1].key == "and":
            before = words[found[-1][1]].key
            if factor(before, unit) is not None and stem(before) != stem(unit):
                found[-1] = (found[-1][0], amount.end)
                continue
        found.append((amount.start, amount.end))
    return found


def search(box: ToolBox, text: str) -> Draft | None:
    """Where nobody else knows the answer, a tool that searches may. None: there is none, or it is no question."""
    if not _QUESTION.match(keys(text)):
        return None
    for tool in box.tools:
        needed = [leaf for leaf in tool.leaves if leaf.required]
        if not _SEARCHES.isdisjoint(name_words(tool.name)) and len(needed) == 1 and needed[0].kind == "text":
            return draft(tool, {needed[0].path: text})
    return None


def _is_own(chosen: Choice, before: Draft, now: datetime) -> bool:
    """Whether the clause is a request of its own. Where the tool takes lists, "and" may just go on with the list."""
    return chosen.tool.name != before.tool.name or not any(leaf.several for leaf in before.tool.leaves)


def _variation(before: Draft, clause: str, now: datetime) -> Draft | None:
    """ "… and in Rome": the call before, with another place. None: the clause is something else."""
    tool = before.tool
    heard = Heard(clause, now, tool.verbs)
    content = [at for at, word in enumerate(heard.words) if word.key not in STOP_WORDS and word.key not in _ANOTHER]
    if not content or len(content) > 4 or any(leaf.several for leaf in tool.leaves):
        return None
    values = {path: value for path, value in read(tool.leaves, heard, _document(before)).items() if path in before.values}
    if any(heard.free(at, at + 1) for at in content):
        values = {}
        bare = [
            leaf
            for leaf in tool.leaves
            if leaf.kind in ("place", "person") and isinstance(before.values.get(leaf.path), str)
        ]
        name = range(content[0], content[-1] + 1)
        if len(bare) == 1 and content == list(name) and content[0] <= 1:
            values[bare[0].path] = titled(heard.passage(name.start, name.stop))
    kinds = {leaf.kind for leaf in tool.leaves if leaf.path in values}
    if not values or kinds == {"text"}:
        return None
    return draft(tool, {**before.values, **values})


def resume(box: ToolBox, turns: Sequence[Turn], now: datetime) -> Resumed | None:
    """The call that the last turn goes on with, or None: nothing was asked, or the last turn is about something else.

    `turns` ends with the user. What was asked is seen from the words of the assistant, as far as they were heard.
    """
    rounds = 0
    while rounds < MAX_ROUNDS and _asked(box, turns, rounds + 1):
        rounds += 1
    for asked in range(rounds, 0, -1):
        if resumed := _replay(box, turns[len(turns) - 1 - 2 * asked :], now):
            return resumed
    return None


def _asked(box: ToolBox, turns: Sequence[Turn], rounds: int) -> bool:
    """Whether there was a user's turn and a question of ours, this many rounds ago."""
    at = len(turns) - 2 * rounds
    return at >= 1 and turns[at].role == "assistant" and turns[at - 1].role == "user" and box.asks(_spoken(turns[at]))


def _replay(box: ToolBox, turns: Sequence[Turn], now: datetime) -> Resumed | None:
    """Request, then questions and answers in turn; every question must be the one that follows from what was said."""
    drafts = plan(box, turns[0].text, now)
    if len(drafts) != 1:
        return None
    call = drafts[0]
    understood = False
    asked: Leaf | None = None
    for spoken, answer in zip(turns[1::2], turns[2::2], strict=True):
        asked = call.missing
        if asked is None or not _is_question(spoken, asked):
            return None
        values = _answered(call, asked, answer.text, now)
        understood = asked.path in values
        call = draft(call.tool, {**values, **call.values})
    if asked is None or _starts_anew(box, turns[-1].text, asked, now):
        return None
    return Resumed(call, understood, asked)


def _is_question(spoken: Turn, leaf: Leaf) -> bool:
    """Whether this is our question, or the beginning of it (it may have been interrupted), or has it in a frame of words."""
    said, asked = _spoken(spoken), keys(question(leaf))
    return bool(said) and (asked.startswith(said) or asked in said)


def _spoken(turn: Turn) -> str:
    """What the assistant said, as far as it was heard, without the apology before it."""
    return keys(turn.text[: 2 * MAX_QUESTION].removeprefix(SORRY))[:MAX_QUESTION]


def _answered(call: Draft, asked: Leaf, answer: str, now: datetime) -> Values:
    """What the answer says: the place that was asked for, and others by the way ("tomorrow, for four people")."""
    heard = Heard(answer, now, call.tool.verbs)
    values: Values = {}
    if (value := read_answer(asked, heard, _document(call))) is not None:
        values[asked.path] = value
    open_places = tuple(leaf for leaf in call.tool.leaves if leaf.kind not in ("text", "person", "place", "boolean"))
    others = read(open_places, heard, _document(call))
    return {**{path: value for path, value in others.items() if path not in call.values}, **values}


def _starts_anew(box: ToolBox, text: str, asked: Leaf, now: datetime) -> bool:
    """Whether the answer is a request by itself. A message may read like one and is still a message."""
    if asked.kind == "text":
        return False
    chosen = box.choose(text, now)
    return chosen is not None and chosen.points >= ENOUGH and len(split(text)) > 3


def _document(call: Draft) -> Document:
    return Document(call.tool.parameters)
