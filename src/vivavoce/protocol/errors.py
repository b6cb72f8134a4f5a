"""Every error has one blame.

    VivavoceError
     ├─ RequestError    the client's fault: an `error` event that names its `event_id`; the session lives on
     ├─ EngineError     a model's or an upstream's fault: `response.done` failed; the session lives on
     └─ SettingsError   the operator's fault: exit code 2 and the line that mends it

Anything else that is raised is our own bug: the client sees `server_error` without inner details, then close 1011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin

import msgspec


class VivavoceError(Exception):
    """Root of the hierarchy, for `except` clauses at the edges."""


class RequestError(VivavoceError):
    """The client asked for something that cannot be done.

    `code` and `param` go to the wire as they are (`param` is a dotted path into the client's event, such as
    `session.audio.input.turn_detection.type`); `message` is what a developer reads in a console. `event_id` is the client's
    name for the event at fault; only the codec sets it, for frames that never become an event.
    """

    def __init__(self, code: str, message: str, param: str | None = None, event_id: str | None = None) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.param: Final = param
        self.event_id: Final = event_id


class EngineError(VivavoceError):
    """A model or an upstream server failed. `code` is short and stable (`engine_timeout`); `message` is safe to show."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message


class SettingsError(VivavoceError):
    """The operator's settings cannot work. `str(error)` says which setting, and what to write instead."""


def wrong_value(error: msgspec.ValidationError) -> tuple[str, str]:
    """What is wrong with a setting, in the operator's words, and where: `expected an integer, got a string`, `limits.items`.

    `where` is empty if it is about the whole; of a table with free names it is the table.
    """
    message, _, where = str(error).partition(" - at `$")
    if message.startswith("Expected "):
        message = _TYPES.sub(lambda types: " or ".join(_KINDS.get(name, name) for name in types[1].split(" | ")), message)
    message = message.removeprefix("Object contains ").replace("Object missing required field", "missing")
    return f"{message[:1].lower()}{message[1:]}", where.rstrip("`").removeprefix(".").replace("[...]", "")


_TYPES: Final = re.compile(r"`([a-z |]+)`")
_KINDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def written_as(annotation: Any) -> str:
    """What may stand for a setting of this type, as the end of a message: " Write one of: off, cancel." or nothing."""
    choices = list(dict.fromkeys(_choices(annotation)))
    return f" Write one of: {', '.join(choices)}." if choices else ""


def _choices(annotation: Any) -> Iterator[str]:
    for part in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield str(part)
        else:
            yield from _choices(part)
