"""An event loop for a module, and engines that run on it: started once, for all of its tests."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.engines.probe import Subject
from tests.engines.speaker import Speaker
from tests.engines.suite import Running
from vivavoce.engine_api import Engine
from vivavoce.protocol.errors import SettingsError


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def speaker(runner: asyncio.Runner) -> Iterator[Speaker]:
    speaker = Speaker(runner)
    yield speaker
    speaker.close()


@pytest.fixture(scope="module")
def running(subject: Subject, runner: asyncio.Runner) -> Iterator[Running]:
    """An engine of the shared suite: what a check leaves behind, the next one would find."""

    async def start() -> Engine:
        try:
            engine = subject.make()
        except SettingsError as error:
            pytest.skip(str(error))
        await engine.start()
        return engine

    engine = runner.run(start())
    yield runner, engine
    runner.run(engine.close())
