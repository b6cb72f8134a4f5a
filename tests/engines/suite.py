"""How a test module puts an engine through `contract.py`: a module-scoped fixture `subject`, and three lines.

    @every_check
    def test_engine(check, subject, running, caplog):
        put_through(check, subject, running, caplog)

`running` stands in `conftest.py`.
"""

import asyncio
import logging
from collections.abc import Callable

import pytest

from tests.engines.contract import CHECKS
from tests.engines.probe import Subject
from vivavoce.engine_api import Engine

Running = tuple[asyncio.Runner, Engine]
"""An engine that has started, and the event loop it runs on."""

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))


def put_through(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """One check, after which neither the event loop nor the log may complain."""
    runner, engine = running
    complaints: list[str] = []
    runner.get_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    runner.run(check(engine, subject))
    assert complaints == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
