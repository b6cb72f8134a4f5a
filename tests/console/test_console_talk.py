"""Talking to the server through the page: what is sent, what is shown, and what comes out of the loudspeaker."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Playwright, expect

from tests.console.browser import AUDIO, SAMPLES_PER_MS, Console, console, launched, make_recording
from tests.console.console_server import LONG_ANSWER, ConsoleServer

EXACT_MS = 2
"""The page counts samples and rounds to milliseconds; 50 would do."""


def test_a_spoken_turn_hands_free(shown: Console) -> None:
    shown.page.click("#talk")
    shown.until("input_audio_buffer.speech_stopped")
    expect(shown.page.locator(".item.user .said").first).to_have_text("How are you today?")
    expect(shown.page.locator(".item.assistant p").first).to_contain_text(LONG_ANSWER)
    expect(shown.page.locator(".timeline .span.speech").first).to_be_visible()
    expect(shown.page.locator(".timeline .headline").first).to_contain_text("first sound")


def test_barge_in_truncates_at_what_was_heard(audible: Console) -> None:
    audible.page.click("#talk")
    audible.until("input_audio_buffer.speech_started", 2)
    truncate = audible.until_sent("conversation.item.truncate")
    truncated = audible.until("conversation.item.truncated")
    audible.page.wait_for_timeout(300)
    least, most = audible.heard_ms(truncate["item_id"])
    assert 500 < least < most + 1 < len(audible.spoken(truncate["item_id"])) / SAMPLES_PER_MS
    assert least - EXACT_MS < truncate["audio_end_ms"] < most + EXACT_MS
    assert truncated["audio_end_ms"] == truncate["audio_end_ms"]
    expect(audible.page.locator(".item.assistant.cut .mark").first).to_contain_text("heard for")
    expect(audible.page.locator(".timeline .moment.interruption")).to_have_count(1)


def test_push_to_talk_with_the_space_bar(shown: Console) -> None:
    shown.mode("Push to talk")
    shown.page.click("#talk")
    expect(shown.page.locator("#hold")).to_be_visible()
    shown.page.locator("h1").click()
    shown.page.keyboard.down("Space")
    shown.page.wait_for_timeout(600)
    shown.page.keyboard.up("Space")
    shown.until_sent("input_audio_buffer.commit")
    shown.until("response.done")
    expect(shown.page.locator(".item.user .said")).to_have_text("How are you today?")
    appends = [event for event in shown.sent if event["type"] == "input_audio_buffer.append"]
    assert 300 < len(appends) * 40 < 1500


def test_push_to_talk_too_short_is_told(shown: Console) -> None:
    shown.mode("Push to talk")
    shown.page.click("#talk")
    shown.page.locator("#hold").click()
    shown.until_sent("input_audio_buffer.clear")
    expect(shown.page.locator("#notices")).to_contain_text("Hold the button as long as you speak")


def test_a_typed_turn_is_answered_aloud(audible: Console) -> None:
    audible.type("Keep it short.")
    item_id = audible.until("response.output_audio.done")["item_id"]
    audible.until_played(item_id)
    assert audible.heard_ms(item_id)[1] == len(audible.spoken(item_id)) / SAMPLES_PER_MS
    expect(audible.page.locator(".item.assistant .said")).to_have_text("Yes.")


def test_an_answer_is_stopped(audible: Console) -> None:
    audible.type("Tell me a lot.")
    audible.page.locator("#stop").click()
    truncate = audible.until_sent("conversation.item.truncate")
    audible.page.wait_for_timeout(300)
    least, most = audible.heard_ms(truncate["item_id"])
    assert least - EXACT_MS < truncate["audio_end_ms"] < most + EXACT_MS
    expect(audible.page.locator("#stop")).to_be_hidden()


def test_a_tool_of_the_page_is_called(shown: Console) -> None:
    shown.type("How is the weather?")
    output = shown.until_sent("conversation.item.create", 2)["item"]
    assert output["type"] == "function_call_output"
    assert "made-up data" in output["output"]
    expect(shown.page.locator(".item.assistant .said").last).to_have_text("Fine.")
    shown.page.click("#tab-page")
    assert "Paris" in (shown.page.locator("#map svg").get_attribute("aria-label") or "")


def test_a_tool_of_ones_own_is_answered_by_hand(shown: Console) -> None:
    shown.page.locator("summary", has_text="Tools").click()
    shown.page.click("#tool-new")
    shown.page.fill("#tool-json", '{"name": "book_table", "parameters": {"type": "objekt"}}')
    expect(shown.page.locator("#tool-problems")).to_contain_text("parameters.type")
    expect(shown.page.locator("#tool-save")).to_be_disabled()
    shown.page.fill("#tool-json", '{"name": "book_table", "parameters": {"type": "object"}}')
    shown.page.click("#tool-save")
    expect(shown.page.locator("#own-tools code")).to_have_text("book_table")
    shown.type("Please book a table.")
    shown.page.get_by_label("Output of book_table").fill('{"booked": true}')
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator(".item.assistant .said").last).to_have_text("It is booked.")


def test_a_telephone_line_both_ways(audible: Console) -> None:
    audible.page.get_by_role("button", name="Telephone").click()
    audible.until("session.updated", 2)
    audible.page.click("#talk")
    audible.until("input_audio_buffer.speech_stopped")
    expect(audible.page.locator(".item.user .said").first).to_have_text("How are you today?")
    audible.until("response.output_audio.delta", 10)
    audible.page.wait_for_timeout(500)
    assert abs(audible.heard()).max() > 1000


def test_a_failed_response_says_why(shown: Console) -> None:
    shown.type("Please fail.")
    expect(shown.page.locator(".item.failure p")).to_have_text("The model did not answer.")


def test_a_recording_stands_in_where_there_is_no_microphone(
    deaf_browser: Browser, server: ConsoleServer, tmp_path: Path
) -> None:
    context = deaf_browser.new_context(permissions=["microphone"])
    with console(context) as shown:
        shown.open(server.url)
        shown.page.click("#talk")
        expect(shown.page.locator("#problem")).to_contain_text("No microphone was found")
        shown.page.set_input_files("#recording", make_recording(tmp_path / "voice.wav", 0.2, "goforward.wav"))
        expect(shown.page.locator("#source")).to_have_text("voice.wav")
        expect(shown.page.locator(".item.user .said").first).to_have_text("How are you today?")
    context.close()


def test_a_microphone_that_is_not_allowed_is_explained(playwright: Playwright, server: ConsoleServer) -> None:
    browser = launched(playwright, "--use-fake-device-for-media-stream")
    context = browser.new_context()
    with console(context) as shown:
        shown.open(server.url)
        shown.page.click("#talk")
        expect(shown.page.locator("#problem")).to_contain_text("may not use the microphone")
        expect(shown.page.locator("#talk")).to_have_text("Try again")
    browser.close()


def test_a_question_is_understood_and_answered_aloud(deaf_browser: Browser, tmp_path: Path) -> None:
    """The whole way, with the offline engines: a recorded voice in, a function of the page, a voice out."""
    server = ConsoleServer(tmp_path, engine="cascade")
    server.start()
    context = deaf_browser.new_context(bypass_csp=True)
    with console(context) as shown:
        shown.listen()
        shown.open(server.url)
        shown.page.set_input_files("#recording", AUDIO / "weather-question.wav")
        expect(shown.page.locator(".item.user .said").first).to_contain_text("weather")
        expect(shown.page.locator(".item.call").first).to_contain_text("get_weather")
        item_id = shown.until("response.output_audio.done")["item_id"]
        shown.page.wait_for_timeout(300)
        least, _ = shown.heard_ms(item_id)
        assert least > 100
    context.close()
    server.stop()
