"""Cutting a text for a model, the rests after it, and the marks of the words in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engine_api import Mark
from vivavoce.engines.pieces import Piece, pause_seconds, pieces
from vivavoce.engines.speakable import speakable
from vivavoce.engines.spoken_marks import Anchor, HeardWord, SpokenMarks, word_ends


def cut(text: str) -> list[str]:
    return [piece.text for piece in pieces(text, enough=20, whole=30, longest=50)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A short text, in one piece.", ["A short text, in one piece."]),
        (
            "Well, the sea is deep and blue, and the sand is warm and dry.",
            ["Well, the sea is deep and blue,", "and the sand is warm and dry."],
        ),
        ("The sea is deep and blue. I said so.", ["The sea is deep and blue.", "I said so."]),
        ("The sea is deep and blue today. So.", ["The sea is deep and blue today. So."]),
        (
            "I have been in the old house of Mr. Smith and of his wife.",
            ["I have been in the old house of Mr. Smith and of", "his wife."],
        ),
        ("one two three four five six seven eight nine ten eleven twelve thirteen", None),
        ("x" * 120, ["x" * 50, "x" * 50, "x" * 20]),
        ("海は深くて青い。そして砂浜は温かくて乾いている、と彼は言った。", None),
        ("   ", []),
    ],
)
def test_where_a_text_is_cut(text: str, expected: list[str] | None) -> None:
    if expected is not None:
        assert cut(text) == expected
    assert all(len(piece) <= 50 + 20 // 3 for piece in cut(text))


@given(st.text(alphabet="ab ,.!海。\n", max_size=300))
def test_nothing_is_lost_and_places_are_true(text: str) -> None:
    found = list(pieces(text, enough=20, whole=30, longest=50))
    assert "".join(piece.text for piece in found).replace(" ", "").replace("\n", "") == "".join(text.split())
    for piece in found:
        assert text[piece.start : piece.start + len(piece.text)] == piece.text
        assert not text[piece.start + len(piece.text) : piece.end].strip()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Yes.", 0.2), ('"Yes?"', 0.2), ("Yes,", 0.12), ("Yes —", 0.12), ("海。", 0.2), ("and then", 0.0), ("", 0.0)],
)
def test_rests(text: str, seconds: float) -> None:
    assert pause_seconds(text) == seconds


# --- marks ---


def test_marks_lie_between_anchors_by_the_spoken_text() -> None:
    written = "**Go** -> home, now."
    reading = speakable(written)
    assert reading.text == "Go to home, now."
    marks = SpokenMarks(written, reading)
    assert marks.until([Anchor(11, 1_100)]) == [Mark(6, 200), Mark(9, 600), Mark(15, 1_100)]
    assert marks.until([Anchor(11, 2_000), Anchor(16, 2_500)]) == [Mark(20, 2_500)]
    assert marks.end(3_000) == [Mark(20, 3_000)]


def test_what_was_never_reached_is_marked_at_the_end() -> None:
    marks = SpokenMarks("one 🚆", speakable("one 🚆"))
    assert marks.until([Anchor(3, 300)]) == [Mark(3, 300)]
    assert marks.end(500) == [Mark(5, 500), Mark(5, 500)]


def test_a_guess_is_never_later_than_what_was_heard_and_never_the_last_word() -> None:
    text = "one two three four"
    marks = SpokenMarks(text, speakable(text))
    assert marks.guess(100, len(text)) == []
    first = marks.guess(12_500, len(text))
    assert [mark.characters for mark in first] == [3, 7]
    assert first[-1].samples <= 12_500
    assert [mark.characters for mark in marks.guess(10**9, len(text))] == [13]
    # The piece was longer than the guess: the last word ends with it.
    assert marks.until([Anchor(len(text), 60_000)]) == [Mark(18, 60_000)]


def test_words_that_are_certain() -> None:
    piece = Piece(10, 40, "of the house, 42 birds. So.")
    spoken = "ʌvðə hˈaʊs, fˈɔːɹɾi tˈuː bˈɜːdz. sˈoʊ."
    heard = [HeardWord(word, 100 * n) for n, word in enumerate(spoken.split(), 1)]
    assert word_ends(piece, heard, 1_000) == [Anchor(23, 1_200), Anchor(33, 1_500), Anchor(37, 1_600)]
    assert word_ends(piece, heard[:-1], 1_000) == [], "another number of pauses: nothing is certain"
    assert word_ends(piece, [], 1_000) == []
