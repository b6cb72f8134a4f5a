"""msgspec's validation errors in the very words of the hosted API, so that what people found on the web still helps.

| msgspec says | the client hears |
|---|---|
| Object missing required field `x` - at `$.item` | missing_required_parameter, Missing required parameter: 'item.x'. |
| Object contains unknown field `x` - at `$.item` | unknown_parameter, Unknown parameter: 'item.x'. |
| Expected `int`, got `str` - at `$.x` | invalid_type, Invalid type for 'x': expected an integer, but got a string instead. |
| Invalid enum value 'a' - at `$.x` | invalid_value, Invalid value: 'a'. Supported values are: 'b' and 'c'. |
| Expected `int` >= 1 - at `$.x` | invalid_value, Invalid 'x': integer below minimum value. Expected a value >= 1, … |
| Invalid base64 encoded string - at `$.audio` | invalid_value, Invalid 'audio'. Expected base64-encoded audio bytes … |

The hosted API has finer codes for ranges (`integer_below_min_value`); the contract's list knows `invalid_value` only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from vivavoce.protocol.errors import RequestError

_LONGEST: Final = 64
"""Characters of the client's own text that a message may repeat. A value can be 24 MiB long; our frames may not."""

_AT: Final = " - at `"
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)
_TYPES = re.compile(r"^Expected `([a-z |]+)`, got `([a-z]+)`$")
_BOUND = re.compile(r"^Expected `(int|float)[a-z |]*` (>=|<=|>|<) (\S+)$")
_LENGTH = re.compile(r"^Expected `str[a-z |]*` of length <= (\d+)$")
_WORDS: Final = {
    "str": "a string",
    "bytes": "a base64-encoded string",
    "int": "an integer",
    "float": "a decimal number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def refusal(
    error: msgspec.ValidationError, schema: Any, value: Any = None, prefix: str = "", event_id: str | None = None
) -> RequestError:
    """What to tell the client about `error`, which decoding or converting `value` to the type `schema` raised.

    `schema` gives the supported values, `value` (if the caller has it) the number that is out of range. `prefix`, such as
    `session`, goes before the path.
    """
    text, at, where = str(error).rpartition(_AT)
    if not at:
        text, where = where, "$"
    path = where.rstrip("`").partition("$")[2].replace("[...]", "")
    found = _FIELD.match(text)
    if found:
        path = f"{path}.{clipped(found[2])}"
    param = f"{prefix}{path}" if prefix else path.removeprefix(".")
    if found:
        code, word = _ABOUT_FIELDS[found[1]]
        return RequestError(code, f"{word} parameter: '{param}'.", param, event_id)
    code, message = _sentence(text, param, schema, value, path)
    return RequestError(code, message, param or None, event_id)


_ABOUT_FIELDS: Final = {
    "missing required": ("missing_required_parameter", "Missing required"),
    "contains unknown": ("unknown_parameter", "Unknown"),
}


def _sentence(text: str, param: str, schema: Any, value: Any, path: str) -> tuple[str, str]:
    """Code and message of an error about the value at `path`."""
    if types := _TYPES.match(text):
        return "invalid_type", wrong_type(param, (_WORDS[name.strip()] for name in types[1].split("|")), types[2])
    if text == "Expected `str`":  # msgspec says no more about a `type` that is not a string
        return "invalid_type", wrong_type(param, ("a string",), kind_of(_value_at(value, path)))
    if text.startswith(("Invalid enum value ", "Invalid value ")):
        given = text.removeprefix("Invalid enum value ").removeprefix("Invalid value ").strip("'")
        return "invalid_value", unsupported(given, supported(schema, path))
    if bound := _BOUND.match(text):
        return "invalid_value", _out_of_range(param, (bound[1], bound[2], bound[3]), _value_at(value, path))
    if length := _LENGTH.match(text):
        return "invalid_value", too_long(param, int(length[1]))
    if text.startswith("Invalid base64"):
        return "invalid_value", bad_audio(param)
    return "invalid_value", f"Invalid '{param}'. {clipped(text)}."


def wrong_type(param: str, expected: Iterable[str], got: str) -> str:
    """`expected` in words, `got` as msgspec names it (`str`, `object`)."""
    return f"Invalid type for '{param}': expected {' or '.join(expected)}, but got {_WORDS.get(got, got)} instead."


def unsupported(given: object, values: Iterable[object]) -> str:
    """A value that is none of `values`."""
    quoted = [f"'{value}'" for value in values]
    start = f"Invalid value: '{clipped(str(given))}'."
    if len(quoted) < 2:
        return f"{start} Value must be {quoted[0]}." if quoted else start
    listed = f"{', '.join(quoted[:-1])}{',' if len(quoted) > 2 else ''} and {quoted[-1]}"
    return f"{start} Supported values are: {listed}."


def too_long(param: str, longest: int) -> str:
    """A string of more than `longest` characters."""
    return f"Invalid '{param}': string too long. Expected a string with maximum length {longest}."


def bad_audio(param: str) -> str:
    """Audio that is not base64. The hosted API names PCM16 whatever the session's format is."""
    return f"Invalid '{param}'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz) but got an invalid value."


def clipped(text: str) -> str:
    """The client's own text, short enough to repeat."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def kind_of(value: object) -> str:
    """What msgspec calls a JSON value's type: `str`, `int`, `object` …"""
    kinds = {dict: "object", list: "array", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)


def _out_of_range(param: str, limit: tuple[str, str, str], value: Any) -> str:
    kind, relation, bound = limit
    number = "integer" if kind == "int" else "decimal"
    side = "below minimum" if ">" in relation else "above maximum"
    got = f", but got {value} instead" if isinstance(value, int | float) else ""
    return f"Invalid '{param}': {number} {side} value. Expected a value {relation} {bound}{got}."


def _value_at(value: Any, path: str) -> Any:
    """What the client sent at `path`; None where there is nothing."""
    try:
        for name, index in _STEP.findall(path):
            value = value[name] if name else value[int(index)]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def supported(schema: Any, path: str) -> list[object]:
    """The values that `schema` allows at `path`: of a literal, or of the `type` that tells the Structs of a union apart."""
    level = _flat([_inspected(schema)])
    tags: list[object] = []
    for name, _ in _STEP.findall(path):
        structs = [node for node in level if isinstance(node, inspect.StructType)]
        tags = [node.tag for node in structs if node.tag_field == name and node.tag is not None]
        level = _flat(_below(level, name))
    values = tags or [value for node in level if isinstance(node, inspect.LiteralType) for value in node.values]
    return list(dict.fromkeys(values))  # Both kinds of session have some fields, and their values, in common.


@cache
def _inspected(schema: Any) -> inspect.Type:
    return inspect.type_info(schema)


def _flat(nodes: Iterable[inspect.Type]) -> list[inspect.Type]:
    """Unions taken apart."""
    flat: list[inspect.Type] = []
    for node in nodes:
        flat.extend(_flat(node.types) if isinstance(node, inspect.UnionType) else [node])
    return flat


def _below(level: list[inspect.Type], name: str) -> list[inspect.Type]:
    """One step down: the field `name`, or the elements where `name` is empty."""
    below: list[inspect.Type] = []
    for node in level:
        if isinstance(node, inspect.StructType):
            below.extend(field.type for field in node.fields if field.encode_name == name)
        elif isinstance(node, inspect.VarTupleType | inspect.ListType) and not name:
            below.append(node.item_type)
    return below
