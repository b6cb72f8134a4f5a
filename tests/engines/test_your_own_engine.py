"""The how-to is true: its code is the example, and the example is an engine."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.engines.contract import CHECKS
from tests.engines.probe import Probe, Subject, user_text
from vivavoce import registry
from vivavoce.engine_api import Engine, Generate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The example, found by its path as `--engine parrot:Parrot` finds it."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    return registry.find(registry.ENGINES, "parrot:Parrot")({})


def test_the_page_shows_the_example() -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/your-own-engine.md").read_text(), re.DOTALL)
    assert code == (ROOT / "examples/parrot.py").read_text()
    lines = [line for line in code.splitlines() if line and not line.startswith('"""')]
    assert len(lines) <= 15


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if "marks" not in check.__name__], ids=lambda check: check.__name__
)
def test_the_example_is_an_engine(check, parrot: Engine) -> None:
    subject = Subject(name="parrot", make=lambda: parrot, turns=40)

    async def scene() -> None:
        await parrot.start()
        await check(parrot, subject)
        await parrot.close()

    asyncio.run(scene())


def test_it_repeats_what_it_was_told(parrot: Engine) -> None:
    async def scene() -> str:
        answer = await Probe(parrot).answer(Generate(response_id="r", items=(user_text("Pieces of eight!"),)))
        return answer.transcript

    assert asyncio.run(scene()) == "Pieces of eight!"
