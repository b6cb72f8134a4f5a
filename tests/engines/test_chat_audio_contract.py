"""`chat_audio` in front of each kind of server, through the checks that any engine must pass."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.engines.audio_upstream import DIALECTS, speaking
from tests.engines.fakes import FakeTranscriber, speech
from tests.engines.probe import Subject
from tests.engines.suite import Running, every_check, put_through
from tests.engines.upstream_server import upstream_thread
from vivavoce.engines.chat_audio import ChatAudio


class SideTranscriber(FakeTranscriber):
    """By its path in the settings."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = options


@pytest.fixture(scope="module", params=DIALECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with upstream_thread(speaking(request.param)) as server:
        options = {"server": request.param, "base_url": server.url}
        if request.param == "openai":
            options["transcriber"] = "tests.engines.test_chat_audio_contract:SideTranscriber"
        yield Subject(
            name=request.param,
            make=lambda: ChatAudio(options),
            long="Tell me about the sea. " * 4,
            calls="" if request.param == "sglang_omni" else "get_weather in Paris",
            fails="FALL down",
            recalls="RECALL all",
            speech=speech,
            turns=200 if request.param == "openai" else 40,
        )


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)
