"""What the page shows: the log and its export, the session and its changes, code, accessibility, small screens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.console.browser import HERE, Console, console
from tests.console.console_server import ConsoleServer
from vivavoce.cli import main

NODE = shutil.which("node")
MAX_NODES = 4000


@pytest.fixture
def talked(shown: Console) -> Console:
    """A page in which a function was called and something was said."""
    shown.type("How is the weather?")
    expect(shown.page.locator(".item.assistant .said").last).to_have_text("Fine.")
    return shown


# --- the log ---


def test_the_log_can_be_filtered_searched_and_read(talked: Console) -> None:
    page = talked.page
    expect(page.locator("#log .row .type", has_text="response.done").first).to_be_attached()
    page.fill("#log-search", "get_weather paris")
    expect(page.locator("#log .row .type", has_text="conversation.item.done").first).to_be_visible()
    expect(page.locator("#log .row .type", has_text="session.created")).to_have_count(0)
    page.fill("#log-search", "")
    page.select_option("#log-from", "client")
    expect(page.locator("#log .row.server")).to_have_count(0)
    page.locator("#log .row", has_text="response.create").first.click()
    expect(page.locator("#log-json")).to_contain_text('"type": "response.create"')
    page.press("#log", "ArrowUp")
    expect(page.locator("#log-title")).not_to_have_text("response.create")


def test_an_event_can_be_clicked_while_others_come(shown: Console) -> None:
    shown.page.click("#talk")
    shown.until_sent("input_audio_buffer.append", 10)
    shown.page.locator("#log .row", has_text="session.created").click()
    expect(shown.page.locator("#log-title")).to_have_text("session.created")


def test_the_log_pauses(talked: Console) -> None:
    talked.page.click("#log-pause")
    count = talked.page.locator("#log-count").text_content()
    talked.type("Keep it short.")
    expect(talked.page.locator(".item.assistant .said").last).to_have_text("Yes.")
    expect(talked.page.locator("#log-count")).to_have_text(count or "")
    expect(talked.page.locator("#log-pause")).to_contain_text("missed")


def test_the_exported_log_is_read_by_replay(talked: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with talked.page.expect_download() as download:
        talked.page.click("#log-export")
    file = tmp_path / "log.jsonl"
    download.value.save_as(file)
    assert main(["replay", str(file)]) == 0
    told = capsys.readouterr().out
    assert "client conversation.item.create  user How is the weather?" in told
    assert re.search(r"server response.function_call_arguments.delta( ×\d+)?  \{", told)
    assert "server response.done  completed" in told
    assert "cannot be run again" in told


def test_a_long_conversation_does_not_fill_the_page(shown: Console) -> None:
    """Half an hour: 600 turns, 90,000 events."""
    nodes = shown.page.evaluate((HERE / "half_an_hour.js").read_text())
    expect(shown.page.locator("#log-count")).to_contain_text("older dropped")
    assert nodes < MAX_NODES
    assert shown.page.locator("#log .row").count() < 100


# --- the session ---


def test_a_slider_changes_the_session_and_shows_the_echo(shown: Console) -> None:
    slider = shown.page.get_by_label("Silence that ends")
    slider.fill("800")
    update = shown.until_sent("session.update", 2)
    assert update["session"]["audio"]["input"]["turn_detection"] == {"type": "server_vad", "silence_duration_ms": 800}
    echo = shown.until("session.updated", 2)["session"]["audio"]["input"]["turn_detection"]
    assert echo["silence_duration_ms"] == 800
    expect(shown.page.locator("#session-json")).to_contain_text('"silence_duration_ms": 800')


def test_what_the_server_refuses_is_told_at_the_field(talked: Console) -> None:
    voice = talked.page.get_by_label("Voice")
    voice.fill("coral")
    voice.press("Tab")
    expect(talked.page.locator(".field.refused small")).to_contain_text("Cannot update a conversation's voice")
    expect(voice).to_have_value("alloy")


@pytest.mark.parametrize(
    ("label", "value", "sent"),
    [
        ("Turn detection", "", {"audio": {"input": {"turn_detection": None}}}),
        (
            "Tone",
            "whispering",
            {"instructions": "You are a friendly assistant. Answer in one or two short sentences.\nSpeak in a whisper."},
        ),
    ],
)
def test_a_choice_stays_until_the_server_has_answered(shown: Console, label: str, value: str, sent: dict[str, Any]) -> None:
    field = shown.page.get_by_label(label, exact=True)
    shown.page.evaluate("WebSocket.prototype.send = (text) => { window.unsent = JSON.parse(text); }")
    field.select_option(value)
    shown.page.evaluate(DRAWN)
    expect(field).to_have_value(value)
    expect(shown.page.locator(".field.pending").filter(has=field)).to_have_count(1)
    assert shown.page.evaluate("window.unsent.session") == {"type": "realtime", **sent}


DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Waits until what has happened is drawn."""

DRAWN_AT_ONCE = """
async ([id, value, kind]) => {
  const { store } = await import('/console/main.js');
  window.requestAnimationFrame = (draw) => draw(0);
  const control = document.getElementById(id);
  control.value = value;
  control.dispatchEvent(new Event(kind));
  store.dispatch({ kind: 'connection', change: { roundTripMs: 1.5 } });
}
"""
"""Changes a control, and something else happens and is drawn before any timer runs."""


def test_a_value_is_sent_though_something_happens_meanwhile(talked: Console) -> None:
    talked.page.evaluate(DRAWN_AT_ONCE, ["field-audio-output-voice", "coral", "change"])
    assert talked.until_sent("session.update", 2)["session"]["audio"] == {"output": {"voice": "coral"}}


def test_a_slider_stays_where_it_is_put_though_something_happens_meanwhile(shown: Console) -> None:
    shown.page.evaluate(DRAWN_AT_ONCE, ["field-audio-output-speed", "1.25", "input"])
    assert shown.until_sent("session.update", 2)["session"]["audio"] == {"output": {"speed": 1.25}}


def test_what_is_written_after_a_refusal_stays(talked: Console) -> None:
    voice = talked.page.get_by_label("Voice")
    voice.fill("coral")
    voice.press("Enter")
    expect(voice).to_have_value("alloy")
    voice.focus()
    talked.page.evaluate(DRAWN_AT_ONCE, ["field-audio-output-voice", "sa", "input"])
    expect(voice).to_have_value("sa")
    expect(talked.page.locator(".field.refused small")).to_contain_text("Cannot update a conversation's voice")


def test_a_preset_and_a_tone(shown: Console) -> None:
    shown.page.get_by_role("button", name="Quick tests").click()
    expect(shown.page.get_by_label("Answers in")).to_have_value("text")
    shown.page.get_by_label("Tone").select_option("whispering")
    expect(shown.page.get_by_label("Instructions")).to_have_value(re.compile("Speak in a whisper."))


def test_another_model_is_another_session(shown: Console) -> None:
    shown.page.locator("#model").select_option("echo")
    assert shown.until("session.created", 2)["session"]["model"] == "echo"


# --- code ---


@pytest.fixture
def snippets(talked: Console) -> dict[str, str]:
    """The page's code, by language."""
    talked.page.click("#copy-as-code")
    found = {}
    for language in ("Python", "JavaScript", "curl"):
        talked.page.locator("#code-languages").get_by_role("button", name=language).click()
        found[language] = talked.page.locator("#code").text_content() or ""
    return found


def test_the_code_runs(snippets: dict[str, str], tmp_path: Path) -> None:
    programs = {"Python": [sys.executable, "-"], "curl": ["sh", "-s"]}
    if NODE:
        programs["JavaScript"] = [NODE, "--experimental-websocket", "-"]
    for language, program in programs.items():
        done = subprocess.run(
            program, input=snippets[language], capture_output=True, text=True, cwd=tmp_path, timeout=60, env=_environment()
        )
        assert done.returncode == 0, f"{language}: {done.stderr}"
        wanted = '"object":"list"' if language == "curl" else "This is a long answer"
        assert wanted in done.stdout.replace(" \n", " ").replace("\n", ""), f"{language}: {done.stdout}{done.stderr}"
    assert (tmp_path / "answer.wav").stat().st_size > 10_000


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}


# --- for everyone ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, server: ConsoleServer, scheme: Any) -> None:
    axe = HERE / "node_modules/axe-core/axe.min.js"
    if not axe.exists():
        pytest.skip("axe-core is not installed: run `make test`, or `npm ci` in tests/console")
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    with console(context) as shown:
        shown.open(server.url)
        shown.page.evaluate(axe.read_text())
        assert _violations(shown) == []
        shown.type("How is the weather?")
        expect(shown.page.locator(".item.assistant .said").last).to_have_text("Fine.")
        shown.page.locator(".timeline summary").last.click()
        shown.page.evaluate("document.querySelectorAll('.settings details').forEach((group) => { group.open = true; })")
        shown.page.locator("#log .row").first.click()
        assert _violations(shown) == []
        for tab in ("#tab-usage", "#tab-page"):
            shown.page.click(tab)
            assert _violations(shown) == []
        shown.page.click("#copy-as-code")
        assert _violations(shown) == []
    context.close()


def _violations(shown: Console) -> list[str]:
    found = shown.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    nodes = [(each["id"], node) for each in found for node in each["nodes"]]
    return [f"{rule}: {node['html'][:150]} {node['failureSummary']}" for rule, node in nodes]


def test_it_fits_a_phone(browser: Browser, server: ConsoleServer) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    with console(context) as shown:
        shown.open(server.url)
        for name in ("Session", "Inspect", "Talk"):
            shown.page.get_by_role("tab", name=name).click()
            width = shown.page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, f"{name} is {width} wide"
        expect(shown.page.locator("#talk")).to_be_in_viewport()
        expect(shown.page.locator("#text")).to_be_in_viewport()
    context.close()


def test_the_theme_is_kept(shown: Console) -> None:
    for _ in range(2):
        shown.page.click("#theme")
    shown.page.reload()
    assert shown.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_units() -> None:
    """The console's own tests, of what needs no page."""
    if NODE is None:
        pytest.skip("node is not installed: the console's own tests did not run")
    done = subprocess.run([NODE, "--test", str(HERE / "unit")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"# pass (\d+)", done.stdout)[0]) >= 20


def test_what_is_typed_checked_is_all_of_it() -> None:
    """`make lint` runs `tsc`, which skips what its settings leave out."""
    settings = json.loads((HERE / "tsconfig.json").read_text())
    assert settings["compilerOptions"]["checkJs"]
    files = list((HERE / "../../src/vivavoce/server/console").resolve().rglob("*.js"))
    assert len(files) > 30
    assert all(file.read_text().startswith("// @ts-check") for file in files)
