"""Dates and times of day: finding them in words, and saying them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from msgspec import Struct

from vivavoce.engines.offline.numbers import read_number, read_ordinal
from vivavoce.engines.offline.words import Word

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)

DATE_WORDS = frozenset([*WEEKDAYS, "today", "tonight", "tomorrow", "yesterday", "noon", "midnight", "weekend"])
"""Words that end a place or a name: "the weather in Paris tomorrow"."""

_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_PART_OF_DAY = {"noon": time(12), "midday": time(12), "midnight": time(0)}


class FoundDate(Struct, frozen=True):
    """A date in the words `[start, end)`."""

    value: date
    start: int
    end: int


class FoundTime(Struct, frozen=True):
    """A time of day in the words `[start, end)`."""

    value: time
    start: int
    end: int


def find_date(text: str, words: Sequence[Word], now: datetime) -> FoundDate | None:
    """The first date that is named: "tomorrow", "on Friday", "the third of May", "in two weeks", "2026-11-22"."""
    for iso in _ISO.finditer(text):
        covered = [at for at, word in enumerate(words) if word.key and iso.start() <= word.start < iso.end()]
        day = _date(int(iso[1]), int(iso[2]), int(iso[3]))
        if day and covered:
            return FoundDate(day, covered[0], covered[-1] + 1)
    for at in range(len(words)):
        if found := _relative(words, at, now.date()) or _of_month(words, at, now.date()):
            return found
    return None


def find_time(words: Sequence[Word]) -> FoundTime | None:
    """The first time of day that is named: "at seven", "7 pm", "half past six", "19:30", "noon".

    A number counts only with "at" before it or "am", "pm" or "o'clock" after it.
    """
    for at in range(len(words)):
        if found := _read_time(words, at):
            return found
    return None


def say_date(day: date) -> str:
    """ "Sunday, 22 November 2026"."""
    return f"{WEEKDAYS[day.weekday()].capitalize()}, {day.day} {MONTHS[day.month - 1].capitalize()} {day.year}"


def say_time(moment: datetime | time) -> str:
    """ "3:05 pm"."""
    return f"{moment.hour % 12 or 12}:{moment.minute:02} {'am' if moment.hour < 12 else 'pm'}"


def _key(words: Sequence[Word], at: int) -> str:
    return words[at].key if 0 <= at < len(words) else ""


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _shifted(today: date, days: int) -> date | None:
    try:
        return today + timedelta(days=days)
    except OverflowError:
        return None


def _relative(words: Sequence[Word], at: int, today: date) -> FoundDate | None:
    key = words[at].key
    if key == "day" and _key(words, at + 1) == "after" and _key(words, at + 2) == "tomorrow":
        return FoundDate(today + timedelta(days=2), at, at + 3)
    if (days := {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}.get(key)) is not None:
        return FoundDate(today + timedelta(days=days), at, at + 1)
    if key.removesuffix("s") in WEEKDAYS:
        ahead = (WEEKDAYS.index(key.removesuffix("s")) - today.weekday()) % 7
        named_next = _key(words, at - 1) == "next"
        start = at - 1 if _key(words, at - 1) in ("on", "next", "this") else at
        return FoundDate(today + timedelta(days=ahead or (7 if named_next else 0)), start, at + 1)
    if key == "next" and _key(words, at + 1) == "week":
        return FoundDate(today + timedelta(days=7), at, at + 2)
    if key == "in" and (amount := read_number(words, at + 1)) and amount.value.denominator == 1:
        unit = {"day": 1, "days": 1, "week": 7, "weeks": 7}.get(_key(words, amount.end), 0)
        if unit and (day := _shifted(today, int(amount.value) * unit)):
            return FoundDate(day, at, amount.end + 1)
    return None


def _of_month(words: Sequence[Word], at: int, today: date) -> FoundDate | None:
    """ "the third of May", "22 November 2026", "May 3rd"."""
    start = at
    if words[at].key in MONTHS and (number := read_ordinal(words, at + 2 if _key(words, at + 1) == "the" else at + 1)):
        month, day, end = words[at].key, int(number.value), number.end
    elif number := read_ordinal(words, at):
        after = number.end + 1 if _key(words, number.end) == "of" else number.end
        if _key(words, after) not in MONTHS:
            return None
        month, day, end = words[after].key, int(number.value), after + 1
        start = at - 1 if _key(words, at - 1) == "the" else at
    else:
        return None
    year = today.year
    if len(_key(words, end)) == 4 and _key(words, end).isdecimal() and 1900 <= int(_key(words, end)) <= 2999:
        year, end = int(_key(words, end)), end + 1
        found = _date(year, MONTHS.index(month) + 1, day)
    else:
        found = _date(year, MONTHS.index(month) + 1, day)
        if found and found < today:
            found = _date(year + 1, MONTHS.index(month) + 1, day)
    return FoundDate(found, start, end) if found else None


def _read_time(words: Sequence[Word], at: int) -> FoundTime | None:
    start = at - 1 if _key(words, at - 1) in ("at", "by") else at
    key = words[at].key
    if key in _PART_OF_DAY:
        return FoundTime(_PART_OF_DAY[key], start, at + 1)
    if ":" in key:
        hours, _, minutes = key.partition(":")
        return _finish_time(words, start, at + 1, int(hours), int(minutes), certain=True)
    if key in ("half", "quarter") and _key(words, at + 1) in ("past", "to"):
        amount = read_number(words, at + 2)
        if amount and amount.value.denominator == 1:
            part = 30 if key == "half" else 15
            hour, minute = divmod(int(amount.value) * 60 + (part if words[at + 1].key == "past" else -part), 60)
            return _finish_time(words, start, amount.end, hour, minute, certain=True)
    if (amount := read_number(words, at)) and amount.value.denominator == 1 and 0 <= amount.value < 24:
        hour, end = int(amount.value), amount.end
        minute = 0
        after = read_number(words, end)
        if after and after.value.denominator == 1 and 10 <= after.value < 60:
            minute, end = int(after.value), after.end
        return _finish_time(words, start, end, hour, minute, certain=_key(words, at - 1) == "at")
    return None


def _finish_time(words: Sequence[Word], start: int, end: int, hour: int, minute: int, *, certain: bool) -> FoundTime | None:
    """Take in "pm" and "o'clock", which also make a bare number a time."""
    half = ""
    if _key(words, end) in ("o'clock", "oclock"):
        end, certain = end + 1, True
    if _key(words, end) in ("am", "pm"):
        half, end, certain = words[end].key, end + 1, True
    elif _key(words, end) in ("a", "p") and _key(words, end + 1) == "m":
        half, end, certain = words[end].key + "m", end + 2, True
    elif _key(words, end) == "in" and _key(words, end + 2) in ("morning", "afternoon", "evening"):
        half, end, certain = "am" if words[end + 2].key == "morning" else "pm", end + 3, True
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    if not certain or not (0 <= hour < 24 and 0 <= minute < 60):
        return None
    return FoundTime(time(hour, minute), start, end)
