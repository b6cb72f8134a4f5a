"""A tool's parameters: its JSON schema as a flat list of places to fill, and filled places as arguments."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, Literal

from msgspec import Struct

from vivavoce.engines.offline.numbers import find_numbers, say
from vivavoce.engines.offline.patterns import is_plain
from vivavoce.engines.offline.schema import Document, Schema, array, kinds, mapping, number, strings
from vivavoce.engines.offline.units import is_unit
from vivavoce.engines.offline.words import Lexicon, Word, name_words, split, word_set

MAX_LEAVES: Final = 64
MAX_OPTIONS: Final = 256
MAX_OPTIONS_NAMED: Final = 6
"""Up to so many are named in the question."""
MAX_DEPTH: Final = 3

Kind = Literal[
    "enum",
    "number",
    "boolean",
    "date",
    "time",
    "datetime",
    "place",
    "person",
    "code",
    "expression",
    "language",
    "text",
    "other",
]

_NAMES: Final[dict[Kind, frozenset[str]]] = {
    "datetime": word_set("datetime timestamp when"),
    "date": word_set("date day deadline birthday"),
    "time": word_set("time hour"),
    "place": word_set("city location place town country address destination origin region area where venue airport room"),
    "person": word_set("person recipient contact attendee callee customer guest who"),
    "code": word_set("id code zip pin phone postcode postal account isbn"),
    "expression": word_set("expression formula equation calculation"),
    "language": word_set("language lang"),
}
"""What a string parameter's name says about it. The first that matches counts."""

_WHOSE_NAME: Final = ("user", "full", "first", "last", "guest", "contact", "customer")
_FROM: Final = word_set("origin from departure start source")
_TO: Final = word_set("destination to target end arrival")

Path = tuple[str, ...]
"""Property names from the outside in; `[]` is the one element of an array of objects."""

Values = dict[Path, Any]


class Option(Struct, frozen=True):
    """One value of an enum, and the words that say it."""

    value: Any
    words: tuple[str, ...]


class Leaf(Struct, frozen=True, kw_only=True):
    """One place to fill."""

    path: Path
    words: tuple[str, ...]
    """Of its name, without words that say nothing: `is_urgent` gives "urgent"."""
    schema: Schema
    """The schema of the whole place; `item` is that of one value where the place takes several."""
    item: Schema
    several: bool
    required: bool
    kind: Kind
    options: tuple[Option, ...]
    lexicon: Lexicon
    """Finds the words of the options."""
    unit: str
    """The unit that a number has, such as "meters", or empty."""

    @property
    def can_be_asked_for(self) -> bool:
        """Whether an answer could fill it, and we could tell that it does."""
        pattern = self.item.get("pattern")
        return self.kind != "other" and (pattern is None or is_plain(pattern))

    @property
    def prepositions(self) -> tuple[str, ...]:
        """What stands before a place of this name, the likeliest first."""
        if not _FROM.isdisjoint(self.words):
            return ("from",)
        if not _TO.isdisjoint(self.words):
            return ("to", "towards", "into")
        return ("in", "near", "around", "inside", "at", "for", "from", "to", "of")


def flatten(parameters: Any) -> tuple[Leaf, ...]:
    """The places to fill, in the order of the schema, at most `MAX_LEAVES`."""
    document = Document(parameters)
    return tuple(_leaves(document, document.resolve(parameters), (), required=True))[:MAX_LEAVES]


def _leaves(document: Document, schema: Schema, path: Path, *, required: bool) -> list[Leaf]:
    found: list[Leaf] = []
    names = strings(schema.get("required"))
    for name, inner in list(mapping(schema.get("properties")).items())[:MAX_LEAVES]:
        if len(found) >= MAX_LEAVES:
            break
        place = (*path, name)
        branch = document.branches(document.resolve(inner))[0]
        needed = required and name in names
        item = document.branches(document.resolve(branch.get("items")))[0] if "array" in kinds(branch) else branch
        if "properties" in item and len(path) < MAX_DEPTH:
            place = (*place, "[]") if item is not branch else place
            found += _leaves(document, item, place, required=needed)
        else:
            found.append(_leaf(place, branch, item, required=needed))
    return found


def _leaf(path: Path, schema: Schema, item: Schema, *, required: bool) -> Leaf:
    name = path[-1] if path[-1] != "[]" else path[-2]
    words = tuple(name_words(name)) or (name,)
    options = _options(item)
    description = item.get("description", schema.get("description"))
    is_of_thing = path[-2:-1] == ("[]",) and words == ("name",)  # of a thing in a list of things, not of a person
    kind = (
        "enum"
        if options
        else "text"
        if is_of_thing
        else _kind(words, item, description if isinstance(description, str) else "")
    )
    return Leaf(
        path=path,
        words=tuple(word for word in words if word not in ("is", "has", "should", "with", "the", "use")) or words,
        schema=schema,
        item=item,
        several=item is not schema,
        required=required,
        kind=kind,
        options=options,
        lexicon=Lexicon(word for option in options for word in option.words),
        unit=_unit(words, str(description or "")) if kind == "number" else "",
    )


def _options(item: Schema) -> tuple[Option, ...]:
    values = [item["const"]] if "const" in item else array(item.get("enum"))
    said = [(value, canonical(split(" ".join(name_words(str(value)))))) for value in values[:MAX_OPTIONS]]
    return tuple(Option(value, tuple(word for word, _, _ in words)) for value, words in said if words)


def canonical(words: tuple[Word, ...]) -> list[tuple[str, int, int]]:
    """The words with numbers as digits ("ten" and "10" are the same), each with the words `[start, end)` it stands for."""
    found = []
    amounts = {amount.start: amount for amount in find_numbers(words)}
    at = 0
    while at < len(words):
        amount = amounts.get(at)
        found.append((say(amount.value), at, amount.end) if amount else (words[at].key, at, at + 1))
        at = found[-1][2]
    return found


def _kind(words: tuple[str, ...], item: Schema, description: str) -> Kind:
    types = kinds(item) or ("string",)
    if "boolean" in types:
        return "boolean"
    if "number" in types or "integer" in types:
        return "number"
    if "string" not in types:
        return "other"
    form = item.get("format")
    if form in ("date", "time"):
        return "date" if form == "date" else "time"
    if form == "date-time":
        return "datetime"
    if words == ("to",) or (words[-1:] == ("name",) and (len(words) == 1 or words[0] in _WHOSE_NAME)):
        return "person"
    for kind, names in _NAMES.items():
        if not names.isdisjoint(words):
            return kind
    told = name_words(description)[:8]
    return "place" if not {"city", "location", "place"}.isdisjoint(told) else "text"


def _unit(words: tuple[str, ...], description: str) -> str:
    """ "distance_meters" is in meters, and so is "distance" if its description says so."""
    named = next((word for word in words if is_unit(word)), "")
    return named or next((word for word in name_words(description) if len(word) > 2 and is_unit(word)), "")


_QUESTIONS: Final[dict[Kind, str]] = {
    "boolean": "{name}: yes or no?",
    "person": "Who is the {name}?",
    "time": "At what time?",
    "datetime": "When?",
    "text": "What is the {name}?",
    "expression": "What is the {name}?",
    "code": "What is the {name}?",
}
"""How to ask, by kind. The kinds that are not here: "Which city?"."""


def question(leaf: Leaf) -> str:
    """How to ask for it: "Which city?"."""
    name = " ".join(leaf.words)
    if leaf.kind == "enum" and 1 < len(leaf.options) <= MAX_OPTIONS_NAMED:
        said = [" ".join(name_words(str(option.value))) or str(option.value) for option in leaf.options]
        return f"Which {name}: {', '.join(said[:-1])} or {said[-1]}?"
    if leaf.kind == "number":
        things = leaf.unit or (name if name.endswith(("s", "people", "children")) else "")
        return f"{f'How many {things}' if things else f'What is the {name}'}{_range(leaf.item)}?"
    if leaf.kind == "person" and name in ("to", "who"):
        return "To whom?" if name == "to" else "Who?"
    asked = "What is the {name}?" if "name" in leaf.words else _QUESTIONS.get(leaf.kind, "Which {name}?")
    asked = asked.format(name=name)
    return asked[:1].upper() + asked[1:]


def _range(schema: Schema) -> str:
    low, high = number(schema, "minimum"), number(schema, "maximum")
    return f", from {say(low)} to {say(high)}" if low is not None and high is not None else ""


def assemble(parameters: Any, leaves: tuple[Leaf, ...], values: Values) -> dict[str, Any] | None:
    """The arguments, or None: they would not validate.

    Where a value from the user makes an optional part invalid, the part is left out.
    """
    document = Document(parameters)
    kept = {leaf.path: values[leaf.path] for leaf in leaves if leaf.path in values}
    arguments = _nest(kept)
    if document.fits(arguments, parameters if parameters is not None else True):
        return arguments
    needed = {leaf.path for leaf in leaves if leaf.required}
    arguments = _nest({path: value for path, value in kept.items() if path in needed})
    return arguments if document.fits(arguments, parameters if parameters is not None else True) else None


def _nest(values: Mapping[Path, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in values.items():
        place: dict[str, Any] = root
        for step, following in pairwise(path):
            if step != "[]":
                inner = place.setdefault(step, [{}] if following == "[]" else {})
                place = inner[0] if isinstance(inner, list) else inner
        place[path[-1]] = value
    return root


def standing(leaf: Leaf) -> Any:
    """What a required place holds if nobody says otherwise: its default, or the only value that it may have. Else `...`."""
    if "const" in leaf.schema:
        return leaf.schema["const"]
    if "default" in leaf.schema:
        return leaf.schema["default"]
    options = array(leaf.schema.get("enum"))
    return options[0] if len(options) == 1 else ...
