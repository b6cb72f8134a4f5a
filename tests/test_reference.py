"""The reference pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tools.events_reference import page

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


def test_the_events_page_is_up_to_date() -> None:
    assert (REFERENCE / "events.md").read_text() == page(), (
        "run: python tools/events_reference.py > docs/reference/events.md"
    )


def test_every_code_of_an_error_is_documented() -> None:
    """Codes are found in the source by the two ways in which they are written."""
    codes: set[str] = set()
    for folder in ("protocol", "session"):
        for source in (ROOT / "src" / "vivavoce" / folder).glob("*.py"):
            text = source.read_text()
            codes |= set(re.findall(r'RequestError\(\s*"([a-z_]+)"', text))
            codes |= set(re.findall(r'code="([a-z_]+)"', text))
            codes |= set(re.findall(r'find\([^,]+, "([a-z_]+)"\)', text))
    assert len(codes) > 15
    documented = set(re.findall(r"`([a-z_]+)`", (REFERENCE / "errors.md").read_text()))
    assert codes <= documented, codes - documented


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("README.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if not link.startswith(("http://", "https://", "mailto:")) and not (page.parent / link).exists()
    ]
    assert broken == []
