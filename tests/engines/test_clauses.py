"""Where a text may be cut so that a voice can begin with its beginning."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.clauses import FIRST_WORDS, LONGEST_CHARACTERS, LONGEST_WORD_CHARACTERS, Clauses


def split(text: str, *cuts: int) -> list[str]:
    """The clauses of `text` when it comes in pieces that end at `cuts`."""
    clauses = Clauses()
    edges = [0, *sorted(cuts), len(text)]
    found = [clause for a, b in pairwise(edges) for clause in clauses.feed(text[a:b])]
    return found + clauses.flush()


@pytest.mark.parametrize(
    "clauses",
    [
        ["Sure, I can do that.", " It takes a minute.", " Shall I?"],
        ["Of course,", " I can do that, gladly, today.", " Wait!"],
        ["It weighs 3.5 kg and costs 1,000.50 dollars.", " That is all."],
        ["As ever,", " Dr. Smith met Mrs. J. R. Jones at 5 p.m. on Main St. yesterday.", " She was late."],
        ["See https://example.com/a.b?c=d,e;f for more.", " Or node.js."],
        ["Buy these:", "\n1. Milk and eggs.", "\n2. Bread, e.g. rye.", "\n(c) Tea"],
        ["Really?!", " Yes…", " well.", " So do I.", " Me too."],
        ['He said "Go home now."', " Then (he left.)", " Fine."],
        ["No.", " Absolutely not.", " I have 3.", " You have 4."],
        ["你好，很高兴认识你。", "今天天气怎么样？", "「很好。」", "对"],
        ["今天天气很好，", "我们去公园吧，好吗？", "走"],
        ["- one and two", "\n- three, four", "\n\nDone"],
        ["one two three four five six seven eight nine ten", " eleven, twelve thirteen."],
        ["  Leading blanks stay.", "   And these.", "  "],
    ],
)
def test_the_clauses_of(clauses: list[str]) -> None:
    assert split("".join(clauses)) == clauses


def test_a_decimal_that_is_split_between_two_pieces_stays_whole() -> None:
    clauses = Clauses()
    assert clauses.feed("About 3.") == []
    assert clauses.feed("5 litres. ") == ["About 3.5 litres."]


def test_a_clause_leaves_as_soon_as_it_is_certain() -> None:
    clauses = Clauses()
    assert clauses.feed("Good morning") == []
    assert clauses.feed(", ") == ["Good morning,"]
    assert clauses.feed("my friend, and welcome!") == []
    assert clauses.feed(" ") == [" my friend, and welcome!"]


def test_no_clause_grows_without_end() -> None:
    assert max(map(len, split("word " * 1000))) <= LONGEST_CHARACTERS + len("word ")
    assert max(map(len, split("x" * 5000))) <= LONGEST_WORD_CHARACTERS


def test_the_first_clause_does_not_wait_for_a_pause() -> None:
    first, *_ = split("and " * 50)
    assert len(first.split()) == FIRST_WORDS


def test_a_long_text_at_once_takes_linear_time() -> None:
    assert len(split("A sentence of some words. " * 5_000)) == 5_001  # a fifth of a second; quadratic would be minutes


prose = st.text(alphabet=st.sampled_from("ab I3.,!?:;…。，」\"')\n -*Dr"), max_size=400) | st.text(max_size=60)


@given(prose, st.lists(st.integers(0, 400)))
def test_clauses_are_the_text_however_it_comes(text: str, cuts: list[int]) -> None:
    clauses = split(text)
    assert "".join(clauses) == text
    assert split(text, *(cut for cut in cuts if cut <= len(text))) == clauses
    assert all(clause.strip() for clause in clauses[:-1]), "nothing blank is spoken"
