"""Numbers for a tool's parameters, in the unit that the parameter has."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from vivavoce.engines.offline.heard import Heard
from vivavoce.engines.offline.numbers import HOMOPHONES, Amount, find_numbers, to_json
from vivavoce.engines.offline.parameters import Leaf
from vivavoce.engines.offline.units import factor, is_unit
from vivavoce.engines.offline.words import STOP_WORDS, stem


def read_quantity(leaf: Leaf, heard: Heard) -> Any:
    """The number for this place; all numbers, where it takes several.

    A number in another unit is not taken. Nor is one without a unit where that leaves doubt: "a timer for five" may mean
    minutes, and "that one" means no number at all.
    """
    amounts = _free_amounts(heard)
    if leaf.several:
        for amount in amounts:
            heard.take(amount.start, amount.end)
        return [to_json(amount.value * (_unit_after(leaf, heard, amount)[0] or 1)) for amount in amounts] or None
    if leaf.unit and (measured := _measured(leaf, heard, amounts)) is not None:
        return to_json(measured)
    if leaf.unit and factor(leaf.unit, "seconds") is not None:
        return None
    for amount in sorted(amounts, key=lambda amount: not _is_beside_name(leaf, heard, amount)):
        is_pronoun = heard.key(amount.start) == "one" and (leaf.unit != "" or not leaf.required)
        if not (leaf.unit and is_unit(heard.key(amount.end))) and (not is_pronoun or _is_beside_name(leaf, heard, amount)):
            heard.take(amount.start, amount.end)
            return to_json(amount.value)
    return None


def bare_number(leaf: Leaf, heard: Heard) -> Any:
    """The first number, whatever stands beside it: in an answer to "How many?" there is no doubt."""
    return next((to_json(amount.value) for amount in _free_amounts(heard)), None)


def homophone(leaf: Leaf, heard: Heard) -> Any:
    """A word that sounds like a number, where nothing but a number was asked for."""
    return next((HOMOPHONES[word.key] for word in heard.words if word.key in HOMOPHONES), None)


def has_unit(leaf: Leaf, heard: Heard) -> bool:
    """Whether a unit was said that the place could have."""
    return any(factor(word.key, leaf.unit) is not None for word in heard.words)


def _free_amounts(heard: Heard) -> list[Amount]:
    return [amount for amount in find_numbers(heard.words) if heard.free(amount.start, amount.end)]


def _measured(leaf: Leaf, heard: Heard, amounts: list[Amount]) -> Fraction | None:
    """All that is said in units of the right kind: "an hour", "five minutes and thirty seconds"."""
    total: Fraction | None = None
    for amount in amounts:
        scale, end = _unit_after(leaf, heard, amount)
        if scale is not None:
            heard.take(amount.start, end)
            total = (total or 0) + amount.value * scale
    for at, word in enumerate(heard.words):
        if total is None and word.key in ("a", "an") and not heard.key(at + 1).endswith("s"):
            total = factor(heard.key(at + 1), leaf.unit)
            if total is not None:
                heard.take(at, at + 2)
    return total


def _unit_after(leaf: Leaf, heard: Heard, amount: Amount) -> tuple[Fraction | None, int]:
    """What makes the amount one in the place's unit, and where its words end. A small word may have slipped in between."""
    for at in (amount.end, amount.end + 1):
        if leaf.unit and (scale := factor(heard.key(at), leaf.unit)) is not None:
            return scale, at + 1
        if heard.key(at) not in STOP_WORDS:
            break
    return None, amount.end


def _is_beside_name(leaf: Leaf, heard: Heard, amount: Amount) -> bool:
    """ "Four people" for a place of the name `people`."""
    beside = {stem(heard.key(at)) for at in (amount.start - 1, amount.start - 2, amount.end)}
    return not beside.isdisjoint(map(stem, leaf.words))
