"""A cascade that speaks through Pocket TTS, through the checks that any engine must pass."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.fakes import FakeChatModel, FakeTranscriber
from tests.engines.probe import Subject
from tests.engines.suite import Running, every_check, put_through
from tests.engines.tiny_models.pocket_tts import write_pocket_tts
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.pocket_tts import PocketTTS


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder: Path = write_pocket_tts(tmp_path_factory.mktemp("pocket") / "tiny")
    return Subject(
        name="cascade with pocket_tts",
        make=lambda: Cascade.of(FakeTranscriber(), FakeChatModel(), PocketTTS({"model": str(folder)})),
        calls="get_weather in Paris",
        fails="FALL down",
        turns=40,
    )


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)
