"""What a tool returned, as a sentence: JSON is told, plain text is said as it is, errors are owned up to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from vivavoce.engines.offline.conversation import Result
from vivavoce.engines.offline.dates import say_date
from vivavoce.engines.offline.schema import mapping
from vivavoce.engines.offline.units import is_unit
from vivavoce.engines.offline.words import name_words, word_set
from vivavoce.protocol.objects import FunctionCall

MAX_JSON: Final = 20_000
"""Characters. A longer output is not read as JSON, and is told in its first words."""
MAX_FACTS: Final = 12
MAX_DEPTH: Final = 3
MAX_TEXT: Final = 300
MAX_PLAIN: Final = 4_000

_GETTERS: Final = word_set("get fetch check read find lookup look search show retrieve current query list calculate")
_PLAIN_KEYS: Final = word_set("""
    conditions condition description summary message text answer result results status value forecast weather output content
    response data current details info body title reply note
    """)
"""Keys that say less than their value."""
_FLAGS: Final = ("success", "ok", "succeeded", "successful", "done", "completed")
_GOOD: Final = ("ok", "success", "successful", "succeeded", "done", "completed", "complete", "200")
_BAD: Final = ("error", "failed", "failure", "fail")
_REASONS: Final = ("error", "errors", "message", "reason", "detail", "details", "error_message", "description")
_PLACES: Final = word_set("city location place town country region area room")
_UNIT_KEYS: Final = ("unit", "units", "temperature_unit", "currency")
_SHORT_UNITS: Final = {
    "c": "degrees celsius",
    "f": "degrees fahrenheit",
    "pct": "percent",
    "kmh": "kilometers per hour",
    "kph": "kilometers per hour",
    "mph": "miles per hour",
}


def speak(results: Sequence[Result]) -> str:
    """The results, one sentence or two for each. The same sentence is not said twice."""
    return " ".join(dict.fromkeys(_speak(result) for result in results))


def _speak(result: Result) -> str:
    text = result.output.strip()
    value = _parsed(text)
    if isinstance(value, dict) and (problem := _problem(value)) is not None:
        return f"That did not work{f': {problem}' if problem else ''}".rstrip(".") + "."
    subject = _subject(result.call)
    if value is None or value in ("", [], {}, True) or _is_mere_success(value):
        return f"{subject}: nothing was found." if subject and value in (None, "", [], {}) else "Done."
    if isinstance(value, str):
        return f"{subject}: {value}" if subject and not _is_sentence(value) else value
    if value is False:
        return "That did not work."
    facts = _bounded(list(_facts(value, _echoed(result.call), 0)))
    if not facts:
        return "Done."
    told = ", ".join(facts)
    if subject:
        return f"{subject}: {told}."
    return f"{told[:1].upper()}{told[1:]}." if not told.endswith((".", "!", "?")) else told


def _parsed(text: str) -> Any:
    """The JSON value, or the text itself where it is none."""
    if not text:
        return None
    if len(text) > MAX_JSON:
        return text[:MAX_PLAIN]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _problem(value: Mapping[str, Any]) -> str | None:
    """What went wrong, in the tool's words, perhaps none; None: nothing did."""
    failed = any(value.get(flag) is False for flag in _FLAGS) or str(value.get("status")).lower() in _BAD
    if not failed and not value.get("error") and not value.get("errors"):
        return None
    for key in _REASONS:
        reason = value.get(key)
        if isinstance(reason, dict):
            reason = reason.get("message")
        if isinstance(reason, str) and reason:
            return reason[:MAX_TEXT]
    return ""


def _is_mere_success(value: Any) -> bool:
    """Nothing but "it worked"."""
    if isinstance(value, str):
        return value.lower().rstrip(".!") in _GOOD
    if not isinstance(value, dict):
        return False
    return all((key in _FLAGS and inner is True) or str(inner).lower() in _GOOD for key, inner in value.items())


def _is_sentence(text: str) -> bool:
    return text[-1:] in ".!?" or len(text.split()) > 6


def _subject(call: FunctionCall | None) -> str:
    """ "The weather in Paris", if the tool is one that looks something up."""
    if call is None:
        return ""
    words = name_words(call.name)
    if not words or words[0] not in _GETTERS or not (rest := [word for word in words if word not in _GETTERS]):
        return ""
    for key, value in _arguments(call).items():
        if isinstance(value, str) and 0 < len(value) <= 40:
            joint = "in" if not _PLACES.isdisjoint(name_words(key)) else "for"
            return f"The {' '.join(rest)} {joint} {value}"
    return f"The {' '.join(rest)}"


def _arguments(call: FunctionCall | None) -> Mapping[str, Any]:
    return mapping(_parsed(call.arguments)) if call else {}


def _echoed(call: FunctionCall | None) -> tuple[str, ...]:
    """What the user said anyway: arguments that come back in the result."""
    return tuple(value.lower() for value in _arguments(call).values() if isinstance(value, str))


def _bounded(facts: list[str]) -> list[str]:
    more = len(facts) - MAX_FACTS
    return facts if more <= 0 else [*facts[:MAX_FACTS], f"and {more} more"]


def _facts(value: Any, echoed: tuple[str, ...], depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        unit = next((str(value[key]) for key in _UNIT_KEYS if isinstance(value.get(key), str)), "")
        for key, inner in list(value.items())[: 4 * MAX_FACTS]:
            if inner is None or key in _UNIT_KEYS or key in _FLAGS or (isinstance(inner, str) and inner.lower() in echoed):
                continue
            yield from _fact(name_words(key), inner, unit, echoed, depth)
    elif isinstance(value, list):
        yield from _entries(value, echoed, depth)
    else:
        yield _scalar(value)


def _entries(entries: list[Any], echoed: tuple[str, ...], depth: int) -> Iterator[str]:
    """Simple values as one enumeration, objects one by one."""
    if all(not isinstance(entry, dict | list) for entry in entries):
        said = [_scalar(entry) for entry in entries[:MAX_FACTS]]
        if said:
            yield f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
        return
    for entry in entries[:MAX_FACTS]:
        if told := " ".join(_facts(entry, echoed, depth + 1)):
            yield told


def _fact(words: list[str], value: Any, unit: str, echoed: tuple[str, ...], depth: int) -> Iterator[str]:
    """One key with its value: "humidity 40 percent"."""
    name = " ".join(words)
    is_plain = len(words) == 1 and words[0] in _PLAIN_KEYS
    if isinstance(value, bool):
        yield name if value else f"not {name}"
    elif isinstance(value, dict | list):
        inner = list(_facts(value, echoed, depth + 1))
        if inner and not is_plain and isinstance(value, list):
            inner[0] = f"{name} {inner[0]}"
        yield from inner
    elif isinstance(value, int | float):
        yield _measure(words, value, unit)
    elif value != "" and str(value).lower() not in _GOOD:
        yield _scalar(value) if is_plain else f"{name} {_scalar(value)}"


def _measure(words: list[str], value: float, unit: str) -> str:
    last = words[-1] if words else ""
    if "temperature" in words or "temp" in words or words == ["feels", "like"]:
        name = " ".join(word for word in words if word not in ("temperature", "temp", "celsius", "fahrenheit", "c", "f"))
        scale = next((word for word in words if word in ("celsius", "fahrenheit", "c", "f")), unit.strip("°").lower())
        degrees = _SHORT_UNITS.get(scale, f"degrees {scale}".strip())
        return f"{name} {_scalar(value)} {degrees}".strip()
    if len(words) > 1 and (last in _SHORT_UNITS or is_unit(last)) and last not in ("c", "f"):
        return f"{' '.join(words[:-1])} {_scalar(value)} {_SHORT_UNITS.get(last, last)}"
    if len(words) == 1 and (last in _PLAIN_KEYS or (is_unit(last) and len(last) > 2)):
        return f"{_scalar(value)} {last if is_unit(last) else unit}".strip()
    return f"{' '.join(words)} {_scalar(value)} {unit if 'price' in words or 'cost' in words else ''}".strip()


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    text = str(value)[:MAX_TEXT]
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return say_date(date.fromisoformat(text))
        except ValueError:
            return text
    return text
