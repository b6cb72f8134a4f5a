"""Sums of money in the order in which they are said: "$3.50" is "3 dollars 50", "€2 million" is "2 million euros". Pure.

For voices that read sign by sign: espeak-ng's phonemes, and models that were trained on words, say "dollar three point five
zero". English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from vivavoce.engines.speakable import Speakable

_UNITS: Final = {"$": ("dollar", "dollars"), "€": ("euro", "euros"), "£": ("pound", "pounds"), "¥": ("yen", "yen")}
_SUM: Final = re.compile(
    r"(?P<sign>[$€£¥]) ?(?P<whole>\d[\d,]*(?<!,))(?P<rest>\.\d+)?(?P<scale> (?:thousand|million|billion|trillion)\b)?(?!\w)"
)


def in_words(reading: Speakable) -> Speakable:
    """The same text with its sums as they are said. Most texts have none."""
    text = reading.text
    if not any(sign in text for sign in _UNITS):
        return reading
    pieces: list[str] = []
    origins: list[int] = []
    end = 0
    for match in _SUM.finditer(text):
        for piece, places in ((text[end : match.start()], range(end, match.start())), *_said(match)):
            pieces.append(piece)
            origins += (reading.origins[place] for place in places)
        end = match.end()
    return Speakable("".join((*pieces, text[end:])), (*origins, *reading.origins[end:]))


def _said(match: re.Match[str]) -> Iterator[tuple[str, Sequence[int]]]:
    """The parts of a sum, each with the places of its characters. A word of ours stands where the number before it ends."""
    singular, plural = _UNITS[match["sign"]]
    rest, is_split = match["rest"] or "", len(match["rest"] or "") == 3 and not match["scale"]
    number = range(match.start("whole"), match.end("whole") if is_split else match.end())
    written = match.string[number.start : number.stop]
    unit = f" {singular if written == '1' else plural}"
    yield written, number
    yield unit, [number.stop - 1] * len(unit)
    if is_split and rest != ".00":
        yield f" {rest[1:]}", range(match.start("rest"), match.end("rest"))
