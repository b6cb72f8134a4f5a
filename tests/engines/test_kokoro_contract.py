"""A cascade that speaks through Kokoro, through the checks that any engine must pass."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.fakes import FakeChatModel, FakeTranscriber
from tests.engines.probe import Subject
from tests.engines.suite import Running, every_check, put_through
from tests.engines.tiny_models.kokoro import write_kokoro
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.kokoro import Kokoro


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder: Path = write_kokoro(tmp_path_factory.mktemp("kokoro"))
    return Subject(
        name="cascade with kokoro",
        make=lambda: Cascade.of(FakeTranscriber(), FakeChatModel(), Kokoro({"model": str(folder), "cores": 1})),
        calls="get_weather in Paris",
        fails="FALL down",
        turns=80,
    )


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)
