"""One session that speaks: what it says next, and what it makes of the server's answers. Reads no clock, opens nothing.

          utterance ends ──▶ silence, until the answer is there ──▶ pause ──▶ next utterance
                                      └── (interrupting) ── some time after its first audio ──▶ next utterance

It sends a chunk for every 20 ms, silence too, as an open microphone does. A chunk leaves when its last sample has been
spoken; so the moment of a sample is the moment at which its chunk was sent, less what follows it in the chunk.
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from vivavoce.audio import SAMPLE_HZ
from vivavoce.client.load.figures import (
    APPEND_TO_ECHO,
    ONSET_TO_CANCELLED,
    SPEECH_END_TO_AUDIO,
    SPEECH_END_TO_STOPPED,
    STOPPED_TO_AUDIO,
    Tally,
)
from vivavoce.client.load.frames import text_frame
from vivavoce.client.load.plan import CHUNK_MS, ECHO_SECONDS, PATIENCE_SECONDS, Plan
from vivavoce.client.load.utterances import SILENCE, Utterance, Voice

_CHUNK_SECONDS: Final = CHUNK_MS / 1000
_ECHO_ID: Final = "bench_echo"
_ECHO: Final = text_frame({"type": "conversation.item.retrieve", "event_id": _ECHO_ID, "item_id": "item_bench_none"})
"""Asks for an item that is not there. The `error` that comes back names our event: every Realtime server has this echo."""
_INTERRUPTING_SECONDS: Final = (0.2, 0.8)
"""How long after an answer's first audio it is spoken over."""


class _Response(Struct):
    status: str | None = None


class _Error(Struct):
    code: str | None = None
    event_id: str | None = None


class Event(Struct):
    """As much of a server event as matters here."""

    type: str
    delta: Raw = Raw(b"")
    response: _Response | UnsetType = UNSET
    error: _Error | UnsetType = UNSET


read_event: Final = msgspec.json.Decoder(Event).decode
"""Raises `msgspec.DecodeError`."""


class Speaker:
    """A session's side of the conversation. Every `now` is in monotonic seconds."""

    def __init__(self, plan: Plan, voice: Voice, number: int) -> None:
        self._plan = plan
        self._random = random.Random(f"{plan.seed} {number}")
        self._script = self._random.sample(voice, len(voice))
        self._said = 0
        self.tally: Tally | None = None
        """Where figures go; `None` until measuring begins."""
        self.ready = False
        """The server has taken our settings."""
        self._begins_at: float | None = None
        self._utterance: Utterance | None = None
        self._chunk = 0
        self._onset_at: float | None = None
        self._ended_at: float | None = None
        self._stopped_at: float | None = None
        self._noticed_end_at: float | None = None
        """The end of speech that `_stopped_at` is about."""
        self._waits_until: float | None = None
        self._answering = False
        self._interrupting = False
        self._noticed = False
        """The server noticed that we speak."""
        self._thought_over = False
        """It thinks that we have finished."""
        self._answered = False
        """It has answered, though the recording goes on: it ends in a long silence, or in noise."""
        self._played_until: float | None = None
        self._echo_sent_at: float | None = None
        self._echo_due = 0.0

    def settings(self) -> dict[str, Any]:
        """The `session.update` to begin with."""
        detection = {"type": "server_vad", "silence_duration_ms": self._plan.silence_ms}
        if self._plan.server.beta:
            return {"type": "session.update", "session": {"turn_detection": detection}}
        session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        return {"type": "session.update", "session": session}

    # --- speaking ---

    def chunk(self, now: float) -> bytes:
        """The frames that are due now: 20 ms of audio, and once a second a question for an echo."""
        if self._utterance is None:
            self._consider_beginning(now)
        frames = self._next_frame(now)
        if now >= self._echo_due:
            frames += self._ask_for_echo(now)
        return frames

    def _consider_beginning(self, now: float) -> None:
        if self._waits_until is not None and now >= self._waits_until:
            self._give_up()
            self._begins_at = now
        if self._begins_at is None or now < self._begins_at:
            return
        self._utterance = self._script[self._said % len(self._script)]
        self._said += 1
        self._chunk = 0
        self._begins_at = self._waits_until = self._onset_at = self._ended_at = None
        self._interrupting = self._answering
        self._noticed = self._thought_over = self._answered = False

    def _give_up(self) -> None:
        """No answer came. Where the server noticed no speech, that is a matter of its ears, and no error."""
        if self._noticed:
            self._count_error("no_answer")
        elif self.tally is not None:
            self.tally.unheard += 1

    def _next_frame(self, now: float) -> bytes:
        utterance = self._utterance
        if utterance is None:
            return SILENCE
        frame = utterance.frames[self._chunk]
        self._chunk += 1
        spoken_seconds = self._chunk * _CHUNK_SECONDS
        if self._onset_at is None and utterance.onset_seconds < spoken_seconds:
            self._onset_at = now - spoken_seconds + utterance.onset_seconds
        if self._ended_at is None and utterance.end_seconds <= spoken_seconds:
            self._ended_at = now - spoken_seconds + utterance.end_seconds
        if self._chunk == len(utterance.frames):
            self._utterance = None
            self._waits_until = now + PATIENCE_SECONDS
            if self._answered:
                self._begins_at = now + self._plan.pause_seconds
        return frame

    def _ask_for_echo(self, now: float) -> bytes:
        self._echo_due = now + ECHO_SECONDS
        if self._echo_sent_at is not None:
            return b""  # The last one is still on its way: its figure will tell.
        self._echo_sent_at = now
        return _ECHO

    # --- hearing ---

    def hear(self, event: Event, now: float) -> None:
        """Take a server event."""
        match event.type:
            case "response.output_audio.delta" | "response.audio.delta":
                self._on_audio(len(event.delta), now)
            case "session.updated":
                self.ready = True
                self._begins_at = now + self._random.random() * 2
            case "input_audio_buffer.speech_started":
                self._noticed = True
                self._thought_over = self._answered = False  # What was answered was a pause.
            case "input_audio_buffer.speech_stopped":
                self._on_speech_stopped(now)
            case "response.created":
                self._answering = True
                self._played_until = None
            case "response.done":
                self._on_response_done(event, now)
            case "error":
                self._on_error(event, now)

    def _on_speech_stopped(self, now: float) -> None:
        if self._ended_at is not None:
            self._note(SPEECH_END_TO_STOPPED, now - self._ended_at)
        self._noticed_end_at, self._ended_at = self._ended_at, None
        self._stopped_at = now
        self._thought_over = True

    def _on_audio(self, base64_characters: int, now: float) -> None:
        seconds = base64_characters // 4 * 3 / 2 / SAMPLE_HZ
        if self._stopped_at is not None:
            self._note(STOPPED_TO_AUDIO, now - self._stopped_at)
            if self._noticed_end_at is not None:
                self._note(SPEECH_END_TO_AUDIO, now - self._noticed_end_at)
            self._stopped_at = None
            if self._random.random() < self._plan.interrupting:
                self._begins_at = now + self._random.uniform(*_INTERRUPTING_SECONDS)
        gap = 0.0 if self._played_until is None else now - self._played_until
        self._played_until = now + seconds if gap >= 0 or self._played_until is None else self._played_until + seconds
        if self.tally is not None:
            self.tally.deltas += 1
            self.tally.answer_seconds += seconds
            if gap > 0:
                self.tally.late_deltas += 1
                self.tally.worst_gap_ms = max(self.tally.worst_gap_ms, gap * 1000)

    def _on_response_done(self, event: Event, now: float) -> None:
        self._answering = False
        status = event.response.status if event.response is not UNSET else None
        if self.tally is not None:
            self.tally.answers += 1
            self.tally.interrupted += status == "cancelled"
        if status not in ("completed", "cancelled"):
            self._count_error(f"response_{status}")
        if status == "cancelled" and self._interrupting and self._onset_at is not None:
            self._note(ONSET_TO_CANCELLED, now - self._onset_at)
            self._interrupting = False
        elif status != "cancelled" and self._thought_over:
            if self._utterance is None:
                self._begins_at = now + self._plan.pause_seconds
            else:
                self._answered = True

    def _on_error(self, event: Event, now: float) -> None:
        error = event.error if event.error is not UNSET else _Error()
        if error.event_id != _ECHO_ID:
            self._count_error(error.code or "error")
        elif self._echo_sent_at is not None:
            self._note(APPEND_TO_ECHO, now - self._echo_sent_at)
            self._echo_sent_at = None

    def _note(self, figure: str, seconds: float) -> None:
        if self.tally is not None:
            self.tally.latencies_ms[figure].append(seconds * 1000)

    def _count_error(self, code: str) -> None:
        if self.tally is not None:
            self.tally.errors[code] += 1
