"""The suite that every engine passes, on a tiny Qwen3-Omni."""

import asyncio

import pytest

from tests.engines.contract import CHECKS
from tests.engines.probe import Subject
from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.engines.qwen_omni.engine import QwenOmni

OPTIONS = {"device": "cpu", "threads": 1, "temperature": 0, "greedy_speech": True, "hurry": False}

SUBJECT = Subject(
    name="qwen3_omni",
    make=lambda: QwenOmni({**OPTIONS, "model": str(tiny.folder())}),
    long=tiny.LONG,
    calls="What is the weather in Oslo?",
)


@pytest.fixture(scope="module")
def loop():
    """One loop and one engine for the module: loading takes longer than a check."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(loop):
    engine = SUBJECT.make()
    loop.run(engine.start())
    yield engine
    loop.run(engine.close())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(loop, engine, check):
    loop.run(check(engine, SUBJECT))
