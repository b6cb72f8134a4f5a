"""Some ten thousand events; `make fuzz` takes a million."""

from __future__ import annotations

from tests import fuzz


def test_sessions_survive_whatever_comes(capsys) -> None:
    fuzz.main(["--events", "12000", "--seed", "40000"])
    assert "no crash, no broken law" in capsys.readouterr().out
