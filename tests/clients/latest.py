"""`make clients-latest`: writes the versions that are installed now into `requirements-clients.txt`."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements-clients.txt"


def pinned(text: str) -> str:
    """The same requirements at the versions that are installed."""
    return re.sub(
        r"^(?P<name>[\w-]+)(?P<extras>\[[\w,-]+\])?==\S+$",
        lambda line: f"{line['name']}{line['extras'] or ''}=={version(line['name'])}",
        text,
        flags=re.MULTILINE,
    )


if __name__ == "__main__":
    REQUIREMENTS.write_text(pinned(REQUIREMENTS.read_text(encoding="utf-8")), encoding="utf-8")
