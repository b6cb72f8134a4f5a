"""Frames become events, also those of careless clients; events become frames."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec import UNSET

from vivavoce.protocol import client_events as c
from vivavoce.protocol import objects as o
from vivavoce.protocol import server_events as s
from vivavoce.protocol.codec import GA


def decode(event: Any) -> Any:
    return GA.decode(json.dumps(event))


def message(role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    item = {"type": "message", "role": role, "content": list(parts), **fields}
    return {"type": "conversation.item.create", "item": item}


# --- events ---


@pytest.mark.parametrize("as_bytes", [False, True])
def test_audio_is_bytes(as_bytes: bool) -> None:
    frame = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(b"\x01\x02\x03").decode()})
    assert GA.decode(frame.encode() if as_bytes else frame) == c.InputAudioBufferAppend(audio=b"\x01\x02\x03")


def test_the_clients_names_survive() -> None:
    event = decode({"type": "response.cancel", "response_id": "resp_1", "event_id": "mine"})
    assert event == c.ResponseCancel(event_id="mine", response_id="resp_1")


def test_a_field_that_we_do_not_know_harms_nothing() -> None:
    assert decode({"type": "input_audio_buffer.clear", "trace": {"id": 3}}) == c.InputAudioBufferClear()


def test_a_null_event_id_is_none_at_all() -> None:
    assert decode({"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": None}).event_id is UNSET
    assert decode({"type": "session.update", "session": {}, "event_id": None}).event_id is UNSET


def test_the_last_of_two_equal_keys_counts() -> None:
    frame = '{"type":"conversation.item.delete","item_id":"a","item_id":"b"}'
    assert GA.decode(frame) == c.ConversationItemDelete(item_id="b")


def test_a_session_stays_raw_json_with_its_nulls() -> None:
    session = {"type": "realtime", "instructions": None, "audio": {"input": {"turn_detection": None}}}
    assert decode({"type": "session.update", "session": session}).session == session


# --- leniency ---


@pytest.mark.parametrize(
    ("role", "given", "understood"),
    [
        ("user", {"type": "input_text", "text": "a"}, o.InputTextPart("a")),
        ("user", {"type": "text", "text": "a"}, o.InputTextPart("a")),
        ("user", {"type": "input_audio", "audio": "AAAA"}, o.InputAudioPart(audio=b"\0\0\0")),
        ("user", {"type": "audio", "audio": "AAAA", "transcript": "hi"}, o.InputAudioPart(b"\0\0\0", "hi")),
        (
            "user",
            {"type": "input_image", "image_url": "data:image/png;base64,AA"},
            o.InputImagePart("data:image/png;base64,AA"),
        ),
        ("assistant", {"type": "output_text", "text": "a"}, o.OutputTextPart("a")),
        ("assistant", {"type": "text", "text": "a"}, o.OutputTextPart("a")),
        ("assistant", {"type": "audio", "transcript": "a"}, o.OutputAudioPart("a")),
        ("assistant", {"type": "output_audio", "transcript": "a"}, o.OutputAudioPart("a")),
        ("system", {"type": "input_text", "text": "a"}, o.InputTextPart("a")),
        ("system", {"type": "text", "text": "a"}, o.InputTextPart("a")),
    ],
)
def test_content_is_understood_by_role(role: str, given: dict[str, Any], understood: Any) -> None:
    assert decode(message(role, given)).item.content == (understood,)


def test_nulls_in_items_mean_absent() -> None:
    part = {"type": "input_text", "text": "a", "audio": None, "transcript": None}
    item = decode(message("user", part, id=None, status=None, object=None, call_id=None)).item
    assert item == o.Message(role="user", content=(o.InputTextPart("a"),))
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": None, "role": None, "content": None}
    assert decode({"type": "conversation.item.create", "item": call}).item == o.FunctionCall(name="f", arguments="{}")


def test_a_flat_session_is_understood_on_a_ga_connection() -> None:
    flat = {"modalities": ["text", "audio"], "voice": "ash", "input_audio_format": "g711_ulaw", "turn_detection": None}
    session = decode({"type": "session.update", "session": flat | {"instructions": "x"}}).session
    assert session == {
        "instructions": "x",
        "output_modalities": ["audio"],
        "audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}, "output": {"voice": "ash"}},
    }


def test_a_session_with_a_type_is_not_flat() -> None:
    session = {"type": "realtime", "voice": "ash"}
    assert decode({"type": "session.update", "session": session}).session == session


def test_a_response_in_beta_words_is_understood_on_a_ga_connection() -> None:
    params = decode(
        {
            "type": "response.create",
            "response": {
                "modalities": ["text"],
                "voice": "ash",
                "output_audio_format": "g711_alaw",
                "max_response_output_tokens": 50,
                "temperature": 0.7,
                "input": [
                    {"type": "item_reference", "id": "item_1"},
                    {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}]},
                ],
            },
        }
    ).response
    assert params == c.ResponseCreateParams(
        output_modalities=("text",),
        audio=c.ResponseAudioParams(c.ResponseAudioOutputParams(o.PCMA, "ash")),
        max_output_tokens=50,
        temperature=0.7,
        input=(o.ItemReference(id="item_1"), o.Message(role="assistant", content=(o.OutputTextPart("a"),))),
    )


def test_null_and_absent_differ_in_a_response_where_null_means_something() -> None:
    params = decode({"type": "response.create", "response": {"instructions": None, "input": [], "voice": None}}).response
    assert params == c.ResponseCreateParams(instructions=None, input=())


# --- encoding ---


def test_audio_is_base64_and_the_type_comes_first() -> None:
    delta = s.ResponseOutputAudioDelta(
        event_id="event_1",
        response_id="resp_1",
        item_id="item_1",
        output_index=0,
        content_index=0,
        delta=b"\x01\x02\x03\x04",
    )
    frame = GA.encode(delta)
    assert frame is not None
    assert frame.startswith(b'{"type":"response.output_audio.delta","event_id":"event_1"')
    assert json.loads(frame)["delta"] == "AQIDBA=="


def test_absent_fields_are_left_out_and_the_users_transcript_is_not() -> None:
    item = o.Message(id="item_1", role="user", content=(o.InputAudioPart(),))
    frame = GA.encode(s.ConversationItemAdded(event_id="event_1", previous_item_id=None, item=item))
    assert frame is not None
    shown = json.loads(frame)
    assert shown["previous_item_id"] is None
    assert shown["item"] == {
        "type": "message",
        "id": "item_1",
        "object": "realtime.item",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }


def test_ga_does_not_announce_a_conversation() -> None:
    assert GA.encode(s.ConversationCreated(conversation=o.Conversation(id="conv_1"))) is None
