"""What the client hears about a frame that never became an event: the words of the hosted API, and its own event_id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vivavoce.protocol.codec import GA, MAX_CONFIG_BYTES, MAX_FRAME_BYTES, MAX_ITEM_BYTES, binary_frame
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.session.configuration import updated


def decode(event: Any) -> Any:
    return GA.decode(json.dumps(event))


def refused(frame: str | bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        GA.decode(frame)
    return caught.value


def message(role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    item = {"type": "message", "role": role, "content": list(parts), **fields}
    return {"type": "conversation.item.create", "item": item}


TYPES = (
    "'session.update', 'input_audio_buffer.append', 'input_audio_buffer.commit', 'input_audio_buffer.clear', "
    "'conversation.item.create', 'conversation.item.retrieve', 'conversation.item.truncate', "
    "'conversation.item.delete', 'response.create', 'response.cancel', and 'output_audio_buffer.clear'"
)
BAD_AUDIO = "Expected base64-encoded audio bytes (mono PCM16 at 24kHz) but got an invalid value."
TRUNCATE = {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 1}
TEXT = {"type": "input_text", "text": "a"}

MESSAGE = message("user", TEXT)["item"]
CALL = {"type": "function_call", "name": "f", "arguments": "{}"}
SILENT = message("system", {"type": "audio"})["item"]

REFUSALS: list[tuple[dict[str, Any], str, str | None, str]] = [
    ({}, "missing_required_parameter", "type", "Missing required parameter: 'type'."),
    ({"type": 3}, "invalid_type", "type", "Invalid type for 'type': expected a string, but got an integer instead."),
    ({"type": None}, "invalid_type", "type", "Invalid type for 'type': expected a string, but got null instead."),
    ({"type": "foo"}, "invalid_value", "type", f"Invalid value: 'foo'. Supported values are: {TYPES}."),
    ({"type": "session.update"}, "missing_required_parameter", "session", "Missing required parameter: 'session'."),
    (
        {"type": "session.update", "session": []},
        "invalid_type",
        "session",
        "Invalid type for 'session': expected an object, but got an array instead.",
    ),
    (
        {"type": "session.update", "session": {"input_audio_format": "mp3"}},
        "invalid_value",
        "session.input_audio_format",
        "Invalid value: 'mp3'. Supported values are: 'pcm16', 'g711_ulaw', and 'g711_alaw'.",
    ),
    (
        {"type": "session.update", "session": {"output_audio_format": {"type": "audio/pcm"}}},
        "invalid_type",
        "session.output_audio_format",
        "Invalid type for 'session.output_audio_format': expected one of 'pcm16', 'g711_ulaw' or 'g711_alaw', "
        "but got an object instead.",
    ),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio", "Missing required parameter: 'audio'."),
    ({"type": "input_audio_buffer.append", "audio": "AAA"}, "invalid_value", "audio", f"Invalid 'audio'. {BAD_AUDIO}"),
    ({"type": "input_audio_buffer.append", "audio": "-_-_"}, "invalid_value", "audio", f"Invalid 'audio'. {BAD_AUDIO}"),
    (
        {"type": "input_audio_buffer.append", "audio": [0, 1]},
        "invalid_type",
        "audio",
        "Invalid type for 'audio': expected a base64-encoded string, but got an array instead.",
    ),
    (
        TRUNCATE | {"audio_end_ms": 1.5},
        "invalid_type",
        "audio_end_ms",
        "Invalid type for 'audio_end_ms': expected an integer, but got a decimal number instead.",
    ),
    (
        TRUNCATE | {"content_index": True},
        "invalid_type",
        "content_index",
        "Invalid type for 'content_index': expected an integer, but got a boolean instead.",
    ),
    (
        {"type": "conversation.item.retrieve", "item_id": 7},
        "invalid_type",
        "item_id",
        "Invalid type for 'item_id': expected a string, but got an integer instead.",
    ),
    (
        {"type": "conversation.item.delete", "item_id": "a" * 513},
        "invalid_value",
        "item_id",
        "Invalid 'item_id': string too long. Expected a string with maximum length 512.",
    ),
    ({"type": "conversation.item.create"}, "missing_required_parameter", "item", "Missing required parameter: 'item'."),
    (
        {"type": "conversation.item.create", "item": {"type": "message", "role": "user"}},
        "missing_required_parameter",
        "item.content",
        "Missing required parameter: 'item.content'.",
    ),
    (
        {"type": "conversation.item.create", "item": {"role": "user", "content": []}},
        "missing_required_parameter",
        "item.type",
        "Missing required parameter: 'item.type'.",
    ),
    (
        {"type": "conversation.item.create", "item": {"type": "mcp_call"}},
        "invalid_value",
        "item.type",
        "Invalid value: 'mcp_call'. Supported values are: 'message', 'function_call', and 'function_call_output'.",
    ),
    (
        {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": "hello"}},
        "invalid_type",
        "item.content",
        "Invalid type for 'item.content': expected an array, but got a string instead.",
    ),
    (
        message("tool", TEXT),
        "invalid_value",
        "item.role",
        "Invalid value: 'tool'. Supported values are: 'assistant', 'system', and 'user'.",
    ),
    (
        message("user", TEXT, {"text": "a"}),
        "missing_required_parameter",
        "item.content[1].type",
        "Missing required parameter: 'item.content[1].type'.",
    ),
    (
        message("user", {"type": "input_text", "text": None}),
        "missing_required_parameter",
        "item.content[0].text",
        "Missing required parameter: 'item.content[0].text'.",
    ),
    (
        message("user", {"type": "output_text", "text": "a"}),
        "invalid_value",
        "item.content[0].type",
        "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_audio', and 'input_image'.",
    ),
    (
        message("assistant", TEXT),
        "invalid_value",
        "item.content[0].type",
        "Invalid value: 'input_text'. Supported values are: 'output_text' and 'output_audio'.",
    ),
    (
        message("system", {"type": "audio", "audio": "AAAA"}),
        "invalid_value",
        "item.content[0].type",
        "Invalid value: 'audio'. Value must be 'input_text'.",
    ),
    (
        message("user", {"type": "input_audio", "audio": "AAA"}),
        "invalid_value",
        "item.content[0].audio",
        f"Invalid 'item.content[0].audio'. {BAD_AUDIO}",
    ),
    (
        message("user", TEXT, id="i" * 513),
        "invalid_value",
        "item.id",
        "Invalid 'item.id': string too long. Expected a string with maximum length 512.",
    ),
    (
        {"type": "response.create", "response": {"modality": "text"}},
        "unknown_parameter",
        "response.modality",
        "Unknown parameter: 'response.modality'.",
    ),
    (
        {"type": "response.create", "response": {"max_output_tokens": 0}},
        "invalid_value",
        "response.max_output_tokens",
        "Invalid 'response.max_output_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        {"type": "response.create", "response": {"max_output_tokens": "many"}},
        "invalid_value",
        "response.max_output_tokens",
        "Invalid value: 'many'. Value must be 'inf'.",
    ),
    (
        {"type": "response.create", "response": {"tool_choice": 3}},
        "invalid_type",
        "response.tool_choice",
        "Invalid type for 'response.tool_choice': expected a string or an object or null, but got an integer instead.",
    ),
    (
        {"type": "response.create", "response": {"output_modalities": ["audio", "video"]}},
        "invalid_value",
        "response.output_modalities[1]",
        "Invalid value: 'video'. Supported values are: 'audio' and 'text'.",
    ),
    (
        {"type": "response.create", "response": {"metadata": {"a": 1}}},
        "invalid_type",
        "response.metadata",
        "Invalid type for 'response.metadata': expected a string, but got an integer instead.",
    ),
    (
        {"type": "response.create", "response": {"input": [MESSAGE, CALL, SILENT]}},
        "invalid_value",
        "response.input[2].content[0].type",
        "Invalid value: 'audio'. Value must be 'input_text'.",
    ),
    (
        {"type": "response.create", "response": {"tools": [{"type": "mcp", "server_label": "x"}]}},
        "invalid_value",
        "response.tools[0].type",
        "Invalid value: 'mcp'. Value must be 'function'.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "code", "param", "text"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_bad_event_is_refused_in_the_words_of_the_hosted_api(
    event: dict[str, Any], code: str, param: str | None, text: str
) -> None:
    error = refused(json.dumps({"event_id": "mine"} | event))
    assert (error.code, error.param, error.message, error.event_id) == (code, param, text, "mine")


@pytest.mark.parametrize("event_id", [3, None, [], {}, "e" * 513])
def test_an_event_id_that_is_none_names_nothing(event_id: Any) -> None:
    error = refused(json.dumps({"type": "conversation.item.delete", "event_id": event_id}))
    assert error.event_id is None
    assert error.param in ("event_id", "item_id")


def test_values_that_both_kinds_of_session_know_are_named_once() -> None:
    with pytest.raises(RequestError) as raised:
        updated(SessionConfig(), {"audio": {"input": {"turn_detection": {"type": "none"}}}})
    assert str(raised.value) == "Invalid value: 'none'. Supported values are: 'server_vad' and 'semantic_vad'."


@pytest.mark.parametrize("frame", ["[]", "null", "3", '"session.update"', "true"])
def test_json_that_is_no_object(frame: str) -> None:
    error = refused(frame)
    assert (error.code, error.param, error.event_id) == ("invalid_event", None, None)


NOT_JSON: list[str | bytes] = [
    "",
    " ",
    "{",
    "not json",
    '{"type":"session.update","session":{}} x',
    '{"type":"session.update","session":{"speed":NaN}}',
    '{"type":"conversation.item.truncate","item_id":"a","content_index":Infinity,"audio_end_ms":1}',
    '{"type":"conversation.item.delete","item_id":"\\ud800"}',
    '{"type":"conversation.item.delete","item_id":"\ud800"}',
    b'{"type":"conversation.item.delete","item_id":"\xff"}',
    b"\xef\xbb\xbf{}",
    b"\x00" * 100,
]


@pytest.mark.parametrize("frame", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_not_json(frame: str | bytes) -> None:
    error = refused(frame)
    assert (error.code, error.param) == ("invalid_json", None)
    assert error.message.startswith("Invalid event: failed to parse JSON value. ")


def test_a_number_out_of_range_still_names_the_event() -> None:
    error = refused('{"type":"session.update","event_id":"mine","session":{"speed":1e999}}')
    assert (error.code, error.event_id) == ("invalid_json", "mine")
    error = refused('{"type":"conversation.item.truncate","item_id":"a","content_index":1e999,"audio_end_ms":1}')
    assert (error.code, error.param) == ("invalid_value", "content_index")


@pytest.mark.parametrize("field", ["session", "item", "event_id", "audio", "x"])
def test_deep_nesting(field: str) -> None:
    for name in ("session.update", "input_audio_buffer.append", "conversation.item.create"):
        depth = 100_000
        error = refused(f'{{"type":"{name}","{field}":{"[" * depth}{"]" * depth}}}')
        assert error.code in ("invalid_json", "missing_required_parameter", "invalid_type")


def test_twenty_four_mebibytes_of_zeros() -> None:
    size = 24 * 2**20
    assert refused("0" * size).code == "invalid_json"
    assert refused(b"\0" * size).code == "invalid_json"
    assert len(decode({"type": "input_audio_buffer.append", "audio": "0" * size}).audio) == size * 3 // 4


LONG = "x" * 2**20


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": LONG}, "type"),
        ({"type": "conversation.item.delete", "item_id": LONG}, "item_id"),
        ({"type": "input_audio_buffer.clear", "event_id": LONG}, "event_id"),
        ({"type": "session.update", "session": {"instructions": LONG}}, "session"),
        ({"type": "response.create", "response": {"metadata": {"a": LONG}}}, "response"),
        ({"type": "response.create", "response": {LONG: 1}}, "response." + LONG[:63] + "…"),
        (message("user", {"type": "input_text", "text": LONG}), "item"),
        (message("user", {"type": LONG}), "item.content[0].type"),
        (message("x" * 10_000), "item.role"),
    ],
    ids=range(9),
)
def test_what_we_would_have_to_repeat_is_short_enough_for_a_frame(event: dict[str, Any], param: str) -> None:
    error = refused(json.dumps(event))
    assert (error.param, error.event_id) == (param, None)
    assert len(error.message) < 1000


def test_long_audio_and_long_input_are_fine_because_nothing_repeats_them() -> None:
    audio = {"type": "input_audio", "audio": "A" * 2 * MAX_FRAME_BYTES}
    assert len(decode(message("user", audio)).item.content[0].audio) == 2 * MAX_FRAME_BYTES * 3 // 4
    said = message("user", {"type": "input_text", "text": LONG})["item"]
    assert decode({"type": "response.create", "response": {"input": [said]}}).response.input[0].content[0].text == LONG
    assert 3 * MAX_CONFIG_BYTES < MAX_FRAME_BYTES
    assert MAX_ITEM_BYTES + 10_000 < MAX_FRAME_BYTES


def test_a_binary_frame_has_a_refusal_of_its_own() -> None:
    assert binary_frame().code == "invalid_event"
    assert binary_frame().param is None
