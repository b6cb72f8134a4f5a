"""What is read aloud of a written text, and the way back to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.speakable import Words, speakable

READINGS = [
    # Markdown
    ("**bold**, *very* good and `code`", "bold, very good and code"),
    ("# Title\n\n- item one\n- [x] item two\n1. first\n> quote", "Title, item one, item two, 1. first, quote"),
    ("[a link](http://x.y) and ![a cat](a.png) [1]", "a link and a cat [1]"),
    ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b\n\n1, 2"),
    ("```python\nprint(1)\n```", ", print(1), "),
    ("---", ""),
    ("1\\. no \\*x\\*", "1. no x"),
    # code
    ("snake_case_name", "snake case name"),
    ("if a != b: x == 3", "if a is not b: x equals 3"),
    ("a < b, f(x) > 2", "a less than b, f(x) greater than 2"),
    ("str -> int", "str to int"),
    ("x || y", "x || y"),
    # numbers
    ("3 * 4 and 3*4", "3 times 4 and 3 times 4"),
    ("10-20 people, pages 10–20, $5–$10", "10 to 20 people, pages 10 to 20, $5 to $10"),
    ("call 555-1234 on 2024-05-01", "call 555 1234 on 2024 05 01"),
    ("~5 km, -3 °C", "about 5 km, -3 °C"),
    # emoji, addresses, odd characters
    ("Hi 🙂 there 👨‍👩‍👧!", "Hi  there !"),
    ("see https://www.example.com/a?b=1.", "see example.com/a?b=1."),
    ("a\0b\x07c", "a b c"),
    # left alone
    ("Well-known e.g. this, 100% of C++ & co.", "Well-known e.g. this, 100% of C++ & co."),
    ("It's “quoted” (and more)…", "It's “quoted” (and more)…"),
]


@pytest.mark.parametrize(("text", "reading"), READINGS)
def test_readings(text: str, reading: str) -> None:
    assert speakable(text).text == reading


def test_english_words_are_only_put_into_english() -> None:
    assert speakable("**a** -> 3*4", english=False).text == "a -> 34"


@pytest.mark.parametrize("text", ["", " ", "🙂", "**", "---", "…", "?!", "\n\n"])
def test_nothing_to_read(text: str) -> None:
    assert speakable(text).is_silent()


@pytest.mark.parametrize("text", ["a", "3", "€", "+", "日本"])
def test_something_to_read(text: str) -> None:
    assert not speakable(text).is_silent()


def test_each_character_knows_where_it_comes_from() -> None:
    reading = speakable("a **b** -> c")
    assert reading.text == "a b to c"
    assert [(letter, reading.origins[at]) for at, letter in enumerate(reading.text) if letter in "abc"] == [
        ("a", 0),
        ("b", 4),
        ("c", 11),
    ]


@given(st.text(alphabet="ab1 *_`#|[]()<>-=~\n.\\/🙂é", max_size=60), st.booleans())
def test_origins_are_a_way_back(text: str, english: bool) -> None:
    reading = speakable(text, english=english)
    assert len(reading.origins) == len(reading.text)
    assert list(reading.origins) == sorted(reading.origins)
    assert all(0 <= origin < len(text) for origin in reading.origins)


def test_words() -> None:
    text = " Größe, “naïve” — 今天天气。 x"
    words = Words(text)
    assert [text[: words.end(word)].split()[-1] for word in range(4)] == ["Größe,", "“naïve”", "—", "今"]
    assert [text[words.end(word - 1) : words.end(word)].strip() for word in range(3, len(words))] == [
        "今",
        "天",
        "天",
        "气。",
        "x",
    ]
    assert [words.at(character) for character in (0, 1, 6, 7, 8)] == [0, 0, 0, 0, 1]
