"""A client's side of a conversation: what the server says becomes turns, and sometimes something to send back.

    speech_started ─▶ a turn opens;  what still plays is cut: conversation.item.truncate
    speech_stopped ─▶ it closes      its time line begins at the end of speech
    committed ──────▶ the answer is awaited, and the transcript
    response.* ─────▶ words, audio, calls ─▶ function_call_output and response.create, where a call has a result
    response.done ──▶ the turn is finished, once its transcript is there too

Pure: `handle` takes an event and the moment of its arrival, and returns the client events that follow.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final, Protocol

from vivavoce.client.playout import Cut
from vivavoce.client.received import Received, SeenItem, SeenResponse, silence_ms, transcribes
from vivavoce.client.session_options import Tool
from vivavoce.client.timeline import TimeLine

ClientEvent = dict[str, Any]


class Show(Protocol):
    """Where a conversation is told while it happens."""

    def line(self, label: str, text: str) -> None:
        """A line of its own."""

    def stream(self, label: str, text: str) -> None:
        """More of a line that grows."""

    def finish(self, label: str) -> None:
        """That line is whole."""


class Loudspeaker(Protocol):
    """Where answers play. Times are monotonic seconds."""

    def push(self, item_id: str, content_index: int, audio: bytes, now: float) -> None:
        """More of an item, in the session's output format."""

    def flush(self, now: float) -> list[Cut]:
        """Fall silent at once; say what was cut, and after how much of it."""


class Turn:
    """What the user said or typed, and what came of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.times: Final = TimeLine()
        self.item_id = ""
        self.transcript = ""
        self.answer = ""
        self.calls: Final[list[SeenItem]] = []
        self.spoken: Final[dict[tuple[str, int], bytearray]] = {}
        """The answer's audio by item and part, in the session's output format, without what was cut."""
        self.status = ""
        """Of its last response."""
        self.problem: str | None = None
        self.speaking = False
        self.awaits_answer = False
        self.awaits_transcript = False

    @property
    def finished(self) -> bool:
        """Nothing more will come of it."""
        return not (self.speaking or self.awaits_answer or self.awaits_transcript)

    @property
    def answered(self) -> bool:
        """It ended well."""
        return self.problem is None and self.status in ("completed", "incomplete")


class Dialogue:
    """A conversation's turns. `name` is what the next turns are called; `position` maps ms of sent audio to a moment;
    `bytes_per_ms` is the output format's; `keeps_audio` collects the answers in `Turn.spoken`.
    """

    def __init__(
        self,
        show: Show,
        tools: tuple[Tool, ...] = (),
        loudspeaker: Loudspeaker | None = None,
        position: Callable[[int], float | None] = lambda _: None,
        bytes_per_ms: int = 48,
        keeps_audio: bool = True,
    ) -> None:
        self._show: Final = show
        self._outputs: Final = {tool.name: tool.output for tool in tools}
        self._loudspeaker: Final = loudspeaker
        self._position: Final = position
        self._bytes_per_ms: Final = bytes_per_ms
        self._keeps_audio: Final = keeps_audio
        self._cut: Final[set[tuple[str, int]]] = set()
        self._by_response: Final[dict[str, Turn]] = {}
        self._by_item: Final[dict[str, Turn]] = {}
        self._attempts = 0
        self.name = ""
        self.session: dict[str, Any] = {}
        self.configured = False
        """The server took our `session.update`."""
        self.problem: str | None = None
        """What the server refused before any turn began."""
        self.turns: Final[list[Turn]] = []

    # --- what the user does ---

    def type(self, text: str, now: float) -> list[ClientEvent]:
        """A typed message. It interrupts what is being said."""
        interruption = self._interrupt(now)
        self._begin(now).awaits_answer = True
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return [*interruption, {"type": "conversation.item.create", "item": item}, {"type": "response.create"}]

    def press(self, now: float) -> list[ClientEvent]:
        """The button of push-to-talk is pressed."""
        return [*self._interrupt(now), {"type": "input_audio_buffer.clear"}]

    def commit(self, now: float) -> list[ClientEvent]:
        """The button of push-to-talk is let go."""
        self._begin(now).awaits_answer = True
        return [{"type": "input_audio_buffer.commit"}, {"type": "response.create"}]

    # --- what the server says ---

    def handle(self, event: Received, now: float) -> list[ClientEvent]:
        """Take a server event; return what to send. Events that no client needs to act on pass by."""
        step = _STEPS.get(event.type)
        return step(self, event, now) or [] if step else []

    def _on_session(self, event: Received, now: float) -> None:
        self.session = event.session or {}
        self.configured = event.type == "session.updated"

    def _on_speech_started(self, event: Received, now: float) -> list[ClientEvent]:
        turn = self._begin(None)
        turn.speaking = True
        self._by_item[event.item_id] = turn
        return self._truncate(now)

    def _on_speech_stopped(self, event: Received, now: float) -> None:
        turn = self._turn
        turn.speaking = False
        turn.awaits_answer = True
        turn.times.mark("speech_stopped", now)
        # "audio_end_ms: … includes the min_silence_duration_ms configured in the Session."
        turn.times.zero_ms = event.audio_end_ms - (silence_ms(self.session) or 0)
        turn.times.zero = self._position(turn.times.zero_ms)

    def _on_committed(self, event: Received, now: float) -> None:
        turn = self._by_item.get(event.item_id) or self._turn
        turn.item_id = event.item_id
        turn.awaits_transcript = transcribes(self.session)
        self._by_item[event.item_id] = turn

    def _on_transcript_delta(self, event: Received, now: float) -> None:
        turn = self._by_item.get(event.item_id) or self._turn
        turn.transcript += event.delta
        self._show.stream("you", event.delta)

    def _on_transcript(self, event: Received, now: float) -> None:
        turn = self._by_item.get(event.item_id) or self._turn
        turn.times.mark("transcript", now)
        turn.awaits_transcript = False
        rest = event.transcript.removeprefix(turn.transcript)  # the beginning was shown as it grew
        turn.transcript = event.transcript
        self._show.stream("you", rest or ("" if event.transcript else "(no words that the recogniser knows)"))
        self._show.finish("you")

    def _on_transcript_failed(self, event: Received, now: float) -> None:
        turn = self._by_item.get(event.item_id) or self._turn
        turn.awaits_transcript = False
        self._show.line("transcript", f"failed: {event.error}")

    def _on_response_created(self, event: Received, now: float) -> None:
        if event.response:
            self._by_response[event.response.id] = self._turn

    def _on_words(self, event: Received, now: float) -> None:
        turn = self._answering(event.response_id)
        turn.times.mark("first_text", now)
        turn.answer += event.delta
        self._show.stream("answer", event.delta)

    def _on_audio(self, event: Received, now: float) -> None:
        turn = self._answering(event.response_id)
        turn.times.mark("first_audio", now)
        part = (event.item_id, event.content_index)
        if part in self._cut:
            return
        audio = base64.b64decode(event.delta)
        if self._keeps_audio:
            turn.spoken.setdefault(part, bytearray()).extend(audio)
        if self._loudspeaker:
            self._loudspeaker.push(event.item_id, event.content_index, audio, now)

    def _on_item_done(self, event: Received, now: float) -> None:
        if event.item and event.item.type == "function_call":
            self._answering(event.response_id).calls.append(event.item)
            self._show.line("tool", f"{event.item.name}({event.item.arguments})")

    def _on_response_done(self, event: Received, now: float) -> list[ClientEvent]:
        if event.response is None:
            return []
        turn = self._by_response.pop(event.response.id, None) or self._turn
        self._show.finish("answer")
        turn.times.mark("done", now)
        turn.status = event.response.status
        turn.problem = _problem(event.response)
        if turn.problem:
            self._show.line("failed", turn.problem)
        outputs = self._call_outputs(event.response) if turn.status == "completed" else []
        turn.awaits_answer = bool(outputs) and turn is self._turn
        # Where the user spoke on meanwhile, the answer to that comes by itself.
        return [*outputs, {"type": "response.create"}] if turn.awaits_answer else outputs

    def _on_error(self, event: Received, now: float) -> None:
        if event.error and (event.error.event_id or "").startswith("attempt_"):
            return
        self._show.line("error", str(event.error))
        if not self.turns:
            self.problem = str(event.error)
            return
        turn = self._turn
        turn.problem = str(event.error)
        turn.speaking = turn.awaits_answer = turn.awaits_transcript = False

    # --- steps ---

    @property
    def _turn(self) -> Turn:
        """The turn that goes on. A server that speaks unasked (an idle timeout) opens one too."""
        return self.turns[-1] if self.turns else self._begin(None)

    def _begin(self, zero: float | None) -> Turn:
        turn = Turn(self.name)
        turn.times.zero = zero
        self.turns.append(turn)
        return turn

    def _answering(self, response_id: str) -> Turn:
        return self._by_response.get(response_id) or self._turn

    def _interrupt(self, now: float) -> list[ClientEvent]:
        """Stop the answer, without turn detection to do it."""
        cancel = {"type": "response.cancel", "event_id": self._attempt()}
        return [*([cancel] if self.turns and self.turns[-1].awaits_answer else []), *self._truncate(now)]

    def _attempt(self) -> str:
        """An id for an event that may come too late, and does no harm then."""
        self._attempts += 1
        return f"attempt_{self._attempts}"

    def _truncate(self, now: float) -> list[ClientEvent]:
        """Stop what plays, and tell the server how much of it was heard."""
        return [self._truncation(cut) for cut in (self._loudspeaker.flush(now) if self._loudspeaker else [])]

    def _truncation(self, cut: Cut) -> ClientEvent:
        part = (cut.item_id, cut.content_index)
        self._cut.add(part)
        for turn in self.turns:
            if part in turn.spoken:
                del turn.spoken[part][cut.heard_ms * self._bytes_per_ms :]
        self._show.line("cut", f"the answer, after {cut.heard_ms / 1000:.2f} s")
        return {
            "type": "conversation.item.truncate",
            "event_id": self._attempt(),
            "item_id": cut.item_id,
            "content_index": cut.content_index,
            "audio_end_ms": cut.heard_ms,
        }

    def _call_outputs(self, response: SeenResponse) -> list[ClientEvent]:
        """The canned results of a response's calls."""
        events: list[ClientEvent] = []
        for call in response.output:
            output = self._outputs.get(call.name) if call.type == "function_call" else None
            if output is not None:
                self._show.line("result", output)
                item = {"type": "function_call_output", "call_id": call.call_id, "output": output}
                events.append({"type": "conversation.item.create", "item": item})
        return events


def _problem(response: SeenResponse) -> str | None:
    if response.status != "failed":
        return None
    details = response.status_details
    return str(details.error) if details and details.error else "the response failed, no reason given"


_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"

_STEPS: Final[dict[str, Callable[[Dialogue, Received, float], list[ClientEvent] | None]]] = {
    "session.created": Dialogue._on_session,
    "session.updated": Dialogue._on_session,
    "input_audio_buffer.speech_started": Dialogue._on_speech_started,
    "input_audio_buffer.speech_stopped": Dialogue._on_speech_stopped,
    "input_audio_buffer.committed": Dialogue._on_committed,
    f"{_TRANSCRIPTION}.delta": Dialogue._on_transcript_delta,
    f"{_TRANSCRIPTION}.completed": Dialogue._on_transcript,
    f"{_TRANSCRIPTION}.failed": Dialogue._on_transcript_failed,
    "response.created": Dialogue._on_response_created,
    "response.output_audio_transcript.delta": Dialogue._on_words,
    "response.output_text.delta": Dialogue._on_words,
    "response.output_audio.delta": Dialogue._on_audio,
    "response.output_item.done": Dialogue._on_item_done,
    "response.done": Dialogue._on_response_done,
    "error": Dialogue._on_error,
}
