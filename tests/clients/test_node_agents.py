"""The Agents SDK for JavaScript, `@openai/agents-realtime`, over WebSocket."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients import node_program
from tests.clients.script import GREETING, MOVING, REPORT, SPOKEN, STORY, TOOL_OUTPUT, heard, sound
from tests.clients.wire import Wire

Converse = Callable[[str], dict[str, Any]]


@pytest.fixture
def converse(node: str, wire: Wire, tmp_path: Path) -> Converse:
    """Runs a conversation of `node/agents_realtime.mjs`."""
    return lambda conversation: node_program.run([node, "agents_realtime.mjs", conversation], wire, tmp_path)


def test_a_typed_message(converse: Converse) -> None:
    report = converse("typed")
    assert report["history"] == [["user", "Hello!"], ["assistant", GREETING]]
    assert base64.b64decode(report["audio"]) == sound(GREETING)


def test_a_spoken_turn_found_by_the_server(converse: Converse) -> None:
    report = converse("spoken")
    assert report["history"] == [["user", SPOKEN], ["assistant", MOVING]]
    assert base64.b64decode(report["audio"]) == sound(MOVING)


def test_push_to_talk(converse: Converse) -> None:
    assert converse("pushToTalk")["history"] == [["user", SPOKEN], ["assistant", MOVING]]


def test_a_tool_call_that_ends_in_speech(converse: Converse) -> None:
    report = converse("toolCall")
    assert report["toolResults"] == [TOOL_OUTPUT]
    assert report["history"] == [["user", "How is the weather?"], ["get_weather", TOOL_OUTPUT], ["assistant", REPORT]]


def test_an_interruption(converse: Converse, wire: Wire) -> None:
    report = converse("interruption")
    assert report["interrupted"] >= 1
    truncations = [event for event in wire.connections[0].from_client_events if event["type"].endswith("truncate")]
    remembered = heard(STORY, truncations[0]["audio_end_ms"])
    assert report["history"] == [
        ["user", "Tell me a story."],
        ["assistant", remembered],
        ["user", SPOKEN],
        ["assistant", MOVING],
        ["user", "What did I hear?"],
        ["assistant", f"You heard: {remembered} {MOVING}"],
    ]
