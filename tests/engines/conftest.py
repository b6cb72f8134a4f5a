"""What the modules share that put an engine through the shared suite."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.engines.probe import Subject
from tests.engines.suite import Running
from vivavoce.engine_api import Engine
from vivavoce.protocol.errors import SettingsError


@pytest.fixture(scope="module")
def running(subject: Subject) -> Iterator[Running]:
    """One engine, started once, for all checks: what a check leaves behind, the next one would find."""
    with asyncio.Runner() as runner:

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
