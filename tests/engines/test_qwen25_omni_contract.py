"""The suite that every engine passes, on a tiny Qwen2.5-Omni; stopped at any moment; and weights that are incomplete."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines.contract import CHECKS
from tests.engines.probe import Answer, Probe, Subject, request
from tests.engines.tiny_models import qwen25_omni as tiny
from tests.engines.tiny_models.qwen3_omni import LONG
from vivavoce.engine_api import Engine, EngineEvent, GenerationDone, OutputAudio, OutputTranscript, StopGenerating
from vivavoce.engines.qwen_omni import qwen25
from vivavoce.engines.qwen_omni.engine import QwenOmni
from vivavoce.engines.qwen_omni.qwen25_mel import Flow
from vivavoce.protocol.errors import EngineError

OPTIONS = {"device": "cpu", "threads": 1, "temperature": 0, "greedy_speech": True, "hurry": False}

SUBJECT = Subject(
    name="qwen25_omni",
    make=lambda: QwenOmni({**OPTIONS, "model": str(tiny.folder())}),
    long=LONG,
    calls="What is the weather in Oslo?",
    turns=40,
)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[asyncio.Runner, Engine]]:
    """One loop and one engine for the module. Its speech is solved in two steps instead of nine: nobody listens to it."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(qwen25, "Flow", lambda: Flow(steps=3))
        engine = SUBJECT.make()
        runner.run(engine.start())
        yield runner, engine
        runner.run(engine.close())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_contract(running: tuple[asyncio.Runner, Engine], check: Callable) -> None:
    runner, engine = running
    runner.run(check(engine, SUBJECT))


WHEN = {
    "at once": None,
    "while it writes": lambda event: isinstance(event, OutputTranscript),
    "while it speaks": lambda event: isinstance(event, OutputAudio),
}


@pytest.mark.parametrize("moment", WHEN.values(), ids=WHEN.keys())
def test_stopped_at_any_moment_the_next_answer_is_as_good_as_ever(
    running: tuple[asyncio.Runner, Engine], moment: Callable[[EngineEvent], bool] | None
) -> None:
    runner, engine = running

    async def scene() -> tuple[Answer, Answer]:
        fresh, stopped = Probe(engine), Probe(engine)
        undisturbed = await fresh.answer(request(SUBJECT, "three pineapples"))
        stopped.session.submit(request(SUBJECT, LONG, "resp_0"))
        if moment is not None:
            await stopped.until(moment)
        stopped.session.submit(StopGenerating("resp_0"))
        after = await stopped.answer(request(SUBJECT, "three pineapples"))
        fresh.session.close()
        stopped.session.close()
        return undisturbed, after

    undisturbed, after = runner.run(scene())
    assert isinstance(after.end, GenerationDone)
    assert (after.transcript, after.pcm) == (undisturbed.transcript, undisturbed.pcm)


def test_weights_that_are_incomplete_are_told_in_one_line(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny.folder() / name).read_bytes())
    with pytest.raises(EngineError, match=r"Qwen2\.5-Omni cannot be loaded from") as caught:
        asyncio.run(QwenOmni({**OPTIONS, "model": str(tmp_path)}).start())
    assert "\n" not in caught.value.message
