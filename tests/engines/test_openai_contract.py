"""A cascade of parts that reach another server, through the checks that any engine must pass."""

from collections.abc import Callable, Iterator

import pytest

from tests.engines.probe import Subject
from tests.engines.suite import Running, every_check, put_through
from tests.engines.upstream_server import UpstreamServer, upstream_thread, well
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.openai_chat import OpenAIChat
from vivavoce.engines.openai_speech import OpenAISpeech
from vivavoce.engines.openai_transcriptions import OpenAITranscriptions


@pytest.fixture(scope="module")
def server() -> Iterator[UpstreamServer]:
    with upstream_thread(well) as server:
        yield server


@pytest.fixture(scope="module")
def subject(server: UpstreamServer) -> Subject:
    where = {"base_url": server.url}
    return Subject(
        name="upstream",
        make=lambda: Cascade.of(OpenAITranscriptions(where), OpenAIChat(where), OpenAISpeech(where)),
        long="Tell me about the sea. " * 4,
        calls="get_weather in Paris",
        fails="FALL down",
        turns=40,
    )


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)
