"""A page with the console in it: what goes over its wire, and what it plays."""

from __future__ import annotations

import base64
import json
import shutil
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, WebSocket, expect

HERE: Final = Path(__file__).parent
AUDIO: Final = HERE.parents[1] / "../shared/audio"
PATIENCE_MS: Final = 20_000
SAMPLES_PER_MS: Final = 24
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
expect.set_options(timeout=PATIENCE_MS)


def launched(playwright: Playwright, *flags: str) -> Browser:
    """A browser without a window. Skips, and says why, where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed (Debian: apt-get install chromium)")
    return playwright.chromium.launch(executable_path=program, args=[*_FLAGS, *flags])


def speaking(recording: Path) -> list[str]:
    """Flags for a browser whose microphone plays a recording, once, from the moment when it is opened."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}%noloop",
    ]


def make_recording(file: Path, *parts: str | float) -> Path:
    """Recorded voices (names in `AUDIO`) and silences (seconds) in a row, 16 kHz."""
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        for part in parts:
            if isinstance(part, str):
                with wave.open(str(AUDIO / part)) as source:
                    assert source.getframerate() == 16_000
                    out.writeframes(source.readframes(source.getnframes()))
            else:
                out.writeframes(bytes(2 * int(part * 16_000)))
    return file


class Console:
    """A page that shows the console."""

    def __init__(self, page: Page) -> None:
        self.page: Final = page
        self.sent: Final[list[dict[str, Any]]] = []
        self.received: Final[list[dict[str, Any]]] = []
        self.complaints: Final[list[str]] = []
        page.on("websocket", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self.sent.append(json.loads(frame)))
        socket.on("framereceived", lambda frame: self.received.append(json.loads(frame)))

    def open(self, url: str) -> None:
        """Load the page, and wait until its session stands."""
        self.page.goto(url)
        expect(self.page.locator("#status")).to_have_attribute("data-status", "open")
        self.until("session.updated")

    def type(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def mode(self, label: str) -> None:
        """Choose how a turn ends, and wait until the session knows it."""
        updates = sum(event["type"] == "session.updated" for event in self.received)
        self.page.get_by_label(label, exact=True).check(force=True)
        self.until("session.updated", updates + 1)

    def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait for the so many-th event of this type from the server."""
        return self._until(self.received, kind, count)

    def until_sent(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The same for an event from the page."""
        return self._until(self.sent, kind, count)

    def _until(self, events: list[dict[str, Any]], kind: str, count: int) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            matching = [event for event in events if event["type"] == kind]
            return matching[count - 1] if len(matching) >= count else None

        return self.wait(found, f"{kind}, {count} of it")

    def wait(self, found: Callable[[], Any], what: str) -> Any:
        """What `found` finds, as soon as it finds something."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while (value := found()) is None:
            assert time.monotonic() < deadline, f"{what} did not come; {[event['type'] for event in self.received][-20:]}"
            self.page.wait_for_timeout(20)
        return value

    # --- what is played ---

    def listen(self) -> None:
        """Keep what goes to the loudspeaker. Before `open`, in a context that does without the page's policy: the tap is a
        script of ours.
        """
        self.page.add_init_script(path=HERE / "tap_page.js")

    def spoken(self, item_id: str) -> NDArray[np.int16]:
        """The audio of an item, as the server sent it."""
        deltas = [
            base64.b64decode(event["delta"])
            for event in self.received
            if event["type"] == "response.output_audio.delta" and event["item_id"] == item_id
        ]
        return np.frombuffer(b"".join(deltas), "<i2")

    def heard(self) -> NDArray[np.int16]:
        """Everything that went to the loudspeaker."""
        return np.array(self.page.evaluate("heard()"), np.int16)

    def heard_ms(self, item_id: str) -> tuple[float, float]:
        """How much of this item was played, the first one that was played in this page: from the first sound of each, up to
        where what the loudspeaker got parts from what the server sent. Where an answer was cut in a pause between two words,
        it cannot be told by ear: the least and the most that it can be.
        """
        sent, played = self.spoken(item_id), self.heard()
        assert np.any(sent)
        assert np.any(played), "nothing was heard"
        lead = int(np.flatnonzero(sent)[0])
        sent, played = sent[lead:], played[np.flatnonzero(played)[0] :]
        length = min(len(sent), len(played))
        different = np.flatnonzero(sent[:length] != played[:length])
        most = int(different[0]) if len(different) else length
        least = most if most == len(sent) else int(np.flatnonzero(sent[:most])[-1]) + 1
        return (lead + least) / SAMPLES_PER_MS, (lead + most) / SAMPLES_PER_MS

    def until_played(self, item_id: str) -> None:
        """Wait until the item has been played to its end."""

        def ended() -> bool | None:
            script = "(id) => import('/console/main.js').then(({ store }) => store.state.items.find((i) => i.id === id))"
            item = self.page.evaluate(script, item_id)
            return True if item and item["audioMs"] and item["heardMs"] >= item["audioMs"] else None

        self.wait(ended, "the end of the answer")


@contextmanager
def console(context: BrowserContext, complaints: bool = False) -> Iterator[Console]:
    """A console in a new page. The page must have had nothing to complain of, unless it is to be expected."""
    shown = Console(context.new_page())
    yield shown
    if not complaints:
        assert not shown.complaints, shown.complaints
