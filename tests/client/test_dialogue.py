"""A client's side of a conversation, as frames in and events out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from vivavoce.client.dialogue import Dialogue
from vivavoce.client.playout import SimulatedLoudspeaker
from vivavoce.client.received import received
from vivavoce.client.session_options import Tool

TRANSCRIPTION = "conversation.item.input_audio_transcription"
AUDIO_MS = 48
GA_SESSION = {
    "audio": {
        "input": {
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
            "transcription": {"model": "whisper-1"},
        }
    }
}
BETA_SESSION = {
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
    "input_audio_transcription": {"model": "whisper-1"},
}


class Lines:
    """A show that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def line(self, label: str, text: str) -> None:
        self.lines.append((label, text))

    def stream(self, label: str, text: str) -> None:
        self.lines.append((label, text))

    def finish(self, label: str) -> None:
        self.lines.append((label, "."))


class Scene:
    """A dialogue, with the server's side written as `scene(1.5, "response.done", response={…})`."""

    def __init__(self, *, tools: tuple[Tool, ...] = (), session: dict[str, Any] = GA_SESSION, loud: bool = False) -> None:
        self.show = Lines()
        loudspeaker = SimulatedLoudspeaker(AUDIO_MS) if loud else None
        self.dialogue = Dialogue(self.show, tools, loudspeaker, lambda ms: 100 + ms / 1000)
        self(0.0, "session.created", session={})
        assert not self.dialogue.configured
        self(0.0, "session.updated", session=session)
        assert self.dialogue.configured

    def __call__(self, now: float, kind: str, **fields: Any) -> list[dict[str, Any]]:
        return self.dialogue.handle(received(json.dumps({"type": kind, **fields})), now)

    def speak(self) -> None:
        """The user says something, from 100.3 to 102.0."""
        self(100.4, "input_audio_buffer.speech_started", item_id="item_1", audio_start_ms=300)
        self(102.6, "input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=2500)
        self(102.6, "input_audio_buffer.committed", item_id="item_1", previous_item_id=None)

    def answer(self, response_id: str, now: float, ms: int = 1000, status: str = "completed") -> None:
        """The server says something."""
        item_id = f"item_of_{response_id}"
        delta = {"response_id": response_id, "item_id": item_id, "content_index": 0}
        self(now, "response.created", response={"id": response_id, "status": "in_progress"})
        self(now, "response.output_audio_transcript.delta", **delta, delta="Hello.")
        self(now, "response.output_audio.delta", **delta, delta=base64.b64encode(bytes(ms * AUDIO_MS)).decode())
        if status:
            self(now + 0.1, "response.done", response={"id": response_id, "status": status})


@pytest.mark.parametrize("session", [GA_SESSION, BETA_SESSION], ids=["GA", "beta"])
def test_a_turn_from_speech_to_answer(session: dict[str, Any]) -> None:
    scene = Scene(session=session)
    scene.speak()
    [turn] = scene.dialogue.turns
    assert not turn.finished
    scene(102.7, f"{TRANSCRIPTION}.delta", item_id="item_1", delta="go ")
    scene(102.7, f"{TRANSCRIPTION}.completed", item_id="item_1", transcript="go forward")
    scene.answer("resp_1", 102.9)
    assert turn.finished
    assert turn.answered
    assert (turn.transcript, turn.answer) == ("go forward", "Hello.")
    assert len(turn.spoken["item_of_resp_1", 0]) == 1000 * AUDIO_MS
    assert turn.times.zero_ms == 2000
    assert turn.times.after_ms() == {
        "speech_stopped": 600,
        "transcript": 700,
        "first_text": 900,
        "first_audio": 900,
        "done": 1000,
    }
    expected = [("you", "go "), ("you", "forward"), ("you", "."), ("answer", "Hello."), ("answer", ".")]
    assert scene.show.lines == expected


def test_beta_names_mean_the_same() -> None:
    scene = Scene(session=BETA_SESSION)
    scene.speak()
    delta = {"response_id": "resp_1", "item_id": "item_2", "content_index": 0}
    scene(103.0, "response.created", response={"id": "resp_1"})
    scene(103.1, "response.audio_transcript.delta", **delta, delta="Hi.")
    scene(103.2, "response.audio.delta", **delta, delta="AAAA")
    scene(103.3, "response.text.delta", **delta, delta=" Or so.")
    [turn] = scene.dialogue.turns
    assert turn.answer == "Hi. Or so."
    assert turn.times.first_audio == 103.2


def test_a_turn_waits_for_its_transcript() -> None:
    scene = Scene()
    scene.speak()
    scene.answer("resp_1", 102.9)
    [turn] = scene.dialogue.turns
    assert not turn.finished
    scene(103.5, f"{TRANSCRIPTION}.failed", item_id="item_1", error={"message": "too quiet"})
    assert turn.finished
    assert turn.answered


def test_a_session_without_transcription_waits_for_none() -> None:
    scene = Scene(session={"audio": {"input": {"transcription": None}}})
    scene.speak()
    scene.answer("resp_1", 102.9)
    assert scene.dialogue.turns[0].finished


def call_of(name: str, call_id: str) -> dict[str, Any]:
    return {"id": "item_2", "type": "function_call", "name": name, "call_id": call_id, "arguments": '{"a":1}'}


def test_a_call_with_a_result_is_answered_and_the_turn_goes_on() -> None:
    scene = Scene(tools=(Tool("weather", result={"sky": "clear"}), Tool("text", result="as it is")))
    scene.dialogue.type("What is the weather?", 50.0)
    scene(50.1, "response.created", response={"id": "resp_1"})
    calls = [call_of("weather", "call_1"), call_of("text", "call_2")]
    scene(50.1, "response.output_item.done", response_id="resp_1", item=calls[0])
    events = scene(50.2, "response.done", response={"id": "resp_1", "status": "completed", "output": calls})
    outputs = [event.get("item") for event in events]
    assert outputs == [
        {"type": "function_call_output", "call_id": "call_1", "output": '{"sky": "clear"}'},
        {"type": "function_call_output", "call_id": "call_2", "output": "as it is"},
        None,
    ]
    assert events[-1] == {"type": "response.create"}
    [turn] = scene.dialogue.turns
    assert not turn.finished
    scene.answer("resp_2", 50.5)
    assert turn.answered
    assert turn.times.done == 50.6
    assert [call.name for call in turn.calls] == ["weather"]
    assert ("tool", 'weather({"a":1})') in scene.show.lines


def test_a_call_without_a_result_ends_the_turn() -> None:
    scene = Scene(tools=(Tool("weather"),))
    scene.dialogue.type("What is the weather?", 50.0)
    response = {"id": "resp_1", "status": "completed", "output": [call_of("weather", "call_1")]}
    assert scene(50.2, "response.done", response=response) == []
    assert scene.dialogue.turns[0].answered


def test_a_cancelled_call_is_not_answered() -> None:
    scene = Scene(tools=(Tool("weather", result="clear"),))
    scene.dialogue.type("What is the weather?", 50.0)
    response = {"id": "resp_1", "status": "cancelled", "output": [call_of("weather", "call_1")]}
    assert scene(50.2, "response.done", response=response) == []


def test_a_call_that_was_spoken_over_leaves_the_answer_to_the_new_turn() -> None:
    scene = Scene(tools=(Tool("weather", result="clear"),))
    scene.dialogue.type("What is the weather?", 50.0)
    scene(50.1, "response.created", response={"id": "resp_1"})
    scene(50.2, "input_audio_buffer.speech_started", item_id="item_5")
    response = {"id": "resp_1", "status": "completed", "output": [call_of("weather", "call_1")]}
    assert [event["type"] for event in scene(50.3, "response.done", response=response)] == ["conversation.item.create"]


def test_barge_in_truncates_what_was_not_heard() -> None:
    scene = Scene(loud=True)
    scene.speak()
    scene.answer("resp_1", 103.0, ms=2000)
    [truncate] = scene(103.75, "input_audio_buffer.speech_started", item_id="item_9", audio_start_ms=3000)
    assert truncate == {
        "type": "conversation.item.truncate",
        "event_id": "attempt_1",
        "item_id": "item_of_resp_1",
        "content_index": 0,
        "audio_end_ms": 750,
    }
    first, second = scene.dialogue.turns
    assert len(first.spoken["item_of_resp_1", 0]) == 750 * AUDIO_MS
    assert second.speaking


def test_speech_after_the_answer_cuts_nothing() -> None:
    scene = Scene(loud=True)
    scene.speak()
    scene.answer("resp_1", 103.0, ms=500)
    assert scene(103.6, "input_audio_buffer.speech_started", item_id="item_9") == []


def test_audio_that_arrives_after_the_cut_is_not_kept() -> None:
    scene = Scene(loud=True)
    scene.speak()
    scene.answer("resp_1", 103.0, ms=2000, status="")
    scene(103.5, "input_audio_buffer.speech_started", item_id="item_9")
    scene(103.6, "response.output_audio.delta", response_id="resp_1", item_id="item_of_resp_1", delta="AAAA")
    assert len(scene.dialogue.turns[0].spoken["item_of_resp_1", 0]) == 500 * AUDIO_MS


def test_typing_interrupts_what_is_said() -> None:
    scene = Scene(loud=True)
    scene.speak()
    scene.answer("resp_1", 103.0, ms=2000, status="")
    kinds = [event["type"] for event in scene.dialogue.type("Stop.", 103.4)]
    assert kinds == ["response.cancel", "conversation.item.truncate", "conversation.item.create", "response.create"]


def test_an_attempt_that_came_too_late_harms_nothing() -> None:
    scene = Scene()
    scene.dialogue.type("Hello", 50.0)
    scene(50.1, "error", error={"message": "Cancellation failed", "event_id": "attempt_1"})
    assert scene.dialogue.turns[0].problem is None


def test_an_error_ends_the_turn() -> None:
    scene = Scene()
    scene.dialogue.type("Hello", 50.0)
    scene(50.1, "error", error={"message": "No room.", "code": "rate_limit_exceeded"})
    [turn] = scene.dialogue.turns
    assert turn.finished
    assert not turn.answered
    assert turn.problem == "No room. (rate_limit_exceeded)"


def test_an_error_before_any_turn_is_the_sessions() -> None:
    scene = Scene()
    scene(0.1, "error", error={"message": "Unknown parameter", "code": "unknown_parameter"})
    assert scene.dialogue.problem == "Unknown parameter (unknown_parameter)"


def test_a_failed_response_is_a_problem_and_a_short_one_is_not() -> None:
    scene = Scene()
    scene.dialogue.type("Hello", 50.0)
    details = {"type": "failed", "error": {"type": "server_error", "code": "engine_timeout", "message": "Too slow."}}
    scene(50.1, "response.done", response={"id": "r", "status": "failed", "status_details": details})
    assert scene.dialogue.turns[0].problem == "Too slow. (engine_timeout)"
    scene.dialogue.type("Again", 51.0)
    details = {"type": "incomplete", "reason": "max_output_tokens"}
    scene(51.1, "response.done", response={"id": "r", "status": "incomplete", "status_details": details})
    assert scene.dialogue.turns[1].answered


def test_push_to_talk() -> None:
    scene = Scene(loud=True)
    assert scene.dialogue.press(100.0) == [{"type": "input_audio_buffer.clear"}]
    events = scene.dialogue.commit(101.0)
    assert [event["type"] for event in events] == ["input_audio_buffer.commit", "response.create"]
    scene(101.0, "input_audio_buffer.committed", item_id="item_1")
    scene(101.2, f"{TRANSCRIPTION}.completed", item_id="item_1", transcript="hello")
    scene.answer("resp_1", 101.1)
    [turn] = scene.dialogue.turns
    assert turn.answered
    assert turn.times.after_ms()["transcript"] == 200


def test_a_server_that_speaks_unasked_opens_a_turn() -> None:
    scene = Scene()
    scene.answer("resp_1", 60.0)
    assert scene.dialogue.turns[0].answer == "Hello."
