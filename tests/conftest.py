"""For every test: Ctrl-C is heard; with `VIVAVOCE_NO_SKIPS` set, as in CI, a test that is skipped has failed."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

NO_SKIPS = bool(os.environ.get("VIVAVOCE_NO_SKIPS"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Tests that run in the background (`make test &`) ignore Ctrl-C, and so would every server that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _forbid_skip(report: Any) -> None:
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nVIVAVOCE_NO_SKIPS is set: what is skipped has failed."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _forbid_skip(report)
    return report
