"""Transcripts: conversations in Markdown that are tests.

A fenced block of kind `transcript` is one session. Each line is an input or what must follow from it:

    > session.update {"session": {…}}        the client sends an event
    ! OutputText {"response_id": "resp_0"}   the engine reports an event
    ! speech 0.9 for 320ms                   the engine gives the next so much of the audio this speech probability
    @ 6.5                                    the clock shows 6.5 seconds, and the session's deadlines are due
    < response.created {"response": {…}}     the client gets an event; all it gets is listed, in order
    ? Generate {"instructions": "…"}         the engine gets a command; only those of interest are listed
    ? close 1001                             the connection closes
    # a remark

JSON is a subset of the real thing: what it names must be there and equal; `"…"` is any value. Audio may be written as
`"<500ms>"`: so much of it, in the format at hand (PCM16 unless `<500ms g711>`). Ids are counted from 0 (`item_0`).
The information string of the block sets the scene: `transcript beta`, `transcript ga max_items=3 rate_limited`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.oracle import Oracle
from vivavoce.engine_api import Capabilities, DetectSpeech, EngineEvent, Listen, SpeechScore
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.codec import GA
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import ServerEventBase
from vivavoce.session.boundary import Admitted, Close, Disconnected, Drain, Input, Output, Refused, Rejected, Setup, Tick
from vivavoce.session.session import Session

WINDOW_SAMPLES = 768
_BLOCK = re.compile(r"^```transcript(?P<scene>[^\n]*)\n(?P<lines>.*?)^```", re.MULTILINE | re.DOTALL)
_AUDIO = re.compile(r"<(\d+)ms( g711)?>")
_ENGINE = msgspec.json.Decoder(EngineEvent | Admitted | Refused | Disconnected | Drain)


def transcripts(path: Path) -> Iterator[tuple[str, str, list[tuple[int, str]]]]:
    """Name, scene and numbered lines of each block of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        before = text[: block.start()]
        headings = re.findall(r"^#+ (.*)$", before, re.MULTILINE)
        first = before.count("\n") + 2
        lines = [(first + n, line.strip()) for n, line in enumerate(block["lines"].splitlines())]
        yield f"{path.stem}: {headings[-1]}", block["scene"].strip(), [line for line in lines if line[1]]


class Scene:
    """A session that a transcript drives."""

    def __init__(self, scene: str) -> None:
        words = scene.split()
        self.dialect = BETA if "beta" in words else GA
        options = dict(word.split("=") for word in words if "=" in word)
        capabilities = Capabilities(
            transcribes="deaf" not in words,
            speaks="mute" not in words,
            listens="listens" in words,
            scores_turns="scores_turns" in words,
            drafts="drafts" in words,
            context_tokens=int(options.get("context_tokens", 128_000)),
        )
        self.setup = Setup(
            seed="",
            config=SessionConfig(model="gpt-realtime"),
            capabilities=capabilities,
            expires_at=1_800_000_000,
            duration_seconds=float(options.get("duration_seconds", 3600)),
            max_items=int(options.get("max_items", 1000)),
            max_buffered_bytes=int(options.get("max_buffered_bytes", 2**26)),
            rate_limited="rate_limited" in words,
            draft_after_ms=150,
            speak_late_outputs="speak_late_outputs" in words,
            confirm_barge_in_ms=int(options["confirm_barge_in_ms"]) if "confirm_barge_in_ms" in options else None,
        )
        self.session = Session(self.setup)
        self.oracle = Oracle(self.dialect.name)
        self.now = 0.0
        self.scored_samples = 0
        self.received_samples = 0
        self.events: list[dict[str, Any]] = []
        self.commands: list[Output] = []
        self._take(self.session.open(0.0))

    def client(self, event: dict[str, Any]) -> None:
        """A frame from the client."""
        frame = json.dumps(event)
        self.oracle.saw_client(frame)
        try:
            decoded: Input = self.dialect.decode(frame)
        except RequestError as error:
            decoded = Rejected(error.code, error.message, error.param, error.event_id)
        self.give(decoded)

    def give(self, event: Input) -> None:
        """Any input."""
        self._take(self.session.handle(event, self.now))

    def speech(self, probability: float, ms: int) -> None:
        """Scores of so much audio, as far as it was received."""
        end = min(self.scored_samples + ms * 24, self.received_samples)
        while self.scored_samples + WINDOW_SAMPLES <= end:
            self.scored_samples += WINDOW_SAMPLES
            self.give(SpeechScore(self.scored_samples, probability))

    def at(self, now: float) -> None:
        """Later."""
        self.now = now
        self.give(Tick())

    def _take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, ServerEventBase):
                frame = self.dialect.encode(output)
                if frame is not None:
                    self.oracle.saw_server(frame)
                    self.events.append(json.loads(frame))
            else:
                self.commands.append(output)
                if isinstance(output, DetectSpeech):
                    if output.start_samples > self.received_samples:
                        self.scored_samples = output.start_samples
                    width = 2 if output.format.type == "audio/pcm" else 1
                    ticks = 1 if width == 2 else 3
                    self.received_samples = output.start_samples + len(output.audio) // width * ticks


def play(scene: str, lines: list[tuple[int, str]]) -> None:
    """Run a transcript; AssertionError names the line that was not so."""
    world = Scene(scene)
    for number, line in lines:
        mark, _, rest = line.partition(" ")
        if mark == "#":
            continue
        try:
            if mark in ("<", "?"):
                _expect(world, mark, rest)
                continue
            assert not world.events, f"not expected, but sent: {_short(world.events[0])}"
            world.commands.clear()
            _drive(world, mark, rest)
        except AssertionError as error:
            raise AssertionError(f"line {number}: {line}\n{error}") from None
    assert not world.events, f"at the end: not expected, but sent: {_short(world.events[0])}"


def _drive(world: Scene, mark: str, rest: str) -> None:
    name, _, body = rest.partition(" ")
    match mark:
        case ">" if name == "raw":
            world.give(_decoded(world, body))
        case ">":
            world.client({"type": name, **_parsed(body)})
        case "!" if name == "speech":
            probability, _, length = body.partition(" for ")
            world.speech(float(probability), int(length.removesuffix("ms")))
        case "!":
            world.give(_ENGINE.decode(json.dumps({"type": name, **_parsed(body)})))
        case "@":
            world.at(float(name))
        case _:
            raise AssertionError(f"cannot read {mark!r}")


def _decoded(world: Scene, frame: str) -> Input:
    try:
        return world.dialect.decode(frame)
    except RequestError as error:
        return Rejected(error.code, error.message, error.param, error.event_id)


def _expect(world: Scene, mark: str, rest: str) -> None:
    name, _, body = rest.partition(" ")
    if mark == "<":
        assert world.events, "nothing more was sent"
        event = world.events.pop(0)
        assert event["type"] == name, f"sent instead: {_short(event)}"
        _check_subset(_parsed(body), event, "$")
        return
    if name == "close":
        closes = [command for command in world.commands if isinstance(command, Close)]
        assert closes, "no close"
        assert closes[0].code == int(body)
        return
    while world.commands:
        command = world.commands.pop(0)
        if type(command).__name__ == name:
            _check_subset(_parsed(body), json.loads(msgspec.json.encode(command)), "$")
            return
        assert isinstance(command, DetectSpeech | Listen) or name != "nothing", f"commanded: {command}"
    assert name == "nothing", f"no such command: {name}"


def _parsed(body: str) -> dict[str, Any]:
    return json.loads(_AUDIO.sub(_audio, body)) if body else {}


def _audio(match: re.Match[str]) -> str:
    n_bytes = int(match[1]) * (8 if match[2] else 48)
    return base64.b64encode(bytes(n_bytes)).decode()


def _check_subset(want: Any, got: Any, path: str) -> None:
    if want == "…":
        return
    if isinstance(want, dict):
        assert isinstance(got, dict), f"{path}: {_short(got)}"
        for key, value in want.items():
            if value == "absent":
                assert key not in got, f"{path}.{key} is there: {_short(got[key])}"
                continue
            assert key in got, f"{path}.{key} is missing in {_short(got)}"
            _check_subset(value, got[key], f"{path}.{key}")
    elif isinstance(want, list):
        assert isinstance(got, list), f"{path}: {_short(got)}"
        assert len(got) == len(want), f"{path}: {_short(got)}"
        for index, (one, other) in enumerate(zip(want, got, strict=True)):
            _check_subset(one, other, f"{path}[{index}]")
    else:
        assert want == got, f"{path}: {_short(got)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 600 else text[:600] + "…"
