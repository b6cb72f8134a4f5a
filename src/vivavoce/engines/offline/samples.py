"""Some value that fits a schema: what to say when a tool must be called and the user did not say what with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Any, Final

from vivavoce.engines.offline import patterns
from vivavoce.engines.offline.numbers import to_json
from vivavoce.engines.offline.schema import Document, Schema, array, kinds, mapping, number, strings

MAX_TRIES: Final = 32
"""Values that are tried for one place."""
MAX_DEPTH: Final = 6

_FORMATS: Final = {
    "email": "user@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "date-time": "2000-01-01T00:00:00Z",
    "duration": "PT0S",
}


def samples(document: Document, schema: Any, text: str = "", depth: int = 0) -> Iterator[Any]:
    """Values that fit, the most sensible first. May be none: the schema allows nothing, or is beyond this module.

    `text` is what a string may say, for example the user's words.
    """
    if depth > MAX_DEPTH or document.spent:
        return
    for option in document.branches(document.resolve(schema)):
        for value in islice(_guesses(document, option, text, depth), MAX_TRIES):
            if document.spent:
                return
            if document.fits(value, schema):
                yield value


def _guesses(document: Document, schema: Schema, text: str, depth: int) -> Iterator[Any]:
    for keyword in ("const", "default"):
        if keyword in schema:
            yield schema[keyword]
    yield from array(schema.get("enum"))
    yield from array(schema.get("examples"))
    if "const" in schema or "enum" in schema:
        return
    for kind in kinds(schema) or ("string", "object", "number", "array"):
        if kind in ("array", "object"):
            yield from (_arrays if kind == "array" else _objects)(document, schema, text, depth)
        elif kind == "string":
            yield from _strings(schema, text)
        elif kind in ("number", "integer"):
            yield from _numbers(schema, whole=kind == "integer")
        else:
            yield from (False, True) if kind == "boolean" else (None,)


def _strings(schema: Schema, text: str) -> Iterator[str]:
    form = schema.get("format")
    if isinstance(form, str) and form in _FORMATS:
        yield _FORMATS[form]
    if (sample := patterns.sample(schema.get("pattern"))) is not None:
        yield sample
    least, most = _count(schema, "minLength", 0), _count(schema, "maxLength", 1_000)
    for guess in (text, "unknown"):
        if guess:
            yield guess[:most].ljust(least, ".")
    for n in range(MAX_TRIES):
        yield str(n).rjust(least, "0")[:most]


def _numbers(schema: Schema, *, whole: bool) -> Iterator[int | float]:
    """From zero, one and the ends of the range onwards, in steps that suit it."""
    low = _largest(number(schema, "minimum"), number(schema, "exclusiveMinimum"))
    high = _smallest(number(schema, "maximum"), number(schema, "exclusiveMaximum"))
    step = abs(number(schema, "multipleOf") or Fraction(0))
    if not step and low is not None and high is not None:
        step = (high - low) / 16
        step = Fraction(max(1, int(step))) if whole else step
    step = step or Fraction(1)
    starts = [Fraction(0), Fraction(1)]
    starts += [math.ceil(low / step) * step, low] if low is not None else []
    starts += [math.floor(high / step) * step, high] if high is not None else []
    for n in range(4):
        for start in starts:
            for value in (start + n * step, start - n * step) if n else (start,):
                if value.denominator == 1 or not whole:
                    yield to_json(value)


def _largest(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    return one if other is None else other if one is None else max(one, other)


def _smallest(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    return one if other is None else other if one is None else min(one, other)


def _arrays(document: Document, schema: Schema, text: str, depth: int) -> Iterator[list[Any]]:
    least = _count(schema, "minItems", 0)
    if least > MAX_TRIES:
        return
    found = samples(document, schema.get("items", True), text, depth + 1)
    items = list(islice(found, max(least, 1) if schema.get("uniqueItems") is True else 1))
    if items and len(items) < least:
        items *= least
    yield items[:least]
    if items and not least:
        yield items[:1]


def _objects(document: Document, schema: Schema, text: str, depth: int) -> Iterator[dict[str, Any]]:
    properties = mapping(schema.get("properties"))
    required = strings(schema.get("required"))
    missing = _count(schema, "minProperties", 0) - len(required)
    more = [name for name in properties if name not in required] + [f"extra{n}" for n in range(4)]
    value = {}
    for name in [*required, *more[: max(0, missing)]][: 2 * MAX_TRIES]:
        inner = properties.get(name, schema.get("additionalProperties", True))
        for sample in islice(samples(document, inner, text, depth + 1), 1):
            value[name] = sample
    yield value


def _count(schema: Schema, keyword: str, default: int) -> int:
    value = number(schema, keyword)
    return int(value) if value is not None and 0 <= value <= 10_000 else default
