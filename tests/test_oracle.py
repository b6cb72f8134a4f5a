"""The oracle lets a correct conversation pass, in both dialects, and catches each breach of each rule."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.examples import TRANSCRIPTION_SESSION, response
from tests.examples_conversation import Event, script
from tests.oracle import Breach, Oracle
from tests.oracle_shapes import SPEC, check_schema, check_sdk
from vivavoce.protocol import objects as o
from vivavoce.protocol import server_events as s
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.codec import GA, Dialect


def judge(lines: list[tuple[str, Event]], dialect: Dialect = GA) -> None:
    oracle = Oracle(dialect.name)
    for who, event in lines:
        frame = json.dumps(event)
        if who == "client":
            oracle.saw_client(frame)
        else:
            oracle.saw_server(frame)
    oracle.finish()


@pytest.mark.parametrize("dialect", [GA, BETA], ids=lambda dialect: dialect.name)
def test_a_correct_conversation_passes(dialect: Dialect) -> None:
    judge(script(dialect), dialect)


@pytest.mark.parametrize("dialect", [GA, BETA], ids=lambda dialect: dialect.name)
def test_a_transcription_session_passes(dialect: Dialect) -> None:
    frame = dialect.encode(s.SessionCreated(event_id="event_0", session=TRANSCRIPTION_SESSION))
    assert frame is not None
    judge([("server", json.loads(frame))], dialect)


STALE = {
    "RealtimeServerEventConversationItemRetrieved",  # content type `audio`
    "RealtimeServerEventResponseOutputItemDone",  # content type `text`
}


def test_the_schemas_own_server_examples_pass() -> None:
    """So the oracle asks for nothing that the hosted API does not do. Two examples are older than the schema."""
    examples: dict[str, Any] = json.loads((SPEC / "examples.json").read_text())
    judged = 0
    for name, example in examples.items():
        if name.startswith("RealtimeServerEvent") and isinstance(example, dict) and name not in STALE:
            check_schema(example, "ga")
            check_sdk(example, "ga")
            judged += 1
    assert judged > 35


# --- broken conversations ---


class Lines(list[tuple[str, Event]]):
    """A script to break. `name` is an event's type, `nth` which of them."""

    def at(self, name: str, nth: int = 0) -> int:
        return [index for index, (_, event) in enumerate(self) if event["type"] == name][nth]

    def event(self, name: str, nth: int = 0) -> Event:
        return self[self.at(name, nth)][1]

    def drop(self, name: str, nth: int = 0) -> None:
        del self[self.at(name, nth)]

    def repeat(self, name: str, nth: int = 0) -> None:
        """Once more, with an id of its own."""
        self.insert(self.at(name, nth) + 1, ("server", self.event(name, nth) | {"event_id": "event_again"}))

    def say(self, index: int, event: Event) -> None:
        self.insert(index, ("server", event | {"event_id": "event_extra"}))

    def swap(self, name: str, other: str, nth: int = 0) -> None:
        """`nth` counts the first of the two."""
        first, second = self.at(name, nth), self.at(other)
        self[first], self[second] = self[second], self[first]


Break = Callable[[Lines], object]


def put(name: str, path: str, value: Any, nth: int = 0) -> Break:
    """Change a field of an event; UNSET removes it."""

    def broken(lines: Lines) -> None:
        target: Any = lines.event(name, nth)
        *steps, last = path.split(".")
        for step in steps:
            target = target[int(step)] if step.isdigit() else target[step]
        if value is msgspec.UNSET:
            del target[last]
        else:
            target[last] = value

    return broken


def shown(event: s.ServerEventBase) -> Event:
    frame = GA.encode(event)
    assert frame is not None
    return dict(json.loads(frame))


def second_response(lines: Lines) -> None:
    lines.say(lines.at("response.content_part.added"), shown(s.ResponseCreated(response=response(id="resp_x"))))


def late_delta(lines: Lines) -> None:
    lines.append(("server", lines.event("response.output_audio.delta") | {"event_id": "event_late"}))


def in_progress_item(lines: Lines) -> None:
    item = o.Message(id="item_x", status="in_progress", role="assistant", content=())
    lines.append(("server", shown(s.ConversationItemAdded(event_id="e_x", previous_item_id="item_4", item=item))))


def uncommitted(lines: Lines) -> None:
    item = o.Message(id="item_x", status="completed", role="user", content=(o.InputAudioPart(),))
    lines.append(("server", shown(s.ConversationItemAdded(event_id="e_x", previous_item_id="item_4", item=item))))


def out_of_band_item(lines: Lines) -> None:
    item = lines.event("response.output_item.added", 2)["item"]
    added = {"type": "conversation.item.added", "previous_item_id": "item_4", "item": item}
    lines.say(lines.at("response.output_item.added", 2) + 1, added)


def failed_with_param(lines: Lines) -> None:
    error = {"type": "transcription_error", "code": "x", "message": "no", "param": None}
    event = {"type": "conversation.item.input_audio_transcription.failed", "item_id": "item_2", "content_index": 0}
    lines[lines.at("conversation.item.input_audio_transcription.completed")] = (
        "server",
        event | {"event_id": "e", "error": error},
    )


def extra_text_delta(lines: Lines) -> None:
    event = lines.event("response.output_audio_transcript.delta") | {"type": "response.output_text.delta"}
    lines.say(lines.at("response.output_audio.done"), event)


def arguments_in_message(lines: Lines) -> None:
    misplaced = {"response_id": "resp_1", "item_id": "item_3"}
    lines.say(lines.at("response.output_audio.done"), lines.event(ARGUMENTS + "delta") | misplaced)


def commit_alone(lines: Lines) -> None:
    lines.say(len(lines), {"type": "input_audio_buffer.committed", "item_id": "item_9", "previous_item_id": "item_4"})


def timeout(start_ms: int, at: str) -> Break:
    """A time-out before the event `at`."""

    def broken(lines: Lines) -> None:
        event = {"type": "input_audio_buffer.timeout_triggered", "item_id": "item_9"}
        lines.say(lines.at(at), event | {"audio_start_ms": start_ms, "audio_end_ms": 6000})

    return broken


def item_twice(lines: Lines) -> None:
    event = copy.deepcopy(lines.event("response.output_item.added"))
    event["output_index"] = 1
    lines.say(lines.at("response.content_part.added"), event)


def late_arguments(lines: Lines) -> None:
    lines.say(lines.at("conversation.item.done", 3), lines.event("response.function_call_arguments.delta"))


def long_frame(lines: Lines) -> None:
    lines.event("session.created")["session"]["instructions"] = "x" * 2**20


NOTHING = msgspec.UNSET
TIMEOUT = {"type": "input_audio_buffer.timeout_triggered", "event_id": "e", "item_id": "item_9"}
TIMEOUT |= {"audio_start_ms": 900, "audio_end_ms": 6000}
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
PARTIAL = {"type": "tokens", "total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
AUDIO = "response.output_audio."
WORDS = "response.output_audio_transcript."
ARGUMENTS = "response.function_call_arguments."
LIMITED = {"type": "audio/pcm"}

BREACHES: list[tuple[str, Break]] = [
    ("frame-size", long_frame),
    ("event-id", put("error", "event_id", "")),
    ("event-id", put("error", "event_id", NOTHING)),
    ("event-id-unique", put("error", "event_id", "event_0")),
    ("vocabulary", put(AUDIO + "delta", "type", "response.audio.delta")),
    ("vocabulary", put("conversation.item.added", "type", "conversation.item.created")),
    ("vocabulary", put("session.created", "session.modalities", ["text"])),
    ("vocabulary", put("response.done", "response.voice", "alloy")),
    ("vocabulary", put("response.output_item.done", "item.content.0.type", "audio")),
    ("vocabulary", lambda lines: lines.say(1, {"type": "conversation.created", "conversation": {"id": "conv_1"}})),
    ("schema", put("response.done", "response.status", "finished")),
    ("schema", put("error", "type", "errors")),
    ("schema", put("session.created", "session.audio.input.format", {"type": "audio/pcm", "rate": 8000})),
    ("schema", put("session.created", "session.audio.output.speed", 3)),
    ("sdk", put("input_audio_buffer.speech_started", "audio_start_ms", 1.0)),
    ("sdk", put("rate_limits.updated", "rate_limits.0.limit", 9.0)),
    ("session-defaults", put("session.updated", "session.audio.input.turn_detection.create_response", NOTHING)),
    ("session-defaults", put("session.created", "session.audio.output.voice", NOTHING)),
    ("session-defaults", put("session.created", "session.tools", NOTHING)),
    ("format-rate", put("session.created", "session.audio.input.format", LIMITED)),
    ("format-rate", put("response.created", "response.audio.output.format", LIMITED)),
    ("item-nulls", put("conversation.item.added", "item.status", None)),
    ("item-nulls", put("response.output_item.done", "item.content.0.audio", None)),
    ("item-id", put("conversation.item.added", "item.id", NOTHING)),
    ("transcript-key", put("conversation.item.added", "item.content.0.transcript", NOTHING, 1)),
    ("usage", put("response.done", "response.usage", None)),
    ("usage", put("response.done", "response.usage.input_token_details.cached_tokens", NOTHING)),
    ("usage", put("response.done", "response.usage.total_tokens", 29)),
    ("usage", put("response.done", "response.usage.output_token_details.text_tokens", 1)),
    ("status-details", put("response.created", "response.status_details", NOTHING)),
    ("status-details", put("response.done", "response.status", "cancelled")),
    ("status-details", put("response.done", "response.status_details", {"type": "cancelled", "reason": "turn_detected"})),
    ("transcription-error", failed_with_param),
    ("transcription-usage", put(TRANSCRIBED, "usage", PARTIAL)),
    ("error-keys", put("error", "error.param", NOTHING)),
    ("rate-limits", put("rate_limits.updated", "rate_limits.0.remaining", None)),
    ("audio-base64", put(AUDIO + "delta", "delta", "AAA")),
    ("whole-samples", put(AUDIO + "delta", "delta", "AAAA")),
    ("session-created-first", lambda lines: lines.drop("session.created")),
    ("session-created-first", lambda lines: lines.repeat("session.created")),
    ("session-created-first", lambda lines: lines.clear()),
    ("update-answers", lambda lines: lines.repeat("session.updated")),
    ("transcription-keys", put("session.updated", "session.audio.input.transcription", {"model": "x", "languages": ["en"]})),
    ("error-names-event", put("error", "error.event_id", "mine_2")),
    ("response-id-unique", put("response.created", "response.id", "resp_1", 1)),
    ("response-begins-empty", put("response.created", "response.status", "completed")),
    ("one-response-at-a-time", second_response),
    ("response-left-open", lambda lines: lines.drop("response.done", 2)),
    ("nothing-after-response-done", late_delta),
    ("nothing-after-response-done", lambda lines: lines.repeat("response.done")),
    ("response-unknown", lambda lines: lines.drop("response.created")),
    ("response-ends", put("response.done", "response.status", "in_progress")),
    ("item-left-open", lambda lines: lines.drop("response.output_item.done")),
    ("item-left-open", lambda lines: lines.drop("conversation.item.done")),
    ("output-lists-items", put("response.done", "response.output", [])),
    ("output-index", put("response.output_item.added", "output_index", 1)),
    ("output-index", put(AUDIO + "delta", "output_index", 1)),
    ("item-status", put("response.output_item.done", "item.status", "in_progress")),
    ("item-status", put("conversation.item.done", "item.status", "in_progress", 2)),
    ("item-id-unique", item_twice),
    ("item-id-unique", put("input_audio_buffer.speech_started", "item_id", "item_1")),
    ("item-id-unique", put("input_audio_buffer.committed", "item_id", "item_1")),
    ("item-begins-empty", put("response.output_item.added", "item.content", [{"type": "output_text", "text": "Hi"}])),
    ("item-begins-empty", put("response.output_item.added", "item.arguments", "{}", 1)),
    ("item-unknown", put(AUDIO + "delta", "item_id", "item_9")),
    ("item-unknown", put("conversation.item.truncated", "item_id", "item_9")),
    ("item-unknown", put("conversation.item.deleted", "item_id", "item_9")),
    ("nothing-after-item-done", lambda lines: lines.repeat("response.output_item.done")),
    ("item-added-first", lambda lines: lines.swap("conversation.item.added", "response.content_part.added", 2)),
    ("part-left-open", lambda lines: lines.drop("response.content_part.done")),
    ("item-holds-its-parts", put("response.output_item.done", "item.content.0.transcript", "Hello")),
    ("item-holds-its-parts", put("response.output_item.done", "item.arguments", "{}", 1)),
    ("arguments-done", lambda lines: lines.drop(ARGUMENTS + "done")),
    ("item-done-order", lambda lines: lines.swap("conversation.item.done", "response.output_item.done", 2)),
    ("one-part-at-a-time", lambda lines: lines.repeat("response.content_part.added")),
    ("content-index", put("response.content_part.added", "content_index", 1)),
    ("content-index", put(AUDIO + "delta", "content_index", 1)),
    ("part-begins-empty", put("response.content_part.added", "part", {"type": "audio", "transcript": "Hello"})),
    ("part-begins-empty", put("response.content_part.added", "part", {"type": "audio"})),
    ("outside-part", lambda lines: lines.drop("response.content_part.added")),
    ("part-kind", extra_text_delta),
    ("part-kind", arguments_in_message),
    ("nothing-after-part-done", lambda lines: lines.repeat(AUDIO + "done")),
    ("nothing-after-part-done", lambda lines: lines.repeat(WORDS + "done")),
    ("nothing-after-part-done", late_arguments),
    ("text-joins-deltas", put(WORDS + "done", "transcript", "Hello")),
    ("text-joins-deltas", put(ARGUMENTS + "done", "arguments", "{}")),
    ("text-joins-deltas", put(TRANSCRIBED, "transcript", "Hallo")),
    ("part-done-order", lambda lines: lines.swap(AUDIO + "done", WORDS + "done")),
    ("part-done-order", lambda lines: lines.drop(WORDS + "done")),
    ("part-holds-its-text", put("response.content_part.done", "part.transcript", "Hello")),
    ("call-id", put(ARGUMENTS + "delta", "call_id", "call_9")),
    ("call-name", put(ARGUMENTS + "done", "name", "get_time")),
    ("item-added-once", lambda lines: lines.repeat("conversation.item.added")),
    ("previous-item", put("conversation.item.added", "previous_item_id", None, 2)),
    ("previous-item", put("conversation.item.added", "previous_item_id", "item_9", 0)),
    ("previous-item", put("conversation.item.done", "previous_item_id", "item_3", 1)),
    ("previous-item", put("input_audio_buffer.committed", "previous_item_id", None)),
    ("out-of-band", out_of_band_item),
    ("item-as-announced", put("conversation.item.added", "item.status", "completed", 2)),
    ("item-of-response", in_progress_item),
    ("commit-before-item", uncommitted),
    ("commit-adds-item", put("conversation.item.added", "previous_item_id", None, 1)),
    ("commit-adds-item", commit_alone),
    ("item-done-once", lambda lines: lines.repeat("conversation.item.done")),
    ("speech-alternates", lambda lines: lines.repeat("input_audio_buffer.speech_started")),
    ("speech-alternates", lambda lines: lines.drop("input_audio_buffer.speech_started")),
    ("speech-item", put("input_audio_buffer.speech_stopped", "item_id", "item_9")),
    ("speech-times", put("input_audio_buffer.speech_started", "audio_start_ms", 901)),
    ("speech-times", timeout(800, "error")),
    ("speech-alternates", timeout(0, "input_audio_buffer.speech_stopped")),
    ("timeout-commits", timeout(900, "error")),
    ("timeout-commits", lambda lines: lines.append(("server", TIMEOUT))),
    ("speech-left-open", lambda lines: lines.drop("input_audio_buffer.speech_stopped")),
    ("nothing-after-transcript", lambda lines: lines.repeat(TRANSCRIBED)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "broken"), BREACHES, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BREACHES)])
def test_each_breach_is_caught(rule: str, broken: Break) -> None:
    lines = Lines(copy.deepcopy(script(GA)))
    broken(lines)
    with pytest.raises(Breach) as caught:
        judge(lines)
    assert caught.value.rule == rule, str(caught.value)


BETA_BREACHES: list[tuple[str, Break]] = [
    ("vocabulary", put("response.audio.delta", "type", "response.output_audio.delta")),
    ("vocabulary", put("conversation.item.created", "type", "conversation.item.added")),
    ("vocabulary", put("session.created", "session.audio", {})),
    ("vocabulary", put("response.done", "response.output_modalities", ["audio"])),
    ("vocabulary", put("response.output_item.done", "item.content.0.type", "output_audio")),
    ("vocabulary", put(ARGUMENTS + "done", "name", "get_weather")),
    ("schema", put("session.created", "session.input_audio_format", "pcm")),
    ("sdk", put("input_audio_buffer.speech_started", "audio_start_ms", 1.0)),
    ("session-defaults", put("session.created", "session.temperature", NOTHING)),
    ("session-defaults", put("session.created", "session.turn_detection.interrupt_response", NOTHING)),
    ("conversation-created-second", lambda lines: lines.drop("conversation.created")),
    ("conversation-created-second", lambda lines: lines.repeat("conversation.created")),
    ("whole-samples", put("response.audio.delta", "delta", "AAAA")),
    ("previous-item", put("conversation.item.created", "previous_item_id", "item_9", 2)),
    ("text-joins-deltas", put("response.audio_transcript.done", "transcript", "Hello")),
]


@pytest.mark.parametrize(("rule", "broken"), BETA_BREACHES, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BETA_BREACHES)])
def test_each_breach_of_beta_is_caught(rule: str, broken: Break) -> None:
    lines = Lines(copy.deepcopy(script(BETA)))
    broken(lines)
    with pytest.raises(Breach) as caught:
        judge(lines, BETA)
    assert caught.value.rule == rule, str(caught.value)


@pytest.mark.parametrize("frame", ["", "{", "[]", '{"type": 3}', '{"event_id": "e"}'])
def test_a_frame_that_is_no_event_is_caught(frame: str) -> None:
    with pytest.raises(Breach) as caught:
        Oracle("ga").saw_server(frame)
    assert caught.value.rule == "json"


def test_what_the_client_sends_is_never_judged() -> None:
    oracle = Oracle("ga")
    for frame in ("", "[" * 100_000, b"\xff", "[]", '{"type": {}}', '{"session": {"transcription": 3}}'):
        oracle.saw_client(frame)


def test_an_error_may_name_an_event_that_was_hardly_readable() -> None:
    lines = Lines(script(GA))
    oracle = Oracle("ga")
    oracle.saw_server(json.dumps(lines.event("session.created")))
    oracle.saw_client(b'{"type": "response.cancel", "event_id": "mine_1", "\xff": 1}')
    oracle.saw_server(json.dumps(lines.event("error")))


def test_a_breach_says_what_was_sent_and_stays_short() -> None:
    lines = Lines(script(GA))
    put(AUDIO + "delta", "item_id", "item_9")(lines)
    with pytest.raises(Breach, match=r"item-unknown: no output_item.added for item_9\n  in \{type: ") as caught:
        judge(lines)
    assert len(str(caught.value)) < 600


def test_every_rule_has_a_test() -> None:
    rules: set[str] = set()
    for path in Path(__file__).parent.glob("oracle*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("check", "breach"):
                rule = call.args[call.func.id == "check"]
                rules.add(rule.value if isinstance(rule, ast.Constant) else ast.unparse(rule))
    assert rules == {rule for rule, _ in BREACHES + BETA_BREACHES} | {"json"}
