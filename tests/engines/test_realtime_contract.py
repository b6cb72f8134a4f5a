"""`realtime` in front of another Vivavoce, in both dialects, through the checks that any engine must pass."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engines.probe import Subject, with_speech
from tests.engines.suite import Running, every_check, put_through
from tests.engines.test_contract import SCRIPT, hummed
from tests.live import live
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


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)
