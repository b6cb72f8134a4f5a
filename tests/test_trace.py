"""Traces: what was recorded replays to the same bytes, and a changed answer is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runner_world import World
from vivavoce.engine_api import Capabilities, GenerationDone, OutputAudio, OutputTranscript
from vivavoce.protocol.client_events import ConversationItemCreate, InputAudioBufferAppend, ResponseCreate
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.objects import InputTextPart, Message
from vivavoce.runner import Observer
from vivavoce.session.boundary import Setup
from vivavoce.trace import Traces, encoded, read, replay

SETUP = Setup(seed="s", config=SessionConfig(), capabilities=Capabilities(), opened_at=100.0, expires_at=0)


class Tee:
    """Two observers as one: the trace, and what the test sees."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def step(self, *arguments) -> None:
        for observer in self.observers:
            observer.step(*arguments)

    def end(self) -> None:
        for observer in self.observers:
            observer.end()


def record(folder: Path) -> Path:
    """A short spoken conversation."""
    traces = Traces(folder)
    trace = traces.begin("sess_s", SETUP)
    world = World(watcher=Tee(trace), config=SETUP.config)
    world.runner.feed(InputAudioBufferAppend(event_id="mine", audio=bytes(range(256)) * 20))
    item = Message(role="user", content=(InputTextPart(text="Grüß dich."),))
    world.runner.feed(ConversationItemCreate(item=item))
    world.loop.advance(0.1)
    world.runner.feed(ResponseCreate())
    response_id = world.engine.commands[-1].response_id
    for event in (
        OutputTranscript(response_id, "Hello."),
        OutputAudio(response_id, bytes(9600)),
        GenerationDone(response_id),
    ):
        world.engine.emit(event)
        world.loop.run()
    world.loop.advance(4000)
    traces.close()
    return trace.path


def test_a_recorded_session_replays_to_the_same_bytes(tmp_path: Path) -> None:
    path = record(tmp_path / "new folder")
    assert replay(path) is None
    setup, steps = read(path)
    assert setup == SETUP
    numbered = list(steps)
    assert numbered[0][1].input is None
    assert [number for number, _ in numbered] == list(range(2, len(numbered) + 2))
    assert numbered[1][1].input == InputAudioBufferAppend(event_id="mine", audio=bytes(range(256)) * 20)


def test_a_changed_answer_is_the_first_difference(tmp_path: Path) -> None:
    path = record(tmp_path)
    lines = path.read_text().split("\n")
    changed = next(number for number, line in enumerate(lines) if "response.created" in line)
    lines[changed] = lines[changed].replace('"in_progress"', '"completed"')
    path.write_text("\n".join(lines))
    difference = replay(path)
    assert difference is not None
    assert difference.line == changed + 1
    assert isinstance(difference.input, ResponseCreate)
    assert "in_progress" in difference.replayed
    assert "in_progress" not in difference.recorded


def test_the_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    path = record(tmp_path)
    path.write_text(path.read_text() + '{"now":')
    assert replay(path) is None


@pytest.mark.parametrize("text", ["", "{}\n", "no trace\n"])
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.jsonl"):
        replay(path)


def test_audio_in_outputs_is_a_digest() -> None:
    [output] = json.loads(encoded([OutputAudio("r", bytes(9600))]))
    assert output["pcm"].startswith("9600 bytes, sha256 ")
    assert encoded([OutputAudio("r", bytes(9600))]) != encoded([OutputAudio("r", bytes(9598) + b"\x00\x01")])


def test_a_folder_that_cannot_be_written_costs_the_trace_and_nothing_else(tmp_path: Path) -> None:
    traces = Traces(tmp_path)
    trace = traces.begin("no/such/folder", SETUP)
    trace.step(1.0, None, [])
    other = traces.begin("fine", SETUP)
    other.end()
    traces.close()
    assert other.path.exists()
