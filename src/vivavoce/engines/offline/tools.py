"""Which tool the user wants, and with what arguments.

Evidence is counted in points: a word of the tool's name 3 or 2, a synonym of one less, a word of its description or
parameters 1, and what the words fill in (a value of an enum 2, a number with the right unit 1.5, and so on). Some three
points make a call. A misheard word counts less, so nonsense stays below the bar.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from vivavoce.engines.offline import arithmetic
from vivavoce.engines.offline.heard import Heard
from vivavoce.engines.offline.parameters import Leaf, Values, assemble, flatten, question, standing
from vivavoce.engines.offline.quantities import has_unit
from vivavoce.engines.offline.readers import read
from vivavoce.engines.offline.samples import samples
from vivavoce.engines.offline.schema import Document
from vivavoce.engines.offline.synonyms import synonyms
from vivavoce.engines.offline.words import STOP_WORDS, Lexicon, Word, keys, name_words, split, stem, word_set
from vivavoce.protocol.objects import FunctionTool

MAX_TOOLS: Final = 128
MAX_DESCRIPTION: Final = 400
SHORTLIST: Final = 3
MAX_BOXES: Final = 64

ENOUGH: Final = 2.5
"""Points that make a call."""
ENOUGH_IF_ALL: Final = 2.0
"""Points that make a call if the user said little else."""

_GENERIC: Final = word_set("""
    get set do make fetch run check tool function my the current user find show update create handle perform execute use new
    retrieve give tell provide returns return specific based given used using allow
    """)
"""Words of names and descriptions that fit any tool."""

_FILLED: Final = {"enum": 2.0, "expression": 3.0, "boolean": 0.5, "text": 0.0, "person": 0.0, "other": 0.0}
"""Points for a filled place, by kind; 0.5 for the kinds that are not here."""

_REFUSALS: Final = ("do not", "never", "please do not", "you should not")
_REMARKS: Final = ("i like", "i love", "i hate", "i am", "i was", "i went", "i think", "it is", "it was", "thank")
"""How sentences begin that ask for nothing."""
_NOTES: Final = ("remember ", "please remember ")
"""How sentences begin that only a tool with a memory is asked for."""


class Tool(Struct, frozen=True):
    """A tool, ready for matching."""

    name: str
    parameters: Any
    """The JSON schema as it came; `True`, which allows anything, if none came."""
    leaves: tuple[Leaf, ...]
    verbs: Lexicon
    """The words of its name that say something, and their synonyms."""


class Draft(Struct, frozen=True):
    """A call in the making."""

    tool: Tool
    values: Values
    missing: Leaf | None
    """The place to ask for next. None: nothing is missing, or no answer could fill it."""
    arguments: dict[str, Any] | None
    """None while something is missing, or if nothing that we could say would validate."""


class Choice(Struct, frozen=True):
    """A tool that fits the words, what they say about its places, and how well it fits."""

    tool: Tool
    values: Values
    points: float
    named: float
    """Points for words of the tool's name alone."""

    @property
    def rank(self) -> float:
        """Points, and a little more where nothing would have to be asked for."""
        return self.points + (0.5 if all(leaf.path in self.values for leaf in self.tool.leaves if leaf.required) else 0.0)


class ToolBox:
    """The tools of a session with one vocabulary over all of them. Built once for a set of tools, then only read."""

    def __init__(self, tools: Sequence[FunctionTool]) -> None:
        self.tools = tuple(_prepare(tool) for tool in tools[:MAX_TOOLS])
        self._points: dict[str, dict[int, float]] = {}
        self._told: dict[str, dict[int, float]] = {}
        for at, (tool, source) in enumerate(zip(self.tools, tools, strict=False)):
            self._add_vocabulary(at, tool, source)
        self._lexicon = Lexicon(self._points)
        self._questions = {keys(question(leaf)) for tool in self.tools for leaf in tool.leaves if leaf.required}

    def named(self, name: str) -> Tool | None:
        """The tool of this name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def asks(self, said: str) -> bool:
        """Whether these words, as `keys` gives them, are a question for something missing, or begin or hold one."""
        return said != "" and any(asked.startswith(said) or asked in said for asked in self._questions)

    def choose(self, text: str, now: datetime) -> Choice | None:
        """The tool that the words ask for, or None: they ask for none."""
        begin = keys(text[:40])
        if begin.startswith(_REFUSALS + _REMARKS):
            return None
        ranked = self.rank(text, now)
        if begin.startswith(_NOTES):
            ranked = [(choice, True) for choice, _ in ranked if "remember" in choice.tool.verbs]
        for choice, enough in ranked[:1]:
            if enough and (_calculates(choice) or arithmetic.calculate(split(text)) is None):
                return choice
        return None

    def rank(self, text: str, now: datetime) -> list[tuple[Choice, bool]]:
        """The tools that the words have to do with, best first, each with whether it is enough for a call."""
        words = split(text)
        points = self._points_by_word(words)
        total = self._total(points, words)
        best = sorted(total, key=lambda at: -total[at])[:SHORTLIST]
        ranked = [self._judge(at, text, points, now) for at in best]
        return sorted(ranked, key=lambda entry: (not entry[1], -entry[0].rank, -entry[0].named))

    def _add_vocabulary(self, at: int, tool: Tool, source: FunctionTool) -> None:
        said = [word for word in name_words(tool.name) if word not in STOP_WORDS]
        for word in said:
            is_verb = word == said[0] and len(said) > 1  # "play" of `play_music` says less than "music"
            self._learn(self._points, word, at, 0.5 if word in _GENERIC else 2.0 if is_verb else 3.0)
            for other in synonyms(word):
                self._learn(self._points, other, at, 1.5 if is_verb else 2.0)
        for leaf in tool.leaves:
            for word in leaf.words:
                self._learn(self._points, word, at, 1.0)
            for option in leaf.options:
                for word in option.words:
                    self._learn(self._points, word, at, 1.0)
                    for other in synonyms(word):
                        self._learn(self._points, other, at, 0.9)
        description = source.description if source.description is not UNSET else ""
        for word in name_words(description[:MAX_DESCRIPTION]):
            if word not in STOP_WORDS and word not in _GENERIC and word != "call" and len(word) > 2:
                self._learn(self._told, stem(word), at, 1.0)

    @staticmethod
    def _learn(table: dict[str, dict[int, float]], word: str, at: int, points: float) -> None:
        tools = table.setdefault(word, {})
        tools[at] = max(points, tools.get(at, 0.0))

    def _total(self, points: Iterable[dict[int, float]], words: Sequence[Word]) -> dict[int, float]:
        """Points by tool for the words alone: enough to see which tools are worth a closer look."""
        total: dict[int, float] = {}
        for by_tool in points:
            for at, value in by_tool.items():
                total[at] = total.get(at, 0.0) + value
        if arithmetic.calculate(words) is not None:
            for at, tool in enumerate(self.tools):
                if any(leaf.kind == "expression" for leaf in tool.leaves):
                    total[at] = total.get(at, 0.0) + 1.0
        return total

    def _points_by_word(self, words: Sequence[Word]) -> list[dict[int, float]]:
        """For each word, the tools that it speaks for. A word that is said again counts only once."""
        found: list[dict[int, float]] = []
        seen: set[str] = set()
        for word in words:
            found.append({} if word.key in seen else self._points_of(word.key))
            seen.add(word.key)
        return found

    def _points_of(self, key: str) -> dict[int, float]:
        hit = self._lexicon.find(key)
        if key in STOP_WORDS:  # "on" and "to" say little, even where a parameter is named so
            return {at: value / 4 for at, value in self._points[key].items()} if hit and hit[0] == key else {}
        points = dict(self._told.get(stem(key), {}))
        if hit:
            for at, value in self._points[hit[0]].items():
                points[at] = max(points.get(at, 0.0), value * hit[1])
        return points

    def _judge(self, at: int, text: str, points: Sequence[dict[int, float]], now: datetime) -> tuple[Choice, bool]:
        """The tool with what the words fill in, and whether it all is enough for a call."""
        tool = self.tools[at]
        heard = Heard(text, now, tool.verbs)
        values = read(tool.leaves, heard, Document(tool.parameters))
        filled = [leaf for leaf in tool.leaves if leaf.path in values]
        by_word = [by_tool.get(at, 0.0) for by_tool in points]
        named = sum(value for value in by_word if value > 1.0)
        told = sum(value for value in by_word if value <= 1.0)
        # The words of an enum's values are among those of the tool: not to be counted twice.
        told = min(told, 1.0 if any(leaf.kind == "enum" for leaf in filled) else 2.0)
        total = named + told + sum(_points_for(leaf, values[leaf.path], heard) for leaf in filled)
        said = [index for index, word in enumerate(heard.words) if word.key not in STOP_WORDS]
        explained = [index for index in said if by_word[index] > 0 or not heard.free(index, index + 1)]
        nearly_all = bool(said) and len(explained) > 0.6 * len(said)
        return Choice(tool, values, total, named), total >= ENOUGH or (total >= ENOUGH_IF_ALL and nearly_all)


def _calculates(choice: Choice) -> bool:
    """Whether the tool takes calculations: as an expression, or as two numbers. Others do not get what we calculate."""
    numbers = [leaf for leaf in choice.tool.leaves if leaf.kind == "number" and leaf.path in choice.values]
    return len(numbers) > 1 or any(leaf.kind == "expression" for leaf in choice.tool.leaves)


def _points_for(leaf: Leaf, value: Any, heard: Heard) -> float:
    if leaf.kind == "enum":
        said = {word for option in leaf.options if option.value == value for word in option.words}
        return 0.5 if said and said <= STOP_WORDS else 2.0
    if leaf.kind == "number" and leaf.unit:
        return 1.5 if has_unit(leaf, heard) else 0.5
    return _FILLED.get(leaf.kind, 0.5)


_boxes_change = threading.Lock()
_boxes: dict[bytes, ToolBox] = {}
"""The latest sets of tools. Building one takes milliseconds; a session asks for the same one again and again."""


def toolbox(tools: tuple[FunctionTool, ...]) -> ToolBox:
    """The box for these tools. Callable from any thread."""
    encoded = msgspec.json.encode(tools)
    if (box := _boxes.get(encoded)) is None:
        box = ToolBox(tools)
        with _boxes_change:
            if len(_boxes) >= MAX_BOXES:
                del _boxes[next(iter(_boxes))]
            _boxes[encoded] = box
    return box


def is_ready(tools: tuple[FunctionTool, ...]) -> bool:
    """Whether `toolbox` answers at once."""
    return msgspec.json.encode(tools) in _boxes


def _prepare(tool: FunctionTool) -> Tool:
    parameters: Any = tool.parameters if tool.parameters is not UNSET else True
    verbs = [word for word in name_words(tool.name) if word not in STOP_WORDS]
    return Tool(
        name=tool.name,
        parameters=parameters,
        leaves=flatten(parameters),
        verbs=Lexicon([*verbs, *(other for word in verbs for other in synonyms(word))]),
    )


def draft(tool: Tool, values: Values) -> Draft:
    """The call with these values: whole, or with the first place that is still to be asked for."""
    values = dict(values)
    for leaf in tool.leaves:
        if not leaf.required or leaf.path in values:
            continue
        if (value := standing(leaf)) is ...:
            return Draft(tool, values, leaf if leaf.can_be_asked_for else None, None)
        values[leaf.path] = value
    return Draft(tool, values, None, assemble(tool.parameters, tool.leaves, values))


def forced(tool: Tool, text: str, now: datetime) -> dict[str, Any]:
    """Arguments for a call that must be made: what the words say, and sensible placeholders for the rest.

    `{}` if this module knows nothing that validates (a schema that allows nothing, or is too intricate).
    """
    values = read(tool.leaves, Heard(text, now, tool.verbs), Document(tool.parameters))
    for leaf in tool.leaves:
        if leaf.required and leaf.path not in values:
            said = text.strip() if leaf.kind in ("text", "other") else ""
            for value in islice(samples(Document(tool.parameters), leaf.schema, said), 1):
                values[leaf.path] = value
    arguments = assemble(tool.parameters, tool.leaves, values)
    if arguments is None:
        arguments = next((v for v in samples(Document(tool.parameters), tool.parameters) if isinstance(v, dict)), {})
    return arguments
