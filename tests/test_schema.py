"""Our events are the schema's events: none forgotten, none invented, and all its examples understood."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.examples import SERVER_EXAMPLES, client_examples
from tests.oracle_shapes import SCHEMA, check_shape
from tests.oracle_words import BETA_NAMES, GA_ONLY, check_vocabulary
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.client_events import CLIENT_EVENTS, SessionUpdate
from vivavoce.protocol.codec import GA, Dialect
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import SERVER_EVENTS, ConversationCreated, ServerEventBase, wire_name

DEFS = SCHEMA["$defs"]
ELSEWHERE = ("mcp_list_tools.", "response.mcp_call", "output_audio_buffer.", "input_audio_buffer.dtmf")
"""Events that only MCP, WebRTC or SIP cause."""


def wire_names(union: str) -> set[str]:
    references = (member["$ref"].rpartition("/")[2] for member in DEFS[union]["anyOf"])
    return {DEFS[name]["properties"]["type"]["enum"][0] for name in references}


def test_the_client_events_of_the_schema_are_exactly_ours() -> None:
    ours = [wire_name(event) for event in CLIENT_EVENTS]
    assert len(ours) == len(set(ours)) == 11
    assert set(ours) == wire_names("RealtimeClientEvent")


def test_the_server_events_of_the_schema_are_exactly_ours() -> None:
    theirs = {name for name in wire_names("RealtimeServerEvent") if not name.startswith(ELSEWHERE)}
    theirs.remove("conversation.item.created")  # beta's name for conversation.item.added
    assert {wire_name(event) for event in SERVER_EVENTS} == theirs


@pytest.mark.parametrize("event", CLIENT_EVENTS, ids=wire_name)
def test_every_client_event_has_an_example(event: type[msgspec.Struct]) -> None:
    for prefix in ("RealtimeClientEvent", "RealtimeBetaClientEvent"):
        assert any(example["type"] == wire_name(event) for _, example in client_examples(prefix))


@pytest.mark.parametrize(("name", "example"), client_examples("RealtimeClientEvent"))
def test_ga_understands_the_schemas_examples(name: str, example: dict[str, Any]) -> None:
    if name.endswith("TranscriptionSessionUpdate"):  # beta's event: GA says session.update
        with pytest.raises(RequestError, match=r"Invalid value: 'transcription_session\.update'"):
            GA.decode(json.dumps(example))
        return
    assert is_part(example, json.loads(msgspec.json.encode(GA.decode(json.dumps(example)))))


@pytest.mark.parametrize(("name", "example"), client_examples("RealtimeBetaClientEvent"))
def test_beta_understands_the_schemas_examples(name: str, example: dict[str, Any]) -> None:
    event = BETA.decode(json.dumps(example))
    if isinstance(event, SessionUpdate):
        transcription = example["type"].startswith("transcription")
        assert event.session.get("type") == ("transcription" if transcription else None)
    else:
        assert is_part(example, json.loads(msgspec.json.encode(event)))


@pytest.mark.parametrize("event", SERVER_EVENTS, ids=wire_name)
def test_every_server_event_has_an_example(event: type[ServerEventBase]) -> None:
    assert any(type(example) is event for example in SERVER_EXAMPLES)


@pytest.mark.parametrize("event", SERVER_EXAMPLES, ids=lambda event: wire_name(type(event)))
@pytest.mark.parametrize("dialect", [GA, BETA], ids=lambda dialect: dialect.name)
def test_every_server_event_validates(event: ServerEventBase, dialect: Dialect) -> None:
    frame = dialect.encode(msgspec.structs.replace(event, event_id="event_1"))
    if frame is None:
        names = GA_ONLY if dialect is BETA else {wire_name(ConversationCreated)}
        assert wire_name(type(event)) in names
        return
    shown = json.loads(frame)
    check_vocabulary(shown, dialect.name)
    check_shape(shown, dialect.name)


def test_each_dialect_can_say_all_of_its_names() -> None:
    said = {
        dialect.name: {json.loads(frame)["type"] for event in SERVER_EXAMPLES if (frame := dialect.encode(event))}
        for dialect in (GA, BETA)
    }
    ours = {wire_name(event) for event in SERVER_EVENTS}
    assert said["ga"] == ours - {wire_name(ConversationCreated)}
    assert said["beta"] >= set(BETA_NAMES)
    assert not said["beta"] & GA_ONLY


def is_part(part: Any, whole: Any) -> bool:
    """All that `part` says is in `whole`, which may say more."""
    if isinstance(part, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_part, part, whole))
    return bool(part == whole)
