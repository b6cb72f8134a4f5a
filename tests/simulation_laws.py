"""The laws of the design, as a witness who sees all that a session says."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from vivavoce.audio import samples_to_bytes
from vivavoce.engine_api import (
    DetectSpeech,
    Generate,
    Listen,
    ScoreTurn,
    StopGenerating,
    StopListening,
    Transcribe,
)
from vivavoce.protocol import server_events as out
from vivavoce.protocol.objects import InputAudioPart, Message
from vivavoce.session.boundary import Close, Output
from vivavoce.session.session import Session

WINDOW = 768


class Laws:
    """Sees each output, and fails where a law is broken."""

    def __init__(self, session: Session, see: Callable[[Output], None] | None) -> None:
        self.session = session
        self.see = see
        self.items: list[str] = ["item_unknown"]
        self.responses: list[str] = ["resp_unknown"]
        self.generates: dict[str, bytes] = {}
        self.drafts: dict[str, str] = {}
        """Responses that were begun before the client heard of them, and are neither released nor dropped; their items."""
        self.drafts_kept = 0
        self.drafts_dropped = 0
        self.listened: dict[str, bytearray] = {}
        self.scores_due: list[int] = []
        self.turns_due: list[ScoreTurn] = []
        self.open_responses: set[str] = set()
        self.done_responses: set[str] = set()
        self.default_running: str | None = None
        self.event_ids: set[str] = set()
        self.speaking = False
        self.closed = False
        self.counter = 0
        """The next sample's number: samples are numbered, modulo 65536."""
        self.taken = 0
        """The number after the last sample that was committed."""
        self.reformatted = False

    def take(self, outputs: list[Output], *, paused: bool = False) -> None:
        """What the session answered. `paused`: an answer was paused before, until it is known whether it is interrupted."""
        for output in outputs:
            assert not self.closed, f"{output} after close"  # law 9
            if isinstance(output, out.ServerEventBase):
                self._see_event(output)
            else:
                self._see_command(output)
            if self.see is not None:
                self.see(output)
        assert self.session._listening.speaking == self.speaking or self.closed or self._gone()  # law 4

        if paused and self.session._interrupting.undecided and self.session._answering._pacing:
            assert not any(getattr(output, "response_id", None) == self.default_running for output in outputs)

    def _gone(self) -> bool:
        return self.session.deadline() is None

    def _see_event(self, event: out.ServerEventBase) -> None:
        assert event.event_id, event
        assert event.event_id not in self.event_ids  # law 10
        self.event_ids.add(event.event_id)
        match event:
            case out.ResponseCreated(response=response):
                if item_id := self.drafts.pop(response.id, None):
                    assert item_id in self.items  # nothing of a draft leaves before its turn is an item
                    self.drafts_kept += 1
                else:
                    self.responses.append(response.id)
                self.open_responses.add(response.id)
                if response.conversation_id is not msgspec.UNSET:
                    assert self.default_running is None  # law 1
                    self.default_running = response.id
            case out.ResponseDone(response=response):
                self.open_responses.remove(response.id)  # law 2
                self.done_responses.add(response.id)
                if self.default_running == response.id:
                    self.default_running = None
            case out.ConversationItemAdded(item=item):
                assert item.id is not msgspec.UNSET
                self.items.append(item.id)
            case out.InputAudioBufferSpeechStarted():
                assert not self.speaking
                self.speaking = True
            case out.InputAudioBufferSpeechStopped():
                assert self.speaking
                self.speaking = False
            case _:
                response_id = getattr(event, "response_id", None)
                assert response_id is None or response_id in self.open_responses  # law 3

    def _see_command(self, command: Output) -> None:
        match command:
            case Close():
                assert not self.open_responses  # law 2, at the end
                self.closed = True
            case DetectSpeech(start_samples=start, audio=audio, format=format):
                end = start + len(audio) // samples_to_bytes(3, format.type) * 3
                self.scores_due = [due for due in self.scores_due if due <= start]
                first = self.scores_due[-1] + WINDOW if self.scores_due else start + WINDOW
                self.scores_due += range(first, end + 1, WINDOW)
            case ScoreTurn():
                self.turns_due.append(command)
            case Listen() | StopListening():
                self._see_listening(command)
            case Transcribe(item_id=item_id, audio=audio, format=format) if item_id in self.items:
                if not self.reformatted and format.type == "audio/pcm":
                    self._see_samples(audio)
            case Generate() | StopGenerating():
                self._see_generating(command)

    def _see_listening(self, command: Listen | StopListening) -> None:
        if isinstance(command, Listen):
            self.listened.setdefault(command.item_id, bytearray()).extend(command.audio)
        else:
            self.listened.pop(command.item_id, None)

    def _see_generating(self, command: Generate | StopGenerating) -> None:
        if isinstance(command, Generate):
            assert command.response_id not in self.generates  # each is asked for once
            self.generates[command.response_id] = msgspec.json.encode(command)
            if command.response_id not in self.open_responses:
                self._see_draft(command)
            return
        assert command.response_id in self.generates
        if self.drafts.pop(command.response_id, None):
            self.drafts_dropped += 1

    def _see_draft(self, command: Generate) -> None:
        """One at a time, while its turn is open, and it answers that turn as far as the engine was told of it."""
        assert self.speaking
        assert not self.drafts
        assert self.default_running is None
        self.responses.append(command.response_id)
        said = command.items[-1]
        assert isinstance(said, Message)
        part = said.content[0]
        assert isinstance(part, InputAudioPart)
        assert said.id not in self.items
        if str(said.id) in self.listened and not self.reformatted:
            assert bytes(self.listened[str(said.id)]) == part.audio
        self.drafts[command.response_id] = str(said.id)

    def _see_samples(self, audio: bytes) -> None:
        """Law 6. What is committed is a stretch of what was appended, and lies after the stretch before it."""
        assert len(audio) % 2 == 0
        samples = struct.unpack(f"<{len(audio) // 2}H", audio)
        first = self.taken + ((samples[0] - self.taken) & 0xFFFF)
        assert all(sample == (first + offset) & 0xFFFF for offset, sample in enumerate(samples))
        self.taken = first + len(samples)
        assert self.taken <= self.counter

    def snapshot_unchanged(self, generates: dict[str, Generate]) -> None:
        """Law 5: a command that was given earlier reads the same today."""
        for response_id, command in generates.items():
            assert msgspec.json.encode(command) == self.generates[response_id]
