"""The page of engines says what there is."""

from pathlib import Path

from tools.engines_reference import reference

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "engines.md"


def test_the_engines_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run: python tools/engines_reference.py > docs/reference/engines.md"
