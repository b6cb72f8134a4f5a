"""What a person reads while a conversation goes on."""

from __future__ import annotations

import io
import json

from vivavoce.client.dialogue import Turn
from vivavoce.client.screen import JsonLines, Screen, time_line, turn_report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_have_their_label_on_the_left() -> None:
    out = io.StringIO()
    Screen(out).line("you", "go forward")
    assert out.getvalue() == "you        go forward\n"


def test_a_line_grows() -> None:
    out = io.StringIO()
    screen = Screen(out)
    for word in ("go ", "forward"):
        screen.stream("you", word)
    screen.finish("you")
    assert out.getvalue() == "you        go forward\n"


def test_of_two_growing_lines_the_second_waits() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.stream("you", "go ")
    screen.stream("answer", "Here ")
    screen.stream("you", "on")
    screen.finish("you")
    screen.stream("answer", "I go.")
    screen.finish("answer")
    screen.line("spoken", "1.0 s")
    assert out.getvalue().splitlines() == ["you        go on", "answer     Here I go.", "spoken     1.0 s"]


def test_a_line_that_waited_may_be_finished_already() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.stream("answer", "Here ")
    screen.stream("you", "go on")
    screen.finish("you")
    screen.stream("answer", "I go.")
    screen.finish("answer")
    assert out.getvalue().splitlines() == ["answer     Here I go.", "you        go on"]


def test_an_urgent_line_breaks_in() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.stream("answer", "Once upon ")
    screen.line("cut", "after 0.5 s")
    screen.finish("answer")
    assert out.getvalue().splitlines() == ["answer     Once upon ", "cut        after 0.5 s"]


def test_finishing_what_never_grew_shows_nothing() -> None:
    out = io.StringIO()
    Screen(out).finish("answer")
    assert out.getvalue() == ""


def test_progress_is_for_terminals_and_leaves_no_trace() -> None:
    out, terminal = io.StringIO(), Terminal()
    Screen(out).progress("1.0 of 2.0 s")
    assert out.getvalue() == ""
    screen = Screen(terminal)
    screen.progress("1.0 of 2.0 s")
    screen.progress("done")
    screen.line("you", "go")
    assert terminal.getvalue() == "\r1.0 of 2.0 s\rdone        \r    \ryou        go\n"


def test_json_lines_tell_events_without_their_audio() -> None:
    out = io.StringIO()
    lines = JsonLines(out, clock=iter([5.0, 5.25, 5.5, 6.0]).__next__)
    lines.watch("sent", '{"type": "input_audio_buffer.append", "audio": "AAAA"}')
    lines.watch("received", '{"type": "response.output_audio.delta", "delta": "AAAAAAAA"}')
    lines.write({"turn": "a.wav"})
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"at_ms": 250.0, "received": {"type": "response.output_audio.delta", "delta": "<6 bytes>"}},
        {"at_ms": 500.0, "turn": "a.wav"},
    ]


def turn() -> Turn:
    turn = Turn("a.wav")
    turn.times.zero, turn.times.zero_ms = 10.0, 2000
    for step, at in (("speech_stopped", 10.5), ("first_audio", 10.62), ("first_audio", 10.7), ("done", 11), ("done", 12)):
        turn.times.mark(step, at)
    return turn


def test_a_time_line_shows_what_happened() -> None:
    assert time_line(turn(), "the end of speech") == [
        "time line  ms after the end of speech",
        "  speech_stopped     500",
        "  first audio        620",
        "  done              2000",
    ]


def test_a_report_has_every_step() -> None:
    report = turn_report(turn())
    assert report["speech_end_ms"] == 2000
    assert report["time_line_ms"] == {
        "speech_stopped": 500,
        "transcript": None,
        "first_text": None,
        "first_audio": 620,
        "done": 2000,
    }
