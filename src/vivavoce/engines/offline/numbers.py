"""Numbers as people say and write them: "3.5", "twenty-one", "three and a half", "one point five million"."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from vivavoce.engines.offline.words import Word, word_list

_SMALL = word_list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = word_list("twenty thirty forty fifty sixty seventy eighty ninety")

_UNITS = {word: n for n, word in enumerate(_SMALL)}
_TEN_VALUES = {word: 10 * n for n, word in enumerate(_TENS, start=2)} | {"fourty": 40}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {"half": Fraction(1, 2), "quarter": Fraction(1, 4), "quarters": Fraction(1, 4), "third": Fraction(1, 3)}
_ARTICLES = ("a", "an")

HOMOPHONES = {"to": 2, "too": 2, "for": 4, "fore": 4, "won": 1, "ate": 8}
"""Words that sound like a number. Read as one only where nothing but a number makes sense."""

_ORDINALS = {
    word: n
    for n, word in enumerate(
        word_list(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
        ),
        start=1,
    )
} | {"thirtieth": 30}

NUMBER_WORDS = frozenset([*_UNITS, *_TEN_VALUES, *_SCALES, "hundred", "dozen", "half"])

MAX_DIGITS = 18


class Amount(Struct, frozen=True):
    """A number found in the words `[start, end)`."""

    value: Fraction
    start: int
    end: int


def read_number(words: Sequence[Word], start: int) -> Amount | None:
    """The longest number that begins at this word, without a sign."""
    found = _read_digits(words, start) or _read_spoken(words, start)
    if found is None:
        return None
    found = _add_decimals(words, found)
    found = _add_scale(words, found)
    return _add_part(words, found)


def find_numbers(words: Sequence[Word]) -> list[Amount]:
    """All numbers, in order; "minus" or "negative" in front of one belongs to it."""
    found: list[Amount] = []
    at = 0
    while at < len(words):
        amount = read_number(words, at)
        if amount is None:
            at += 1
            continue
        if at and words[at - 1].key in ("minus", "negative", "-") and not (found and found[-1].end == at - 1):
            amount = Amount(-amount.value, at - 1, amount.end)
        found.append(amount)
        at = amount.end
    return found


def read_ordinal(words: Sequence[Word], start: int) -> Amount | None:
    """ "third", "22nd", "twenty second"."""
    key = _key(words, start)
    if key in _ORDINALS:
        return Amount(Fraction(_ORDINALS[key]), start, start + 1)
    if key.isdecimal() and key.isascii() and len(key) <= 2:
        end = start + 2 if _key(words, start + 1) in ("st", "nd", "rd", "th") else start + 1
        return Amount(Fraction(int(key)), start, end)
    if key in _TEN_VALUES and _ORDINALS.get(_key(words, start + 1), 10) < 10:
        return Amount(Fraction(_TEN_VALUES[key] + _ORDINALS[_key(words, start + 1)]), start, start + 2)
    return None


def say(value: Fraction) -> str:
    """A number for reading and speaking: "1,234", "0.5", "minus 4", "about 0.333333"."""
    if value < 0:
        return f"minus {say(-value)}"
    if value.denominator == 1:
        return f"{value.numerator:,}"
    rounded = f"{float(value):,.6f}".rstrip("0").rstrip(".")
    exact = Fraction(rounded.replace(",", "")) == value
    return rounded if exact else f"about {rounded}"


def in_words(n: int) -> str:
    """A whole number from 0 to 100 in words."""
    if n == 100:
        return "one hundred"
    if n < 20:
        return _SMALL[n]
    tens, unit = divmod(n, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[unit]}" if unit else "")


def to_json(value: Fraction) -> int | float:
    """A number as JSON has it: whole where it is whole."""
    return value.numerator if value.denominator == 1 else float(value)


def _key(words: Sequence[Word], at: int) -> str:
    return words[at].key if 0 <= at < len(words) else ""


def _read_digits(words: Sequence[Word], start: int) -> Amount | None:
    digits = _key(words, start).replace(",", "")
    if not digits or not digits.replace(".", "", 1).isdecimal() or not digits.isascii() or len(digits) > MAX_DIGITS:
        return None
    return Amount(Fraction("0" + digits if digits[0] == "." else digits), start, start + 1)


def _read_spoken(words: Sequence[Word], start: int) -> Amount | None:
    """ "three hundred and twelve", "a dozen", "half": one word after the other, as long as they make one number."""
    if (part := _read_part_alone(words, start)) is not None:
        return part
    total = current = 0
    at = start
    if _key(words, at) in _ARTICLES and _key(words, at + 1) in ("hundred", "dozen", *_SCALES):
        current, at = 1, at + 1
    began = at
    while at < len(words):
        key = words[at].key
        if (grown := _grown(current, key, _key(words, at - 1) if at > began else "")) is not None:
            current = grown
        elif key in _SCALES and 0 < current < 1000 and total % (_SCALES[key] * 1000) == 0:
            total, current = total + current * _SCALES[key], 0
        elif not (key == "and" and at > began and _continues(words, at)):
            break
        at += 1
    return Amount(Fraction(total + current), start, at) if at > began else None


def _grown(number: int, key: str, before: str) -> int | None:
    """A number below a thousand with one word more, or None: the word does not go on with it."""
    if key in _UNITS or key in _TEN_VALUES:
        value = _UNITS.get(key, _TEN_VALUES.get(key, 0))
        after_tens = before in _TEN_VALUES and 0 < value < 10
        fits = before in ("", "hundred", "and", *_SCALES) and number % 100 == 0
        return number + value if after_tens or fits else None
    if key in ("hundred", "dozen") and 0 < number < 100:
        return number * (100 if key == "hundred" else 12)
    return None


def _continues(words: Sequence[Word], at: int) -> bool:
    """Whether the "and" here is inside a number: "three hundred and twelve"."""
    after = _key(words, at + 1)
    return _key(words, at - 1) in ("hundred", *_SCALES) and (after in _UNITS or after in _TEN_VALUES)


def _read_part_alone(words: Sequence[Word], start: int) -> Amount | None:
    """ "half", "half a", "a quarter"; but not the third of May, nor the second half."""
    if _key(words, start) == "half":
        return Amount(_PARTS["half"], start, start + 1)
    if _key(words, start) == "a" and _key(words, start + 1) in ("half", "quarter", "third"):
        return Amount(_PARTS[words[start + 1].key], start, start + 2)
    return None


def _add_decimals(words: Sequence[Word], amount: Amount) -> Amount:
    """ "three point one four"."""
    if _key(words, amount.end) != "point":
        return amount
    at = amount.end + 1
    digits = ""
    while at < len(words) and len(digits) < 9:
        key = words[at].key
        if _UNITS.get(key, 10) < 10:
            digits += str(_UNITS[key])
        elif key.isdecimal() and key.isascii() and len(key) < 9:
            digits += key
        else:
            break
        at += 1
    if not digits:
        return amount
    return Amount(amount.value + Fraction(int(digits), 10 ** len(digits)), amount.start, at)


def _add_scale(words: Sequence[Word], amount: Amount) -> Amount:
    """ "1.5 million"."""
    scale = _SCALES.get(_key(words, amount.end))
    if scale is None or amount.value >= 10**6:
        return amount
    return Amount(amount.value * scale, amount.start, amount.end + 1)


def _add_part(words: Sequence[Word], amount: Amount) -> Amount:
    """ "three and a half", "two and three quarters", "three quarters"."""
    at = amount.end
    if _key(words, at) in ("quarters", "thirds") and amount.value < 100:
        part = _PARTS["quarters"] if words[at].key == "quarters" else _PARTS["third"]
        return Amount(amount.value * part, amount.start, at + 1)
    if _key(words, at) != "and":
        return amount
    if _key(words, at + 1) == "a" and _key(words, at + 2) in ("half", "quarter", "third"):
        return Amount(amount.value + _PARTS[words[at + 2].key], amount.start, at + 3)
    if _key(words, at + 2) == "quarters" and _key(words, at + 1) in ("three", "3"):
        return Amount(amount.value + Fraction(3, 4), amount.start, at + 3)
    return amount
