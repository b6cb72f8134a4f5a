"""msgspec's validation errors in the words of the Realtime API: `code`, `message` and `param`.

| msgspec says | we say |
|---|---|
| Object missing required field `x` - at `$.item` | missing_required_parameter, "Missing required parameter: 'item.x'." |
| Object contains unknown field `x` - at `$.audio` | unknown_parameter, "Unknown parameter: 'audio.x'." |
| Expected `int`, got `str` - at `$.audio_end_ms` | invalid_type, "Invalid type for 'audio_end_ms': expected an integer, but …" |
| Expected `float` <= 1.5, Invalid enum value 'x', Invalid base64 … | invalid_value |
"""

from __future__ import annotations

import re

import msgspec

from vivavoce.protocol.errors import RequestError

_SPLIT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"(missing required|contains unknown) field `([^`]*)`")
_TYPES = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`$")
_INVALID = re.compile(r"^Invalid (?:enum value|value) (.*)$", re.DOTALL)
_WORDS = {
    "str": "a string",
    "bytes": "a base64 string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def request_error(error: msgspec.ValidationError, prefix: str = "", event_id: str | None = None) -> RequestError:
    """What to tell the client. `prefix`, such as `session`, is put before the path."""
    matched = _SPLIT.match(str(error))
    what, path = (matched["what"], matched["path"] or "") if matched else (str(error), "")
    param = _join(prefix, path.removeprefix("$"))
    if field := _FIELD.search(what):
        param = _join(param, f".{field[2]}")
        if field[1] == "missing required":
            return RequestError("missing_required_parameter", f"Missing required parameter: '{param}'.", param, event_id)
        return RequestError("unknown_parameter", f"Unknown parameter: '{param}'.", param, event_id)
    if types := _TYPES.match(what):
        message = f"Invalid type for '{param}': expected {_wanted(types[1])}, but got {_wanted(types[2])} instead."
        return RequestError("invalid_type", message, param, event_id)
    if invalid := _INVALID.match(what):
        return RequestError("invalid_value", f"Invalid value for '{param}': {invalid[1][:100]}.", param, event_id)
    return RequestError("invalid_value", f"Invalid value for '{param}': {what[:200]}.", param, event_id)


def _join(prefix: str, path: str) -> str:
    return f"{prefix}{path}".lstrip(".")


def _wanted(types: str) -> str:
    words = [_WORDS.get(name.strip(), name.strip()) for name in types.split("|")]
    return words[0] if len(words) == 1 else "one of " + ", ".join(words)
