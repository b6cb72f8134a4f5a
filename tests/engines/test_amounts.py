"""Sums of money as they are said, with the way back to the text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.amounts import in_words
from vivavoce.engines.speakable import Speakable, speakable


def plain(text: str) -> Speakable:
    return Speakable(text, tuple(range(len(text))))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It costs $20.", "It costs 20 dollars."),
        ("$3.50, please", "3 dollars 50, please"),
        ("$1, £1.00 or €1.99", "1 dollar, 1 pound or 1 euro 99"),
        ("€2 million", "2 million euros"),
        ("$3.50 million and £1.5 billion", "3.50 million dollars and 1.5 billion pounds"),
        ("$1,234.56", "1,234 dollars 56"),
        ("between $5, $6", "between 5 dollars, 6 dollars"),
        ("¥5000", "5000 yen"),
        ("$0.125", "0.125 dollars"),
        ("cash in US$ or $", "cash in US$ or $"),
        ("$5k, $HOME, $x", "$5k, $HOME, $x"),
    ],
)
def test_sums(written: str, said: str) -> None:
    assert in_words(plain(written)).text == said


def test_the_way_back() -> None:
    reading = in_words(speakable("**Pay** $3.50 now."))
    assert reading.text == "Pay 3 dollars 50 now."
    places = {word: reading.origins[reading.text.index(word)] for word in ("Pay", "3", "dollars", "50", "now")}
    assert places == {"Pay": 2, "3": 9, "dollars": 9, "50": 11, "now": 14}


@given(st.text(alphabet="$€1239., ab", max_size=60))
def test_places_never_go_back_and_nothing_else_changes(text: str) -> None:
    reading = in_words(plain(text))
    assert len(reading.origins) == len(reading.text)
    assert all(before <= after for before, after in pairwise(reading.origins))
    assert [c for c in reading.text if c.isdigit()] == [c for c in text if c.isdigit()] or ".00" in text
