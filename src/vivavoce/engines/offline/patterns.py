"""Regular expressions in tools' schemas, the plain ones: `^[A-Z]{2}-\\d+$`.

A client's expression over a client's text could hold up the event loop for minutes ("catastrophic backtracking"). So only
sequences of characters and classes are read, each with an optional count: no groups, no alternatives, at most two
counts without an end. Everything else matches nothing.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TEXT = 256
_ATOM = re.compile(
    r"(?P<atom>\\[dwsDWS]|\\[^a-zA-Z0-9]|\[\^?(?:\\.|[^\]\\])+\]|[^\\\[\](){}*+?|^$.]|\.)"
    r"(?P<count>[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?"
)
_EXAMPLES: Final = "A0a1-_./:@+# ,"
"""What a class is tried with."""


def _atoms(pattern: object) -> list[tuple[str, str]] | None:
    """The pattern as (character or class, count), or None: it is not a plain one."""
    if not isinstance(pattern, str) or len(pattern) > 200:
        return None
    body = pattern.removeprefix("^")
    if body.endswith("$") and not body.endswith("\\$"):
        body = body[:-1]
    atoms = []
    at = 0
    while at < len(body):
        atom = _ATOM.match(body, at)
        if atom is None:
            return None
        atoms.append((atom["atom"], atom["count"] or ""))
        at = atom.end()
    endless = sum(count in ("*", "+") or "," in count for _, count in atoms)
    return atoms if endless <= 2 else None


def is_plain(pattern: object) -> bool:
    """Whether `matches` knows the answer."""
    return _atoms(pattern) is not None


def matches(pattern: object, text: str) -> bool:
    """Whether the text matches, as JSON schema has it: anywhere, unless the pattern is anchored."""
    if _atoms(pattern) is None or len(text) > MAX_TEXT:
        return False
    try:
        return re.search(str(pattern), text) is not None
    except re.error:
        return False


def sample(pattern: object) -> str | None:
    """A short text that matches, or None: none was found."""
    atoms = _atoms(pattern)
    if atoms is None:
        return None
    text = ""
    for atom, count in atoms:
        times = 1 if count in ("", "+") else 0 if count in ("*", "?") else int(re.findall(r"\d+", count)[0])
        try:
            fitting = (
                atom if len(atom) == 1 and atom != "." else next((c for c in _EXAMPLES if re.fullmatch(atom, c)), atom[-1])
            )
        except re.error:
            return None
        text += fitting * times
    return text if matches(pattern, text) else None
