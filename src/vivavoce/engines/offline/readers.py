"""From the user's words to the values of a tool's parameters.

Each place is read by a rule for its kind. A word that one place has taken is gone for the others, so the order matters:
what can hardly be mistaken comes first (enums, dates, numbers with their unit), free text takes what is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time
from typing import Any, Final

from vivavoce.engines.offline import arithmetic
from vivavoce.engines.offline.dates import find_date, find_time
from vivavoce.engines.offline.free_text import bare_answer, read_person, read_place, read_text
from vivavoce.engines.offline.heard import Heard
from vivavoce.engines.offline.numbers import find_numbers
from vivavoce.engines.offline.parameters import Kind, Leaf, Option, Values, canonical
from vivavoce.engines.offline.phrases import LANGUAGES
from vivavoce.engines.offline.quantities import bare_number, homophone, read_quantity
from vivavoce.engines.offline.schema import Document
from vivavoce.engines.offline.synonyms import synonyms
from vivavoce.engines.offline.words import STOP_WORDS, is_ordinary, stem, word_set

_ORDER: Final[tuple[Kind, ...]] = (
    "enum", "datetime", "date", "time", "expression", "code", "number", "language", "place", "boolean", "person", "text",
)  # fmt: skip

_ON: Final = word_set("on enable enabled open start activate yes true lock")
_OFF: Final = word_set("off disable disabled close stop deactivate no false unlock")
_YES: Final = word_set("yes yeah yep yup sure true correct right okay ok please absolutely definitely affirmative on")
_NO: Final = word_set("no nope nah false not never negative off")

_CODE = re.compile(r"(?<![\w-])[\w-]*\d[\w-]*(?![\w-])")


def read(leaves: tuple[Leaf, ...], heard: Heard, document: Document) -> Values:
    """All that the words say about these places."""
    values: Values = {}
    for kind in _ORDER:
        of_kind = [leaf for leaf in leaves if leaf.kind == kind]
        for leaf in sorted(of_kind, key=lambda leaf: (not (leaf.unit or leaf.prepositions[0] != "in"), not leaf.required)):
            value = _READERS[kind](leaf, heard)
            if value is not None and (value := _shaped(leaf, value, document)) is not None:
                values[leaf.path] = value
    return values


def read_answer(leaf: Leaf, heard: Heard, document: Document) -> Any:
    """What the words say if they answer the question for this place; None: nothing that fits."""
    for reader in _ANSWER_READERS.get(leaf.kind, (_READERS[leaf.kind], bare_answer)):
        value = reader(leaf, heard)
        if value is not None and (value := _shaped(leaf, value, document)) is not None:
            return value
    return None


def _shaped(leaf: Leaf, value: Any, document: Document) -> Any:
    """As a list where the place takes several, and None if it does not fit."""
    if leaf.several and not isinstance(value, list):
        value = [value]
    return value if document.fits(value, leaf.schema) else None


# --- one rule for each kind ---


def _read_enum(leaf: Leaf, heard: Heard) -> Any:
    """The option that is named; several, where the place takes several."""
    said = canonical(heard.words)
    corrected = [_corrected(leaf, word) for word, _, _ in said]
    found = _named_options(leaf, said, corrected) or _half_named_options(leaf, said)
    chosen: list[tuple[int, Any]] = []
    for _, start, end, option in sorted(found, key=lambda hit: (-hit[0], hit[1])):
        if heard.free(start, end) and option.value not in [value for _, value in chosen]:
            heard.take(start, end)
            if not leaf.several:
                return option.value
            chosen.append((start, option.value))
    return [value for _, value in sorted(chosen, key=lambda hit: hit[0])] or None


_Hit = tuple[float, int, int, Option]
"""How sure, the words `[start, end)`, and the option that they name."""


def _named_options(leaf: Leaf, said: Sequence[tuple[str, int, int]], corrected: Sequence[tuple[str, float]]) -> list[_Hit]:
    found: list[_Hit] = []
    present = {word for word, _ in corrected}
    for option in leaf.options:
        if option.words[0] not in present:
            continue
        length = len(option.words)
        for at in range(len(said) - length + 1):
            run = corrected[at : at + length]
            if tuple(word for word, _ in run) == option.words:
                found.append((sum(sure for _, sure in run), said[at][1], said[at + length - 1][2], option))
    return found


def _half_named_options(leaf: Leaf, said: Sequence[tuple[str, int, int]]) -> list[_Hit]:
    """ "Human" for the option `simulated_human`, if no other option has the word."""
    found: list[_Hit] = []
    for word, start, end in said:
        options = [option for option in leaf.options if len(option.words) > 1 and word in option.words]
        if len(options) == 1 and not is_ordinary(word):
            found.append((0.5, start, end, options[0]))
    return found


def _corrected(leaf: Leaf, word: str) -> tuple[str, float]:
    """The word of the options that is meant, with how sure that is."""
    if found := leaf.lexicon.find(word):
        return found
    if len(word) >= 4 and word not in STOP_WORDS:
        longer = {known for option in leaf.options for known in option.words if known.startswith(word)}
        if len(longer) == 1:
            return longer.pop(), 0.75
    for known in synonyms(word):
        if known in leaf.lexicon:
            return known, 0.9
    return word, 0.0


def _nearest_option(leaf: Leaf, heard: Heard) -> Any:
    """In an answer, a word that sounds like the beginning of an option is enough."""
    for word in heard.words:
        near = [
            option.value
            for option in leaf.options
            if len(word.key) >= 2 and option.words[:1] and option.words[0].startswith(word.key)
        ]
        if len(near) == 1 and word.key not in STOP_WORDS:
            return near[0]
    return None


def _read_boolean(leaf: Leaf, heard: Heard) -> bool | None:
    """ "Turn it on", or the name itself: "urgent", "not urgent"."""
    if not {"on", "enabled", "enable", "state", "power", "active", "open", "locked"}.isdisjoint(leaf.words):
        for word in heard.words:
            if word.key in _ON | _OFF:
                return word.key in _ON
    names = {stem(word) for word in leaf.words}
    for at, word in enumerate(heard.words):
        if stem(word.key) in names and word.key not in STOP_WORDS and heard.free(at, at + 1):
            heard.take(at, at + 1)
            return {heard.key(at - 1), heard.key(at - 2)}.isdisjoint(("not", "no", "without", "non"))
    return None


def _yes_or_no(leaf: Leaf, heard: Heard) -> bool | None:
    said = {word.key for word in heard.words}
    if not said.isdisjoint(_NO):
        return False
    return True if not said.isdisjoint(_YES) else None


def _read_date(leaf: Leaf, heard: Heard) -> str | None:
    found = find_date(heard.text, heard.rest(), heard.now)
    if found is None:
        return None
    heard.take(found.start, found.end)
    return found.value.isoformat()


def _read_time(leaf: Leaf, heard: Heard) -> str | None:
    found = find_time(heard.rest())
    if found is None:
        return None
    heard.take(found.start, found.end)
    if leaf.item.get("format") == "time":
        return datetime.combine(heard.now, found.value, heard.now.tzinfo or UTC).timetz().isoformat()
    return found.value.isoformat("minutes")


def _read_datetime(leaf: Leaf, heard: Heard) -> str | None:
    day, hour = find_date(heard.text, heard.rest(), heard.now), find_time(heard.rest())
    if day is None and hour is None:
        return None
    for found in (day, hour):
        if found is not None:
            heard.take(found.start, found.end)
    moment = datetime.combine(day.value if day else heard.now, hour.value if hour else time(), heard.now.tzinfo or UTC)
    return moment.isoformat(timespec="seconds")


def _read_expression(leaf: Leaf, heard: Heard) -> str | None:
    written = arithmetic.written(heard.words)
    if written:
        heard.take(0, len(heard.words))
    return written


def _read_code(leaf: Leaf, heard: Heard) -> str | None:
    """Digits and letters, however they were said: "A-123", "one two three"."""
    if typed := _CODE.search(heard.text):
        return typed.group()
    digits = ""
    for amount in find_numbers(heard.words):
        if heard.free(amount.start, amount.end) and amount.value.denominator == 1 and amount.value >= 0:
            digits += str(amount.value)
            heard.take(amount.start, amount.end)
    return digits or None


def _read_language(leaf: Leaf, heard: Heard) -> str | None:
    for at, word in enumerate(heard.words):
        if word.key in LANGUAGES and heard.free(at, at + 1):
            start = at - 1 if heard.key(at - 1) in ("to", "into", "in") else at
            heard.take(start, at + 1)
            return word.key.capitalize()
    return None


def _read_nothing(leaf: Leaf, heard: Heard) -> None:
    return None


_READERS: Final[dict[Kind, Callable[[Leaf, Heard], Any]]] = {
    "enum": _read_enum,
    "number": read_quantity,
    "boolean": _read_boolean,
    "date": _read_date,
    "time": _read_time,
    "datetime": _read_datetime,
    "place": read_place,
    "person": read_person,
    "code": _read_code,
    "expression": _read_expression,
    "language": _read_language,
    "text": read_text,
    "other": _read_nothing,
}

_ANSWER_READERS: Final[dict[Kind, tuple[Callable[[Leaf, Heard], Any], ...]]] = {
    "enum": (_read_enum, _nearest_option),
    "number": (read_quantity, bare_number, homophone),
    "boolean": (_yes_or_no,),
    "place": (bare_answer,),
    "person": (bare_answer,),
    "text": (bare_answer,),
    "other": (),
}
"""How an answer is read. The kinds that are not here: as always, else the whole answer."""
