"""Arithmetic, spoken and written: "what is twelve times seven", "15% of 80", "3+4*2". Nothing is evaluated as code.

sum     = product { ("+" | "-") product }
product = signed { ("*" | "/" | "of" | "off") signed }
signed  = "-" signed | "root" signed | power
power   = postfix [ "^" signed ]
postfix = primary { "%" | "squared" | "cubed" | "doubled" }
primary = number | "(" sum ")"
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from vivavoce.engines.offline.numbers import HOMOPHONES, read_number, say, to_json
from vivavoce.engines.offline.words import Word, word_set

MAX_SYMBOLS = 60
MAX_BITS = 400
"""How large a result may become: some 120 digits."""

_PHRASES = {
    ("plus",): "+",
    ("added", "to"): "+",
    ("+",): "+",
    ("minus",): "-",
    ("negative",): "-",
    ("less",): "-",
    ("take", "away"): "-",
    ("-",): "-",
    ("times",): "*",
    ("time",): "*",
    ("multiplied", "by"): "*",
    ("x",): "*",
    ("*",): "*",
    ("×",): "*",
    ("divided", "by"): "/",
    ("divide", "by"): "/",
    ("over",): "/",
    ("/",): "/",
    ("÷",): "/",
    ("to", "the", "power", "of"): "^",
    ("to", "the", "power"): "^",
    ("^",): "^",
    ("*", "*"): "^",
    ("square", "root", "of"): "root",
    ("square", "root"): "root",
    ("root", "of"): "root",
    ("√",): "root",
    ("percent",): "%",
    ("per", "cent"): "%",
    ("%",): "%",
    ("squared",): "squared",
    ("cubed",): "cubed",
    ("of",): "of",
    ("off",): "off",
    ("(",): "(",
    (")",): ")",
}
_LONGEST = max(map(len, _PHRASES))

_SPOKEN = {
    "+": "plus",
    "-": "minus",
    "*": "times",
    "/": "divided by",
    "^": "to the power of",
    "root": "the square root of",
    "%": "percent",
}

_LEAD = word_set("""
    what is how much are does do you know can could would calculate compute evaluate work out solve tell me please so and the
    result of answer to hey ok okay well uh um now then just i want need wants know like us many value equals whats sum
    """)
_TRAIL = word_set("please = equals equal is make makes now for me thanks thank you what uh um")

_IMPERATIVES = {
    "add": ("+", ("and", "to", "with")),
    "multiply": ("*", ("by", "and", "with", "times")),
    "divide": ("/", ("by", "through")),
    "subtract": ("-", ("from",)),
    "sum": ("+", ("and",)),
    "product": ("*", ("and",)),
    "difference": ("-", ("and",)),
}
"""A word that comes before both numbers, and what stands between them."""


class Sum(Struct, frozen=True):
    """A calculation that was asked for."""

    spoken: str
    """As it was understood: "12 times 7"."""
    value: Fraction | None
    problem: str = ""
    """Why there is no value, as a sentence."""
    approximate: bool = False


class _Refused(Exception):
    """It is arithmetic, but has no answer here; the text is a sentence for the user."""


class _NotArithmetic(Exception):
    """The words are something else."""


def calculate(words: Sequence[Word]) -> Sum | None:
    """The calculation that these words ask for, or None: they ask for something else.

    Every word must belong to it, but for phrases around it such as "what is" and "please".
    """
    symbols = _read_symbols(words)
    if not symbols or len(symbols) > MAX_SYMBOLS or not _has_operator(symbols):
        return None
    parser = _Parser(symbols)
    try:
        value = parser.all()
    except _NotArithmetic:
        return None
    except _Refused as refused:
        return Sum(_say(symbols), None, str(refused))
    return Sum(_say(symbols), value, approximate=parser.approximate)


def answer(result: Sum) -> str:
    """The calculation as a sentence."""
    if result.value is None:
        return result.problem
    if abs(result.value) >= 10**15:
        return f"{_capital(result.spoken)} is a number of {len(str(abs(int(result.value))))} digits, too long to say."
    value = say(result.value)
    about = "about " if result.approximate and not value.startswith(("about", "minus about")) else ""
    return f"{_capital(result.spoken)} is {about}{value}."


def written(words: Sequence[Word]) -> str:
    """The calculation in the notation of programming languages ("12 * 7"), or nothing: the words ask for something else."""
    symbols = _read_symbols(words) or []
    if calculate(words) is None or "off" in symbols:
        return ""
    notation = {"^": "**", "%": "/ 100", "squared": "** 2", "cubed": "** 3", "of": "*", "root": "sqrt"}
    out: list[str] = []
    for symbol in symbols:
        said = str(to_json(symbol)) if isinstance(symbol, Fraction) else notation.get(symbol, symbol)
        out.append(f"({said})" if out and out[-1] == "sqrt" and isinstance(symbol, Fraction) else said)
    return " ".join(out).replace("sqrt (", "sqrt(").replace("( ", "(").replace(" )", ")")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _read_symbols(words: Sequence[Word]) -> list[Fraction | str] | None:
    start, end = _trim(words)
    spoken = words[start:end]
    if spoken and spoken[0].key in _IMPERATIVES:
        return _read_imperative(spoken)
    return _read_infix(spoken)


def _trim(words: Sequence[Word]) -> tuple[int, int]:
    """Without the words around the calculation."""
    start, end = 0, len(words)
    while start < end and words[start].key in _LEAD and not _is_named_operation(words, start):
        start += 1
    while end > start and (words[end - 1].key in _TRAIL):
        end -= 1
    return start, end


def _is_named_operation(words: Sequence[Word], at: int) -> bool:
    """ "sum" is one of the leading words ("what is the sum 2 + 2"), unless it names the operation ("the sum of 2 and 2")."""
    return words[at].key in _IMPERATIVES and at + 1 < len(words) and words[at + 1].key == "of"


def _read_infix(words: Sequence[Word]) -> list[Fraction | str] | None:
    symbols: list[Fraction | str] = []
    at = 0
    while at < len(words):
        if words[at].key == "the":
            at += 1
            continue
        symbol, length = _read_operator(words, at)
        if not length:
            number, length = _read_operand(words, at, operand_is_due=not symbols or _wants_operand(symbols[-1]))
            if number is None:
                return None
            symbol = number
        symbols.append(symbol)
        at += length
    return symbols


def _wants_operand(symbol: Fraction | str) -> bool:
    return isinstance(symbol, str) and symbol not in (")", "%", "squared", "cubed")


def _read_operator(words: Sequence[Word], at: int) -> tuple[Fraction | str, int]:
    for length in range(min(_LONGEST, len(words) - at), 0, -1):
        if symbol := _PHRASES.get(tuple(word.key for word in words[at : at + length])):
            return symbol, length
    return "", 0


def _read_operand(words: Sequence[Word], at: int, *, operand_is_due: bool) -> tuple[Fraction | None, int]:
    if (amount := read_number(words, at)) is not None:
        return amount.value, amount.end - at
    if operand_is_due and words[at].key in HOMOPHONES:
        return Fraction(HOMOPHONES[words[at].key]), 1
    return None, 0


def _read_imperative(words: Sequence[Word]) -> list[Fraction | str] | None:
    """ "subtract 3 from 10", "the sum of 2 and 3": two sides around a separator."""
    operator, separators = _IMPERATIVES[words[0].key]
    rest = [word for word in words[1:] if word.key not in ("of", "between", "the")]
    for at, word in enumerate(rest):
        if word.key not in separators:
            continue
        left, right = _read_infix(rest[:at]), _read_infix(rest[at + 1 :])
        if left and right:
            if words[0].key == "subtract":
                left, right = right, left
            return ["(", *left, ")", operator, "(", *right, ")"]
    return None


def _has_operator(symbols: Sequence[Fraction | str]) -> bool:
    """Whether something is to be calculated. A number alone, or with a sign, is no calculation."""
    after_first = any(symbol in ("+", "-", "*", "/", "^", "%", "squared", "cubed", "of") for symbol in symbols[1:])
    return after_first or "root" in symbols


def _say(symbols: Sequence[Fraction | str]) -> str:
    """Without brackets around single numbers: nobody says them."""
    out: list[str] = []
    for at, symbol in enumerate(symbols):
        if isinstance(symbol, Fraction):
            out.append(say(symbol))
        elif symbol in ("(", ")"):
            if symbols[at + 2 : at + 3] != [")"] and symbols[max(0, at - 2) : max(0, at - 1)] != ["("]:
                out.append(symbol)
        else:
            out.append(_SPOKEN.get(symbol, symbol))
    return " ".join(out).replace("( ", "(").replace(" )", ")")


class _Parser:
    """One reading of the grammar above."""

    def __init__(self, symbols: Sequence[Fraction | str]) -> None:
        self._symbols = symbols
        self._at = 0
        self.approximate = False

    def all(self) -> Fraction:
        value = self._sum()
        if self._at != len(self._symbols):
            raise _NotArithmetic
        return value

    def _next_is(self, *symbols: str) -> str:
        """Take the next symbol if it is one of these."""
        if self._at < len(self._symbols) and (symbol := self._symbols[self._at]) in symbols:
            self._at += 1
            return str(symbol)
        return ""

    def _sum(self) -> Fraction:
        value = self._product()
        while sign := self._next_is("+", "-"):
            began = self._at
            other = self._product()
            if self._at - began == 2 and self._symbols[began + 1] == "%":
                other *= value  # as pocket calculators have it: 80 + 15% is 92
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while sign := self._next_is("*", "/", "of", "off"):
            if sign in ("of", "off") and not self._part_stands_before_of():
                raise _NotArithmetic
            other = self._signed()
            if sign == "off":  # 20% off 50 leaves 80% of it
                value = 1 - value
            if sign == "/" and other == 0:
                raise _Refused("Nothing can be divided by zero.")
            value = _bounded(value / other if sign == "/" else value * other)
        return value

    def _part_stands_before_of(self) -> bool:
        """ "15 percent of", "half of"; but not "ten of"."""
        before = self._symbols[self._at - 2]
        return before == "%" or (isinstance(before, Fraction) and before.denominator != 1)

    def _signed(self) -> Fraction:
        if self._next_is("-"):
            return -self._signed()
        if self._next_is("root"):
            return self._root(self._signed())
        return self._power()

    def _root(self, value: Fraction) -> Fraction:
        if value < 0:
            raise _Refused("A negative number has no square root that I could say.")
        top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
        if top * top == value.numerator and bottom * bottom == value.denominator:
            return Fraction(top, bottom)
        self.approximate = True
        return Fraction(math.isqrt(value.numerator * 10**24 // value.denominator), 10**12)

    def _power(self) -> Fraction:
        base = self._postfix()
        if not self._next_is("^"):
            return base
        exponent = self._signed()
        if exponent.denominator != 1:
            raise _Refused("I can only raise a number to a whole power.")
        if base == 0 and exponent < 0:
            raise _Refused("Nothing can be divided by zero.")
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base not in (0, 1, -1) and abs(exponent) * bits > MAX_BITS:
            raise _Refused("That number is too large for me.")
        return _bounded(base ** (exponent.numerator if base not in (0, 1, -1) else _same_parity(exponent.numerator)))

    def _postfix(self) -> Fraction:
        value = self._primary()
        while symbol := self._next_is("%", "squared", "cubed"):
            value = _bounded({"%": value / 100, "squared": value**2, "cubed": value**3}[symbol])
        return value

    def _primary(self) -> Fraction:
        if self._next_is("("):
            value = self._sum()
            if not self._next_is(")"):
                raise _NotArithmetic
            return value
        if self._at < len(self._symbols) and isinstance(number := self._symbols[self._at], Fraction):
            self._at += 1
            return number
        raise _NotArithmetic


def _same_parity(exponent: int) -> int:
    """A small exponent with the same effect on 0, 1 and -1."""
    return 0 if exponent == 0 else 2 - exponent % 2


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise _Refused("That number is too large for me.")
    return value
