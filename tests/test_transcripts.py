"""Every transcript in `tests/transcripts/` comes out as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcript import play, transcripts

FOLDER = Path(__file__).parent / "transcripts"
ALL = [one for path in sorted(FOLDER.glob("*.md")) for one in transcripts(path)]


@pytest.mark.parametrize(("scene", "lines"), [one[1:] for one in ALL], ids=[f"{name} ({scene})" for name, scene, _ in ALL])
def test_transcript(scene: str, lines: list[tuple[int, str]]) -> None:
    play(scene, lines)


def test_both_dialects_are_told() -> None:
    assert {"ga", "beta"} <= {scene.split()[0] for _, scene, _ in ALL}
