"""The pictures in docs/images, taken of a running console: `make screenshots`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, expect, sync_playwright

from tests.console.browser import HERE, Console, console, launched, make_recording, speaking
from tests.console.console_server import ConsoleServer

IMAGES: Final = HERE.parents[1] / "docs/images"
DESK: Final = {"width": 1360, "height": 820}
PHONE: Final = {"width": 390, "height": 800}


def welcome(shown: Console) -> None:
    """Nothing was said yet."""
    shown.page.wait_for_timeout(300)


def conversation(shown: Console) -> None:
    """A function was called, an answer was interrupted, another one is being spoken."""
    shown.type("How is the weather in Paris?")
    expect(shown.page.locator(".item.assistant .said").last).to_have_text("Fine.")
    shown.page.click("#talk")
    shown.until("input_audio_buffer.speech_stopped", 2)
    shown.page.wait_for_timeout(3500)
    shown.page.locator(".timeline summary").last.click()
    shown.page.wait_for_timeout(300)


def events(shown: Console) -> None:
    """An event is read."""
    conversation(shown)
    shown.page.select_option("#log-from", "server")
    shown.page.locator("#log .row", has_text="response.done").last.click()
    shown.page.wait_for_timeout(300)


def tools(shown: Console) -> None:
    """What the functions of the page did."""
    shown.type("How is the weather in Paris?")
    expect(shown.page.locator(".item.assistant .said").last).to_have_text("Fine.")
    shown.page.evaluate(
        "import('/console/tools/page_tools.js').then(async ({ PAGE_TOOLS: [, memory, timer] }) => {"
        "const { store } = await import('/console/main.js');"
        "memory.run({ key: 'name', value: 'Ada' }, store); timer.run({ seconds: 240, name: 'tea' }, store); })"
    )
    shown.page.click("#tab-page")
    shown.page.wait_for_timeout(400)


def code(shown: Console) -> None:
    """The session as code."""
    shown.page.click("#copy-as-code")


PICTURES: Final[list[tuple[str, Callable[[Console], None], str, Any]]] = [
    ("welcome", welcome, "light", DESK),
    ("conversation", conversation, "light", DESK),
    ("events", events, "dark", DESK),
    ("tools", tools, "light", DESK),
    ("code", code, "dark", DESK),
    ("phone", conversation, "light", PHONE),
]


def take(browser: Browser, url: str, picture: tuple[str, Callable[[Console], None], str, Any]) -> None:
    """Take one picture."""
    name, bring_about, scheme, size = picture
    context = browser.new_context(viewport=size, color_scheme=scheme)
    with console(context) as shown:
        shown.open(url)
        bring_about(shown)
        shown.page.screenshot(path=IMAGES / f"console-{name}.png")
    context.close()


def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ConsoleServer(Path(folder))
        server.start()
        recording = make_recording(Path(folder) / "voice.wav", 0.4, "goforward.wav", 2.5, "something.wav", 2.0)
        browser = launched(playwright, *speaking(recording))
        for picture in PICTURES:
            take(browser, server.url, picture)
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
