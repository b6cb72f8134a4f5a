"""Loudness, as a number and as a bar."""

from __future__ import annotations

import numpy as np
import pytest

from vivavoce.client.meter import SILENCE_DB, bar, level_db


@pytest.mark.parametrize(
    ("samples", "db"),
    [([32767, -32768], 0.0), ([16384, -16384], -6.02), ([1, -1], -90.3), ([0, 0], SILENCE_DB), ([], SILENCE_DB)],
)
def test_level(samples: list[int], db: float) -> None:
    assert level_db(np.array(samples, np.int16)) == pytest.approx(db, abs=0.01)


@pytest.mark.parametrize(
    ("db", "shown"), [(-96, "    "), (-60, "    "), (-45, "█   "), (-52.5, "▌   "), (-30, "██  "), (0, "████"), (3, "████")]
)
def test_bar(db: float, shown: str) -> None:
    assert bar(db, 4) == shown
