"""`realtime` in front of another Vivavoce, in both dialects, through the checks that any engine must pass."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engines.contract import CHECKS, Subject, with_speech
from tests.engines.test_contract import SCRIPT, hummed
from tests.live import live
from vivavoce.engine_api import Engine
from vivavoce.engines.realtime import Realtime

LIMITS = {"max_sessions": 500}


def scripted(url: str, **options: Any) -> Subject:
    return Subject(
        name="scripted",
        make=lambda: Realtime({"base_url": f"{url}/v1", "model": "scripted", "transcription": "any", **options}),
        long="Tell me about the sea. " * 8,
        calls="call it, please",
        fails="fail now",
        recalls="recall",
        speech=hummed,
        turns=40 if options else 200,
    )


def echo(url: str) -> Subject:
    return Subject(
        name="echo",
        make=lambda: Realtime({"base_url": f"{url}/v1", "model": "echo"}),
        ask=lambda text: (with_speech(hummed(text)),),
        has_words=False,
        speech=hummed,
        turns=40,
    )


SUBJECTS = {
    "scripted": scripted,
    "scripted, beta": lambda url: scripted(url, dialect="beta"),
    "scripted, one by one": lambda url: scripted(url, out_of_band=False),
    "echo": echo,
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live(engine="scripted", engines={"scripted": {"script": SCRIPT}}, **LIMITS) as url:
        yield url


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request: pytest.FixtureRequest, url: str) -> Subject:
    return SUBJECTS[request.param](url)


@pytest.fixture(scope="module")
def running(subject: Subject) -> Iterator[tuple[asyncio.Runner, Engine]]:
    with asyncio.Runner() as runner:
        engine = subject.make()
        runner.run(engine.start())
        yield runner, engine
        runner.run(engine.close())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_engine(
    check: Callable, subject: Subject, running: tuple[asyncio.Runner, Engine], caplog: pytest.LogCaptureFixture
) -> None:
    runner, engine = running
    complaints: list[str] = []
    runner.get_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    runner.run(check(engine, subject))
    assert complaints == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
