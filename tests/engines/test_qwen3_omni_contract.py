"""The suite that every engine passes, on a tiny Qwen3-Omni."""

import pytest

from tests.engines.contract import CHECKS
from tests.engines.probe import Subject
from tests.engines.qwen3_scenes import OPTIONS
from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.engines.qwen_omni.engine import QwenOmni

SUBJECT = Subject(
    name="qwen3_omni",
    make=lambda: QwenOmni({**OPTIONS, "model": str(tiny.folder())}),
    long=tiny.LONG,
    calls="What is the weather in Oslo?",
)


@pytest.fixture(scope="module")
def subject():
    return SUBJECT


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(running, check):
    runner, engine = running
    runner.run(check(engine, SUBJECT))
