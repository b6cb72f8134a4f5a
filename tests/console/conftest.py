"""One server and one browser for all tests of the console, and a fresh page for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.console.browser import Console, console, launched, make_recording, speaking
from tests.console.console_server import ConsoleServer


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    """Plays `SCRIPT`; open to everyone on this machine."""
    server = ConsoleServer(tmp_path_factory.mktemp("console"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    # Its event loop runs as long as this lives: no wider than these tests, so that others may call `asyncio.run`.
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sentence, a pause in which an answer begins, and another sentence that interrupts it."""
    file = tmp_path_factory.mktemp("voice") / "two-sentences.wav"
    return make_recording(file, 0.4, "goforward.wav", 2.5, "something.wav", 2.0)


@pytest.fixture(scope="package")
def browser(playwright: Playwright, recording: Path) -> Iterator[Browser]:
    """Its microphone plays `recording`."""
    browser = launched(playwright, *speaking(recording))
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def deaf_browser(playwright: Playwright) -> Iterator[Browser]:
    """It has no microphone, and asks nobody."""
    browser = launched(playwright)
    yield browser
    browser.close()


@pytest.fixture
def audible(browser: Browser, server: ConsoleServer) -> Iterator[Console]:
    """A console that is listened to."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    with console(context) as audible:
        audible.listen()
        audible.open(server.url)
        yield audible
    context.close()


@pytest.fixture
def shown(browser: Browser, server: ConsoleServer) -> Iterator[Console]:
    """A console that is connected."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    with console(context) as shown:
        shown.open(server.url)
        yield shown
    context.close()
