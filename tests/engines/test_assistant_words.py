"""The floor of the offline assistant: words, numbers, arithmetic, dates, units."""

from datetime import date, time
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.assistant_dialogues import NOW
from vivavoce.engines.offline.arithmetic import calculate, written
from vivavoce.engines.offline.dates import find_date, find_time, say_date, say_time
from vivavoce.engines.offline.numbers import find_numbers, in_words, say
from vivavoce.engines.offline.units import factor
from vivavoce.engines.offline.words import Lexicon, keys, name_words, passage, split, word_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's the time?", "what is the time"),
        ("I don’t know", "i do not know"),
        ("twenty-one x-rays", "twenty one x rays"),
        ("3-4 = -1", "3 - 4 = - 1"),
        ("[unk] hello <unk>", "hello"),
        ("at 19:30, for 1,000.5 m", "at 19:30 for 1,000.5 m"),
        ("", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert keys(text) == expected


@given(st.text(max_size=200))
def test_words_stand_where_they_stood(text: str) -> None:
    words = split(text)
    assert all(0 <= word.start <= word.end <= len(text) for word in words)
    assert all(before.end <= after.start for before, after in pairwise(words))
    assert passage(text, words) in text


def test_identifiers() -> None:
    assert name_words("getWeather_forCity-2") == ["get", "weather", "for", "city", "2"]


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("weather", "weather"),
        ("whether", "weather"),
        ("wether", "weather"),
        ("meter", "meters"),
        ("moved", "move"),
        ("kitchin", "kitchen"),
    ],
)
def test_a_misheard_word_is_found(heard: str, meant: str) -> None:
    found = Lexicon(["weather", "meters", "move", "kitchen"]).find(heard)
    assert found
    assert found[0] == meant


@pytest.mark.parametrize("heard", ["time", "leaders", "the", "where", "ten", "mover's", ""])
def test_another_word_is_not_taken_for_it(heard: str) -> None:
    assert Lexicon(["timer", "meters", "then", "weather", "tan"]).find(heard) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twenty one", ["21"]),
        ("three and a half", ["7/2"]),
        ("three hundred and twelve", ["312"]),
        ("one hundred forty four", ["144"]),
        ("one two three", ["1", "2", "3"]),
        ("ten twenty", ["10", "20"]),
        ("one point five million", ["1500000"]),
        ("two million three hundred thousand and five", ["2300005"]),
        ("1,234.5 and .5", ["2469/2", "1/2"]),
        ("minus ten or -5", ["-10", "-5"]),
        ("3-4", ["3", "4"]),
        ("a dozen eggs, half a mile, a quarter", ["12", "1/2", "1/4"]),
        ("two and three quarters", ["11/4"]),
        ("salt and pepper", []),
    ],
)
def test_numbers(text: str, expected: list[str]) -> None:
    assert [amount.value for amount in find_numbers(split(text))] == [Fraction(value) for value in expected]


@given(st.integers(0, 100))
def test_numbers_in_words_are_read_back(n: int) -> None:
    (amount,) = find_numbers(split(in_words(n)))
    assert amount.value == n


@given(st.fractions(max_denominator=50))
def test_a_number_is_said_so_that_it_is_read_back(value: Fraction) -> None:
    said = say(value)
    if "about" not in said and abs(value) < 10**9:
        (amount,) = find_numbers(split(said))
        assert amount.value == value


@given(
    st.recursive(
        st.integers(-99, 99).map(str),
        lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
        max_leaves=8,
    )
)
@settings(max_examples=200)
def test_written_arithmetic_is_that_of_python(text: str) -> None:
    result = calculate(split(text))
    if any(sign in text for sign in ("+ ", "- ", "* ")):
        assert result is not None
        assert result.value == eval(text)
        assert eval(written(split(text))) == result.value


@given(
    st.lists(
        st.sampled_from(
            word_list(
                "what is 2 three ( ) + - * / ^ % of off plus times squared root and to the power point by over 9999999"
            )
        ),
        max_size=25,
    )
)
def test_arithmetic_always_ends(words: list[str]) -> None:
    result = calculate(split(" ".join(words)))
    assert result is None or result.value is not None or result.problem


@pytest.mark.parametrize(
    "text", ["ten of clubs", "what is minus five", "my name is", "two plus", "((1+1", "one of three", "24 7", ""]
)
def test_no_arithmetic(text: str) -> None:
    assert calculate(split(text)) is None


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("tomorrow", date(2026, 11, 23)),
        ("the day after tomorrow", date(2026, 11, 24)),
        ("on friday", date(2026, 11, 27)),
        ("sunday", date(2026, 11, 22)),
        ("next sunday", date(2026, 11, 29)),
        ("the third of may", date(2027, 5, 3)),
        ("December 24th", date(2026, 12, 24)),
        ("22 november 2027", date(2027, 11, 22)),
        ("in two weeks", date(2026, 12, 6)),
        ("on 2027-01-31 or later", date(2027, 1, 31)),
        ("may i go", None),
        ("february 30", None),
        ("2026-13-45", None),
    ],
)
def test_dates(text: str, day: date | None) -> None:
    found = find_date(text, split(text), NOW)
    assert (found.value if found else None) == day


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("at seven", time(7)),
        ("at seven thirty", time(7, 30)),
        ("7pm", time(19)),
        ("12 am", time(0)),
        ("half past six", time(6, 30)),
        ("quarter to eight in the evening", time(19, 45)),
        ("19:30", time(19, 30)),
        ("seven o'clock", time(7)),
        ("noon", time(12)),
        ("25:00", None),
        ("seven people", None),
        ("quarter to zero", None),
    ],
)
def test_times(text: str, moment: time | None) -> None:
    found = find_time(split(text))
    assert (found.value if found else None) == moment


def test_dates_and_times_are_said() -> None:
    assert say_date(NOW.date()) == "Sunday, 22 November 2026"
    assert [say_time(time(hour, 5)) for hour in (0, 9, 12, 23)] == ["12:05 am", "9:05 am", "12:05 pm", "11:05 pm"]


def test_units() -> None:
    assert factor("minutes", "seconds") == 60
    assert factor("km", "meters") == 1000
    assert factor("liters", "meters") is None
    assert factor("leaders", "meters") is None


def test_a_short_did_is_no_would() -> None:
    assert keys("What'd you say?") == "what did you say"
    assert keys("He'd go") == "he would go"
