"""Units of measure: "five minutes" for a parameter in seconds is 300."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from vivavoce.engines.offline.words import stem

_TABLES: Final = (
    {  # time, in seconds
        "millisecond ms": Fraction(1, 1000),
        "second sec s": Fraction(1),
        "minute min": Fraction(60),
        "hour hr h": Fraction(3600),
        "day": Fraction(86400),
        "week": Fraction(604800),
    },
    {  # length, in meters
        "millimeter millimetre mm": Fraction(1, 1000),
        "centimeter centimetre cm": Fraction(1, 100),
        "meter metre m": Fraction(1),
        "kilometer kilometre km": Fraction(1000),
        "inch": Fraction(254, 10000),
        "foot feet ft": Fraction(3048, 10000),
        "yard": Fraction(9144, 10000),
        "mile": Fraction(1609344, 1000),
    },
    {"gram g": Fraction(1, 1000), "kilogram kilo kg": Fraction(1)},
    {"milliliter millilitre ml": Fraction(1, 1000), "liter litre l": Fraction(1)},
    {"degree celsius centigrade": Fraction(1)},
    {"percent %": Fraction(1)},
    {"dollar usd": Fraction(1)},
    {"euro eur": Fraction(1)},
)

_UNITS: Final = {
    stem(word): (table, size)
    for table, sizes in enumerate(_TABLES)
    for names, size in sizes.items()
    for word in names.split()
}


def is_unit(word: str) -> bool:
    """Whether the word names a unit, in singular or plural."""
    return stem(word) in _UNITS


def factor(said: str, wanted: str) -> Fraction | None:
    """What to multiply by to have the wanted unit. None: the units measure different things, or are none."""
    one, other = _UNITS.get(stem(said)), _UNITS.get(stem(wanted))
    if one is None or other is None or one[0] != other[0]:
        return None
    return one[1] / other[1]
