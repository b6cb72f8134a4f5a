"""The beta dialect: what its clients say is understood, what they read has beta's names, and nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.examples import RICH_SESSION, SESSION, TRANSCRIPTION_SESSION, USAGE, response
from vivavoce.protocol import client_events as c
from vivavoce.protocol import objects as o
from vivavoce.protocol import server_events as s
from vivavoce.protocol.beta import BETA, downgrade_session
from vivavoce.protocol.beta_shapes import downgrade_param
from vivavoce.protocol.errors import RequestError


def decode(event: Any) -> Any:
    return BETA.decode(json.dumps(event))


def encode(event: s.ServerEventBase) -> dict[str, Any]:
    frame = BETA.encode(event)
    assert frame is not None
    return dict(json.loads(frame))


def refused(event: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(event)
    return caught.value


# --- what a client says ---


def test_audio_takes_the_short_way() -> None:
    assert decode({"type": "input_audio_buffer.append", "audio": "AAAA"}) == c.InputAudioBufferAppend(audio=b"\0\0\0")


FLAT = {
    "modalities": ["audio", "text"],
    "instructions": "Be kind.",
    "voice": "sage",
    "input_audio_format": "pcm16",
    "output_audio_format": "g711_alaw",
    "input_audio_transcription": {"model": "whisper-1"},
    "turn_detection": {"type": "server_vad", "threshold": 0.6},
    "input_audio_noise_reduction": {"type": "near_field"},
    "tools": [{"type": "function", "name": "f"}],
    "tool_choice": "required",
    "temperature": 0.7,
    "max_response_output_tokens": 200,
    "speed": 1.1,
    "tracing": "auto",
}
NESTED = {
    "output_modalities": ["audio"],
    "instructions": "Be kind.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "whisper-1"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad", "threshold": 0.6},
        },
        "output": {"format": {"type": "audio/pcma"}, "voice": "sage", "speed": 1.1},
    },
    "tools": [{"type": "function", "name": "f"}],
    "tool_choice": "required",
    "temperature": 0.7,
    "max_output_tokens": 200,
    "tracing": "auto",
}


def test_a_session_update() -> None:
    assert decode({"type": "session.update", "event_id": "e", "session": FLAT}) == c.SessionUpdate(
        event_id="e", session=NESTED
    )


def test_null_stays_null_and_absent_stays_absent() -> None:
    nulls = dict.fromkeys(("turn_detection", "input_audio_transcription", "input_audio_noise_reduction", "tools"))
    assert decode({"type": "session.update", "session": nulls}).session == {
        "tools": None,
        "audio": {"input": {"turn_detection": None, "transcription": None, "noise_reduction": None}},
    }
    assert decode({"type": "session.update", "session": {}}).session == {}


def test_what_session_created_gave_may_come_back() -> None:
    session = encode(s.SessionCreated(session=SESSION))["session"] | {"client_secret": None}
    event = decode({"type": "session.update", "session": session})
    assert not event.session.keys() & {"id", "object", "expires_at", "client_secret"}


@pytest.mark.parametrize("name", ["type", "audio", "output_modalities", "max_output_tokens", "reasoning"])
def test_ga_fields_are_unknown_here(name: str) -> None:
    error = refused({"type": "session.update", "event_id": "mine", "session": {name: "realtime"}})
    assert (error.code, error.param, error.event_id) == ("unknown_parameter", f"session.{name}", "mine")


def test_a_transcription_session_update() -> None:
    session = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "x"},
        "include": [],
        "modalities": ["text"],
    }
    event = decode({"type": "transcription_session.update", "event_id": "mine", "session": session})
    assert event == c.SessionUpdate(
        event_id="mine",
        session={
            "type": "transcription",
            "include": [],
            "audio": {"input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "x"}}},
        },
    )


def test_a_response_create() -> None:
    params = {
        "modalities": ["text", "audio"],
        "voice": "ash",
        "output_audio_format": "g711_ulaw",
        "temperature": 0.9,
        "max_output_tokens": "inf",
        "conversation": "none",
        "metadata": {"topic": "x"},
        "input": [{"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": "Hi"}]}],
    }
    assert decode({"type": "response.create", "response": params}).response == c.ResponseCreateParams(
        output_modalities=("audio",),
        audio=c.ResponseAudioParams(c.ResponseAudioOutputParams(o.PCMU, "ash")),
        temperature=0.9,
        max_output_tokens="inf",
        conversation="none",
        metadata={"topic": "x"},
        input=(o.Message(role="assistant", content=(o.OutputAudioPart("Hi"),)),),
    )


TYPED_ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "input_text", "text": "Hi"}]}


@pytest.mark.parametrize(
    ("event", "param", "text"),
    [
        (
            {"type": "session.update", "session": {"input_audio_format": "wav"}},
            "session.input_audio_format",
            "Invalid value: 'wav'. Supported values are: 'pcm16', 'g711_ulaw', and 'g711_alaw'.",
        ),
        (
            {"type": "response.create", "response": {"voice": 3}},
            "response.voice",
            "Invalid type for 'response.voice': expected a string or an object, but got an integer instead.",
        ),
        (
            {"type": "response.create", "response": {"modalities": ["video"]}},
            "response.modalities[0]",
            "Invalid value: 'video'. Supported values are: 'audio' and 'text'.",
        ),
        (
            {"type": "conversation.item.create", "item": TYPED_ANSWER},
            "item.content[0].type",
            "Invalid value: 'input_text'. Supported values are: 'text' and 'audio'.",
        ),
        ({"type": "transcription_session.update"}, "session", "Missing required parameter: 'session'."),
    ],
    ids=range(5),
)  # fmt: skip
def test_refusals_speak_beta(event: dict[str, Any], param: str, text: str) -> None:
    error = refused(event | {"event_id": "mine"})
    assert (error.param, error.message, error.event_id) == (param, text, "mine")


def test_an_unknown_type_hears_of_the_transcription_event_too() -> None:
    assert "'transcription_session.update'" in refused({"type": "foo"}).message


# --- what a client reads ---


def test_a_session() -> None:
    assert json.loads(json.dumps(downgrade_session(SESSION))) == {
        "id": "sess_1",
        "object": "realtime.session",
        "expires_at": 1_800_000_000,
        "model": "gpt-realtime",
        "modalities": ["text", "audio"],
        "instructions": "",
        "voice": "alloy",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "create_response": True,
            "interrupt_response": True,
        },
        "input_audio_noise_reduction": None,
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
        "speed": 1.0,
        "tracing": None,
        "include": None,
        "prompt": None,
    }


def test_what_only_ga_has_vanishes() -> None:
    rich = downgrade_session(RICH_SESSION)
    assert rich.keys() == downgrade_session(SESSION).keys()
    assert (rich["temperature"], rich["voice"], rich["modalities"]) == (0.7, {"id": "voice_1234"}, ["text"])


def test_transcription_sessions_have_events_of_their_own() -> None:
    created = encode(s.SessionCreated(event_id="event_1", session=TRANSCRIPTION_SESSION))
    assert created["type"] == "transcription_session.created"
    assert created["event_id"] == "event_1"
    assert "modalities" not in created["session"]
    assert encode(s.SessionUpdated(session=TRANSCRIPTION_SESSION))["type"] == "transcription_session.updated"


def test_an_item_is_created_once_and_never_done() -> None:
    item = o.Message(id="item_1", role="assistant", content=(o.OutputAudioPart("Hi"), o.OutputTextPart("there")))
    created = encode(s.ConversationItemAdded(previous_item_id="item_0", item=item))
    assert created["type"] == "conversation.item.created"
    assert created["previous_item_id"] == "item_0"
    assert [part["type"] for part in created["item"]["content"]] == ["audio", "text"]
    assert BETA.encode(s.ConversationItemDone(previous_item_id="item_0", item=item)) is None


def test_a_response() -> None:
    event = s.ResponseDone(response=response(status="completed", usage=USAGE, metadata={"topic": "x"}, max_output_tokens=9))
    shown = encode(event)["response"]
    assert (shown["modalities"], shown["voice"], shown["output_audio_format"]) == (["text", "audio"], "alloy", "pcm16")
    assert (shown["temperature"], shown["max_output_tokens"], shown["metadata"]) == (0.8, 9, {"topic": "x"})
    assert shown["usage"]["total_tokens"] == 30
    assert not shown.keys() & {"audio", "output_modalities"}


def test_renamed_events_keep_every_other_byte() -> None:
    place: Any = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    delta = s.ResponseOutputAudioTranscriptDelta(event_id="e", **place, delta='"type":"response.output_audio.delta"')
    assert encode(delta) == {"type": "response.audio_transcript.delta", "event_id": "e", "delta": delta.delta} | place


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ("session.audio.input.turn_detection.threshold", "session.turn_detection.threshold"),
        ("session.audio.input.format.type", "session.input_audio_format"),
        ("session.audio.input.transcription.model", "session.input_audio_transcription.model"),
        ("session.audio.output.voice", "session.voice"),
        ("session.max_output_tokens", "session.max_response_output_tokens"),
        ("session.output_modalities[0]", "session.modalities[0]"),
        ("response.audio.output.format", "response.output_audio_format"),
        ("response.output_modalities", "response.modalities"),
        ("session.audio.output.voices", "session.audio.output.voices"),
        ("session.instructions", "session.instructions"),
        ("item.content[0].type", "item.content[0].type"),
    ],
)
def test_error_paths(ga: str, beta: str) -> None:
    assert downgrade_param(ga) == beta
    details = o.ErrorDetails(type="invalid_request_error", code="invalid_value", message=f"Invalid '{ga}'.", param=ga)
    error = encode(s.Error(error=details))["error"]
    assert (error["param"], error["message"]) == (beta, f"Invalid '{beta}'.")
