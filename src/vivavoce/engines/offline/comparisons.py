"""Yes or no: the few questions that rules can decide."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from vivavoce.engines.offline import arithmetic, memory
from vivavoce.engines.offline.dates import MONTHS, WEEKDAYS
from vivavoce.engines.offline.numbers import read_number
from vivavoce.engines.offline.situation import Situation
from vivavoce.engines.offline.words import split

_COMPARED = re.compile(
    r"^(?:is|are|does|do) (?P<left>.+?) "
    r"(?:(?P<more>greater|more|bigger|larger|higher) than|(?P<less>less|smaller|lower|fewer) than|"
    r"(?:equal to|equals|equal|the same as|make|makes)) (?P<right>.+)$"
)
_CLAIMED = re.compile(r"^(?:is|are) (?:my|the|our) (?P<thing>.+?) (?P<value>\S+)$")
_TODAY = re.compile(rf"^is (?:it|today) (?P<name>{'|'.join((*WEEKDAYS, *MONTHS))}|\d{{4}})(?: today)?$")
_TRUE = re.compile(r"\b(?:can|do) you hear me\b|\bare you (?:there|an? (?:machine|computer|robot|bot|program))\b")
_LEAD: Final = ("is ", "are ")


def decide(situation: Situation) -> bool | None:
    """Whether it is so; None: that is not for rules to say."""
    said = situation.said
    if compared := _COMPARED.match(said):
        left, right = _value(compared["left"]), _value(compared["right"])
        if left is not None and right is not None:
            return left > right if compared["more"] else left < right if compared["less"] else left == right
    if (equal := _split_claim(said)) is not None:
        return equal
    if named := _TODAY.match(said):
        return named["name"] in (WEEKDAYS[situation.now.weekday()], MONTHS[situation.now.month - 1], str(situation.now.year))
    if claimed := _CLAIMED.match(said):
        fact = memory.remembered(situation.earlier, situation.background).get(claimed["thing"])
        return fact.value.lower() == claimed["value"] if fact else None
    return True if _TRUE.search(said) else None


def _split_claim(said: str) -> bool | None:
    """ "Is two plus two four": a calculation, and a number right after it."""
    if not said.startswith(_LEAD):
        return None
    words = split(said.split(" ", 1)[1])
    for at in range(len(words) - 1, 1, -1):
        claimed = read_number(words, at)
        result = arithmetic.calculate(words[:at])
        if claimed and claimed.end == len(words) and result and result.value is not None:
            return result.value == claimed.value
    return None


def _value(text: str) -> Fraction | None:
    words = split(text)
    if result := arithmetic.calculate(words):
        return result.value
    number = read_number(words, 0)
    return number.value if number and number.end == len(words) else None
