"""The official JavaScript SDK, `openai`, over TLS: `wss` with a certificate that the test made. On a server, and in a page.

In a page it has the browser's `WebSocket`, which cannot set headers: a client secret travels as a subprotocol.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients import node_program
from tests.clients.script import GREETING, MOVING, REPORT, SPOKEN, STORY, heard, sound
from tests.clients.wire import Wire

Converse = Callable[[str], dict[str, Any]]


STYLES = {
    "server": ([], []),
    # Node 20 hides the browser's `WebSocket` behind a flag, and warns of it.
    "browser": (["--experimental-websocket", "--no-warnings"], ["browser"]),
}


@pytest.fixture(params=STYLES)
def converse(
    request: pytest.FixtureRequest, node: str, tls_wire: Wire, certificate: tuple[Path, Path], tmp_path: Path
) -> Converse:
    """Runs a conversation of `node/openai_sdk.mjs`."""
    flags, style = STYLES[request.param]

    def run(conversation: str) -> dict[str, Any]:
        command = [node, *flags, "openai_sdk.mjs", conversation, *style]
        return node_program.run(command, tls_wire, tmp_path, certificate[0])

    return run


def test_a_typed_message(converse: Converse) -> None:
    report = converse("typed")
    assert report["transcript"] == GREETING
    assert base64.b64decode(report["audio"]) == sound(GREETING)


@pytest.mark.parametrize("converse", ["server"], indirect=True)
def test_a_typed_message_in_beta(converse: Converse, tls_wire: Wire) -> None:
    tls_wire.dialect = "beta"
    report = converse("typedInBeta")
    assert report["transcript"] == GREETING
    assert report["events"][:2] == ["session.created", "conversation.created"]


def test_a_spoken_turn_found_by_the_server(converse: Converse) -> None:
    report = converse("spoken")
    assert (report["heard"], report["transcript"]) == ([SPOKEN], MOVING)
    assert base64.b64decode(report["audio"]) == sound(MOVING)


def test_push_to_talk(converse: Converse) -> None:
    report = converse("pushToTalk")
    assert (report["heard"], report["transcript"]) == ([SPOKEN], MOVING)
    assert "input_audio_buffer.speech_started" not in report["events"]


def test_a_tool_call_that_ends_in_speech(converse: Converse) -> None:
    call, spoken = converse("toolCall")["answers"]
    assert call["output"][0]["name"] == "get_weather"
    assert json.loads(call["output"][0]["arguments"]) == {"city": "Oslo", "unit": "celsius"}
    assert spoken["output"][0]["content"][0]["transcript"] == REPORT


def test_an_interruption(converse: Converse) -> None:
    report = converse("interruption")
    story, moving, memory = report["answers"]
    assert (story["status"], story["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert moving["output"][0]["content"][0]["transcript"] == MOVING
    assert report["truncated"] == [1700]
    assert memory["output"][0]["content"][0]["text"] == f"You heard: {heard(STORY, 1700)} {MOVING}"
