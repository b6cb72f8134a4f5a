"""Both ways of being late: what the client sends before it could know, and what it sends when it is over already.

Each race is run at every moment of an answer or of a turn, in both dialects, with an oracle on every event. Afterwards
nothing may be lost: the session is open, every item can still be fetched, and the next question is answered.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.race import TOTAL_MS, WORDS, Live, answer
from vivavoce.engine_api import (
    EngineEvent,
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    OutputAudio,
    OutputTranscript,
)

Dialects = pytest.mark.parametrize("dialect", ["ga", "beta"])
STEPS = len(answer(""))
Moments = pytest.mark.parametrize("moment", range(STEPS + 1))


def spoken_until(dialect: str, moment: int) -> tuple[Live, list[EngineEvent]]:
    """A session in the middle of an answer, and the rest of it."""
    live = Live(dialect)
    live.send("response.create")
    steps = answer(live.response_id)
    live.engine(*steps[:moment])
    return live, steps[moment:]


def statuses(live: Live) -> list[str]:
    return [event["response"]["status"] for event in live.said if event["type"] == "response.done"]


# --- response.cancel ---


@Dialects
@Moments
def test_cancel_at_any_moment(dialect: str, moment: int) -> None:
    live, rest = spoken_until(dialect, moment)
    said = live.send("response.cancel")
    if rest:
        assert said[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    else:
        error = live.error(said)
        assert error["code"] == "response_cancel_not_active"
        assert error["message"].startswith("Cancellation failed")
    assert live.engine(*rest) == []
    assert live.error(live.send("response.cancel"))["code"] == "response_cancel_not_active"
    assert statuses(live) == ["cancelled" if rest else "completed"]
    live.check_nothing_lost()


@Dialects
def test_cancel_before_anything(dialect: str) -> None:
    live = Live(dialect)
    assert live.error(live.send("response.cancel"))["code"] == "response_cancel_not_active"
    live.check_nothing_lost()


@Dialects
def test_cancel_of_a_response_that_is_over_does_not_touch_the_next(dialect: str) -> None:
    live, _ = spoken_until(dialect, STEPS)
    old = live.response_id
    live.send("response.create")
    error = live.error(live.send("response.cancel", response_id=old))
    assert (error["code"], error["param"]) == ("response_cancel_not_active", "response_id")
    live.engine(*answer(live.response_id))
    assert statuses(live) == ["completed", "completed"]
    live.check_nothing_lost()


# --- conversation.item.truncate ---


@Dialects
@pytest.mark.parametrize("moment", range(2, STEPS + 1))
@pytest.mark.parametrize("cancel", [[], ["response.cancel"]])
def test_truncate_at_any_moment_with_or_without_a_cancellation(dialect: str, moment: int, cancel: list[str]) -> None:
    live, rest = spoken_until(dialect, moment)
    (item_id,) = live.item_ids
    said = live.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    assert said[-1]["type"] == "conversation.item.truncated"
    for type in cancel:
        said = live.send(type)
        assert [event["error"]["code"] for event in said] == ([] if rest else ["response_cancel_not_active"])
    assert live.engine(*rest) == []
    part = live.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"][0]
    assert len(base64.b64decode(part["audio"])) == 300 * 48
    assert part["transcript"] == ""  # The first word ends at 400 ms.
    live.check_nothing_lost()


@Dialects
@pytest.mark.parametrize("order", [("response.cancel", "truncate"), ("truncate", "response.cancel")])
def test_cancel_and_truncate_in_either_order(dialect: str, order: tuple[str, ...]) -> None:
    live, rest = spoken_until(dialect, 5)
    (item_id,) = live.item_ids
    for type in order:
        place = {"item_id": item_id, "content_index": 0, "audio_end_ms": 500} if type == "truncate" else {}
        said = live.send(type.replace("truncate", "conversation.item.truncate"), **place)
        assert "error" not in [event["type"] for event in said]
    assert live.engine(*rest) == []
    live.send("response.create")
    remembered = next(c for c in reversed(live.commands) if isinstance(c, Generate)).items[-1]
    assert remembered.content[0].transcript == "One"
    live.check_nothing_lost(busy=True)


@Dialects
@pytest.mark.parametrize(("audio_end_ms", "fits"), [(TOTAL_MS, True), (TOTAL_MS + 100, True), (TOTAL_MS + 101, False)])
def test_truncate_after_the_end(dialect: str, audio_end_ms: int, fits: bool) -> None:
    live, _ = spoken_until(dialect, STEPS)
    (item_id,) = live.item_ids
    said = live.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=audio_end_ms)
    if fits:
        assert said[0]["audio_end_ms"] == audio_end_ms
    else:
        error = live.error(said)
        assert error["code"] == "invalid_value"
        assert error["message"] == f"Audio content of {TOTAL_MS}ms is already shorter than {audio_end_ms}ms"
    part = live.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"][0]
    assert part["transcript"] == "".join(WORDS)
    live.check_nothing_lost()


@Dialects
def test_truncate_of_what_is_not_there(dialect: str) -> None:
    live, _ = spoken_until(dialect, STEPS)
    (item_id,) = live.item_ids
    live.send("conversation.item.delete", item_id=item_id)
    for gone in (item_id, "item_never"):
        said = live.send("conversation.item.truncate", item_id=gone, content_index=0, audio_end_ms=0)
        assert live.error(said)["code"] == "item_truncate_invalid_item_id"
    live.check_nothing_lost()


# --- response.create ---


@Dialects
@Moments
def test_create_at_any_moment(dialect: str, moment: int) -> None:
    live, rest = spoken_until(dialect, moment)
    running = live.response_id
    said = live.send("response.create")
    if not rest:
        assert said[0]["type"] == "response.created"
        live.engine(*answer(live.response_id))
    else:
        error = live.error(said)
        assert error["code"] == "conversation_already_has_active_response"
        assert error["message"] == (
            f"Conversation already has an active response in progress: {running}. "
            "Wait until the response is finished before creating a new one."
        )
        live.engine(*rest)
    assert statuses(live)[0] == "completed"
    live.check_nothing_lost()


def call(response_id: str) -> list[EngineEvent]:
    return [
        OutputTranscript(response_id, "Let me look."),
        OutputAudio(response_id, bytes(4800)),
        FunctionCallStarted(response_id, "call_1", "get_weather"),
        FunctionCallArguments(response_id, "call_1", "{}"),
        GenerationDone(response_id),
    ]


@Dialects
@pytest.mark.parametrize("impatient", [False, True])
def test_a_client_that_answers_each_item_on_completion(dialect: str, impatient: bool) -> None:
    """It sends a function's output and `response.create` once the call is done, and perhaps again on `response.done`."""
    live = Live(dialect)
    live.send("response.create")
    last_events: list[str] = []
    for event in call(live.response_id):
        last_events = [said["type"] for said in live.engine(event)]
    # The end of the call and of the response leave in one burst: whoever answers the first has been told the last.
    assert last_events[-2:] == ["response.output_item.done", "response.done"]
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    live.send("conversation.item.create", item=output)
    assert live.send("response.create")[0]["type"] == "response.created"
    if impatient:
        assert live.error(live.send("response.create"))["code"] == "conversation_already_has_active_response"
    live.engine(*answer(live.response_id))
    assert statuses(live) == ["completed", "completed"]
    assert len(live.item_ids) == 4
    live.check_nothing_lost()


@Dialects
def test_a_client_that_answers_the_first_of_two_items(dialect: str) -> None:
    live = Live(dialect)
    live.send("response.create")
    steps = call(live.response_id)
    live.engine(*steps[:3])
    assert live.said[-2]["type"] == "response.output_item.added"
    assert "response.output_item.done" in [event["type"] for event in live.said]
    assert live.error(live.send("response.create"))["code"] == "conversation_already_has_active_response"
    assert live.engine(*steps[3:])[-1]["response"]["status"] == "completed"
    live.check_nothing_lost()


# --- conversation.item.delete ---


@Dialects
@pytest.mark.parametrize("moment", range(1, STEPS + 1))
def test_delete_at_any_moment(dialect: str, moment: int) -> None:
    live, rest = spoken_until(dialect, moment)
    (item_id,) = live.item_ids
    assert [event["type"] for event in live.send("conversation.item.delete", item_id=item_id)] == [
        "conversation.item.deleted"
    ]
    live.engine(*rest)
    # Who deletes an item wants to forget it, not to stop the voice.
    assert statuses(live) == ["completed"]
    for type in ("conversation.item.delete", "conversation.item.retrieve"):
        verb = type.rsplit(".", 1)[1]
        assert live.error(live.send(type, item_id=item_id))["code"] == f"item_{verb}_invalid_item_id"
    live.send("response.create")
    assert next(c for c in reversed(live.commands) if isinstance(c, Generate)).items == ()
    live.check_nothing_lost(busy=True)


@Dialects
def test_delete_before_the_item_is_there(dialect: str) -> None:
    live, rest = spoken_until(dialect, 0)
    assert live.error(live.send("conversation.item.delete", item_id="item_0"))["code"] == "item_delete_invalid_item_id"
    live.engine(*rest)
    assert statuses(live) == ["completed"]
    live.check_nothing_lost()


# --- session.update, and the input audio buffer, in the middle of a turn ---

TURN: list[tuple[float, int]] = [(0.02, 320), (0.9, 640), (0.02, 320), (0.9, 640), (0.02, 320)]
"""Speech probabilities and for how many ms: a turn with a pause in it, not over yet."""
TURN_MS = sum(ms for _, ms in TURN)
TurnMoments = pytest.mark.parametrize("moment", range(len(TURN) + 1))


def update(dialect: str, turn_detection: dict[str, Any] | None) -> dict[str, Any]:
    if dialect == "beta":
        return {"turn_detection": turn_detection}
    return {"type": "realtime", "audio": {"input": {"turn_detection": turn_detection}}}


def speak(live: Live, parts: list[tuple[float, int]]) -> None:
    for probability, ms in parts:
        live.send("input_audio_buffer.append", audio=base64.b64encode(bytes(ms * 48)).decode())
        live.speech(probability, ms)
        live.heard()


def turn_until(dialect: str, moment: int) -> tuple[Live, Callable[[], None]]:
    """A session in which somebody is speaking, and the rest of what they say."""
    live = Live(dialect)
    speak(live, TURN[:moment])
    return live, lambda: speak(live, TURN[moment:])


def committed_ms(live: Live) -> float:
    """How much audio all items of the user hold."""
    total = 0
    for item_id in live.item_ids:
        item = live.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
        if item["role"] == "user":
            total += len(base64.b64decode(item["content"][0]["audio"]))
    return total / 48


@Dialects
@TurnMoments
def test_turn_detection_is_switched_off_in_the_middle_of_a_turn(dialect: str, moment: int) -> None:
    live, go_on = turn_until(dialect, moment)
    was_speaking = any(event["type"] == "input_audio_buffer.speech_started" for event in live.said)
    said = [event["type"] for event in live.send("session.update", session=update(dialect, None))]
    assert "session.updated" in said
    assert ("input_audio_buffer.speech_stopped" in said) == was_speaking
    go_on()
    said = [event["type"] for event in live.send("input_audio_buffer.commit")]
    assert said[0] == "input_audio_buffer.committed"
    assert "response.created" not in said
    # Whatever the detector had passed over before the turn, of the turn itself not a sample is lost.
    assert committed_ms(live) == pytest.approx(TURN_MS, abs=320)
    live.check_nothing_lost()


@Dialects
@TurnMoments
def test_turn_detection_changes_in_the_middle_of_a_turn(dialect: str, moment: int) -> None:
    live, go_on = turn_until(dialect, moment)
    quick = {"type": "server_vad", "silence_duration_ms": 200, "create_response": False}
    assert live.send("session.update", session=update(dialect, quick))[0]["type"] == "session.updated"
    go_on()
    speak(live, [(0.02, 400)])
    names = [event["type"].rsplit(".", 1)[1] for event in live.said if "speech_" in event["type"]]
    assert names == ["speech_started", "speech_stopped"] * (len(names) // 2)
    assert names
    assert "response.created" not in [event["type"] for event in live.said]
    live.check_nothing_lost()


@Dialects
def test_commit_and_clear_after_the_server_committed(dialect: str) -> None:
    live, _ = turn_until(dialect, len(TURN))
    speak(live, [(0.02, 192)])
    assert live.said[-1]["type"] == "response.created"
    error = live.error(live.send("input_audio_buffer.commit"))
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert [event["type"] for event in live.send("input_audio_buffer.clear")] == ["input_audio_buffer.cleared"]
    assert live.error(live.send("response.create"))["code"] == "conversation_already_has_active_response"
    live.check_nothing_lost(busy=True)


@Dialects
def test_the_voice_changes_while_it_is_heard(dialect: str) -> None:
    live, rest = spoken_until(dialect, 3)
    session = {"voice": "verse"} if dialect == "beta" else {"type": "realtime", "audio": {"output": {"voice": "verse"}}}
    error = live.error(live.send("session.update", session=session))
    assert error["code"] == "cannot_update_voice"
    live.engine(*rest)
    assert statuses(live) == ["completed"]
    live.check_nothing_lost()
