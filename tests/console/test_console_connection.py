"""Keys, restarts, and what the page keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.console.browser import Console, console
from tests.console.console_server import ConsoleServer

KEY = "sk-the-key-of-the-console"


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    """It wants a key."""
    server = ConsoleServer(tmp_path_factory.mktemp("locked"), api_key=KEY)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def locked(deaf_browser: Browser, locked_server: ConsoleServer) -> Iterator[Console]:
    context = deaf_browser.new_context()
    with console(context, complaints=True) as locked:
        locked.page.goto(locked_server.url)
        expect(locked.page.locator("#key-dialog")).to_be_visible()
        yield locked
    context.close()


def test_a_wrong_key_is_told_and_the_right_one_connects(locked: Console) -> None:
    page = locked.page
    page.fill("#key", "sk-wrong")
    page.click("#key-use")
    expect(page.locator("#key-problem")).to_have_text("Incorrect API key provided.")
    expect(page.locator("#key")).to_have_value("")
    page.fill("#key", KEY)
    page.click("#key-use")
    expect(page.locator("#key-dialog")).to_be_hidden()
    locked.type("Keep it short.")
    expect(page.locator(".item.assistant .said")).to_have_text("Yes.")


def test_the_key_is_kept_nowhere(locked: Console) -> None:
    page = locked.page
    page.fill("#key", KEY)
    page.click("#key-use")
    locked.until("session.updated")
    stored = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    whole = page.evaluate(
        "import('/console/main.js').then(({ store }) => JSON.stringify(store.state) + document.documentElement.outerHTML)"
    )
    assert KEY not in stored + whole
    assert "ek_" not in stored + whole
    assert page.locator("#key").input_value() == ""
    assert not any(KEY in str(event) for event in locked.sent)


def test_a_restarted_server_is_found_again(deaf_browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = ConsoleServer(tmp_path_factory.mktemp("restarted"))
    server.start()
    context = deaf_browser.new_context()
    with console(context, complaints=True) as shown:
        shown.open(server.url)
        shown.page.get_by_label("Instructions").fill("Be brief.")
        shown.page.get_by_label("Instructions").press("Tab")
        shown.until("session.updated", 2)
        shown.type("Keep it short.")
        expect(shown.page.locator(".item.assistant .said")).to_have_text("Yes.")
        server.stop()
        expect(shown.page.locator("#status")).to_have_attribute("data-status", "reconnecting")
        expect(shown.page.locator("#banner")).to_be_visible()
        server.start()
        expect(shown.page.locator("#status")).to_have_attribute("data-status", "open")
        expect(shown.page.locator(".item.break")).to_have_count(1)
        assert shown.until("session.updated", 3)["session"]["instructions"] == "Be brief."
        shown.type("Short again.")
        expect(shown.page.locator(".item.assistant .said").last).to_have_text("Yes.")
    server.stop()
    context.close()


def test_a_restarted_server_with_a_key_asks_for_it_again(
    deaf_browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Client secrets are signed with what a server draws at its start."""
    server = ConsoleServer(tmp_path_factory.mktemp("restarted-locked"), api_key=KEY)
    server.start()
    context = deaf_browser.new_context()
    with console(context, complaints=True) as shown:
        shown.page.goto(server.url)
        shown.page.fill("#key", KEY)
        shown.page.click("#key-use")
        shown.until("session.updated")
        server.stop()
        server.start()
        expect(shown.page.locator("#key-dialog")).to_be_visible()
        shown.page.fill("#key", KEY)
        shown.page.click("#key-use")
        shown.until("session.updated", 2)
    server.stop()
    context.close()
