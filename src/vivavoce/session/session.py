"""A conversation as a state machine: something happens, and the session answers with what follows.

    outputs = session.handle(input, now)     # list of ServerEvent, EngineCommand, Admit, Spend, Close
    when = session.deadline()                # the next moment at which handle(Tick(), now) is due, or None

Time and ids are given; nothing here waits, opens or draws. One input at a time: mutate, then drain all outputs. A
`RequestError` is raised before anything has changed, and becomes the `error` event that names the client's event.

    open ──▶ live ──(Drain)──▶ draining ──▶ closed
               └────(Disconnected, session_expired)──▶ closed, and from then on every input is ignored
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from vivavoce.engine_api import (
    GenerationEvent,
    SpeechScore,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
    TurnScore,
    WordsHeard,
)
from vivavoce.protocol.client_events import (
    ClientEventBase,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from vivavoce.protocol.config import Config, RealtimeSession, SessionConfig, SessionObject, TranscriptionSession
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import Conversation, ErrorDetails, FunctionCall, ResponseError
from vivavoce.protocol.server_events import (
    ConversationCreated,
    ConversationItemDeleted,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    Error,
    SessionCreated,
    SessionUpdated,
)
from vivavoce.session.answering import NOTHING, Answering, voice_is_settled
from vivavoce.session.boundary import Admitted, Close, Disconnected, Drain, Input, Output, Refused, Rejected, Setup, Tick
from vivavoce.session.configuration import initial, updated
from vivavoce.session.conversation import entry_of
from vivavoce.session.interruption import Interrupting
from vivavoce.session.late_outputs import LateOutputs
from vivavoce.session.listening import Listening
from vivavoce.session.state import State
from vivavoce.session.transcripts import Transcripts
from vivavoce.session.turns import Edge, End, Lull, Onset, Resumption

ALONE: Final = "alone"
"""Returned by a handler that has changed neither who speaks, nor what is owed, nor what is due: nothing follows. So it is
with nearly all inputs, audio and scores of no consequence."""

MAX_RETRIEVED_AUDIO_BYTES: Final = 700 * 1024
"""A frame stays under 1 MiB, base64 included; of longer audio the client gets the beginning."""


class Session:
    """One conversation. Raises nothing that a client, an engine or a clock can cause."""

    def __init__(self, setup: Setup) -> None:
        self._state = State(setup, initial(setup.config))
        self._transcripts = Transcripts(self._state)
        self._listening = Listening(self._state, self._transcripts)
        self._answering = Answering(self._state)
        self._interrupting = Interrupting(self._state, self._listening, self._answering)
        self._late_outputs = LateOutputs(self._state, self._answering)
        self._expires_at = setup.opened_at + setup.duration_seconds
        self._due: float | None = self._expires_at
        self._draining: Drain | None = None
        self._closed = False

    def open(self, now: float) -> list[Output]:
        """The first events."""
        self._state.now = now
        self._state.send(SessionCreated(session=self._object()))
        self._state.send(ConversationCreated(conversation=Conversation(id=self._state.conversation_id)))
        return self._state.drain()

    def handle(self, input: Input, now: float) -> list[Output]:
        """Take one input; return all that follows from it, in order."""
        if self._closed:
            return []
        self._state.now, alone = now, None
        try:
            alone = _HANDLERS[type(input)](self, input)
        except RequestError as error:
            self._refuse(error, input.event_id if isinstance(input, ClientEventBase) else error.event_id)
        if alone is None:
            self._settle()
            self._due = self._next_due()
        return self._state.drain()

    def deadline(self) -> float | None:
        """When `Tick` is due."""
        return self._due

    def _next_due(self) -> float | None:
        if self._closed:
            return None
        due = self._expires_at
        for moment in (self._listening.idle_deadline(), self._answering.deadline(), self._interrupting.deadline()):
            if moment is not None and moment < due:
                due = moment
        return due

    # --- session ---

    def _on_session_update(self, event: SessionUpdate) -> None:
        config = updated(self._state.config, event.session)
        self._check_change(self._state.config, config)
        self._state.config = config
        self._listening.configure()
        self._state.send(SessionUpdated(session=self._object()))

    def _check_change(self, old: Config, new: Config) -> None:
        if type(old) is not type(new) and len(self._state.conversation):
            message = "The type of a session cannot change once its conversation has begun."
            raise RequestError("invalid_value", message, "session.type")
        if (
            self._state.has_spoken
            and isinstance(old, SessionConfig)
            and isinstance(new, SessionConfig)
            and old.audio.output.voice != new.audio.output.voice
        ):
            raise voice_is_settled("session.audio.output.voice")

    def _object(self) -> SessionObject:
        """The configuration as the client sees it."""
        setup, config = self._state.setup, self._state.config
        values: dict[str, Any] = {name: getattr(config, name) for name in config.__struct_fields__}
        kind = RealtimeSession if isinstance(config, SessionConfig) else TranscriptionSession
        return kind(id=f"sess_{setup.seed}", expires_at=setup.expires_at, **values)

    # --- input audio ---

    def _on_input_audio_buffer_append(self, event: InputAudioBufferAppend) -> Literal["alone"]:
        self._listening.append(event.audio)
        return ALONE

    def _on_input_audio_buffer_commit(self, _: InputAudioBufferCommit) -> None:
        self._listening.commit()

    def _on_input_audio_buffer_clear(self, _: InputAudioBufferClear) -> None:
        self._listening.clear()

    def _on_output_audio_buffer_clear(self, _: OutputAudioBufferClear) -> None:
        message = "output_audio_buffer.clear works over WebRTC and SIP only: here the client owns the loudspeaker."
        raise RequestError("invalid_value", message, "type")

    def _on_speech_score(self, score: SpeechScore) -> Literal["alone"] | None:
        edge = self._listening.on_speech_score(score)
        if self._interrupting.undecided and not isinstance(edge, Onset):
            self._interrupting.weigh(score, edge)
        elif edge is None:
            return ALONE
        else:
            self._take_edge(edge)
        return None

    def _on_turn_score(self, score: TurnScore) -> None:
        edge = self._listening.on_turn_score(score)
        if self._interrupting.undecided and isinstance(edge, End):
            self._interrupting.end(edge)
        elif edge is not None:
            self._take_edge(edge)

    def _take_edge(self, edge: Edge) -> None:
        vad = self._state.turn_detection
        if vad is None:
            return
        if isinstance(edge, Onset):
            self._start_turn(edge, vad.interrupt_response)
        elif isinstance(edge, Lull):
            self._draft(edge)
        elif isinstance(edge, Resumption):
            self._answering.drop_draft()
            self._listening.go_on(edge)
        elif isinstance(edge, End):
            self._listening.end_turn(edge)
            if vad.create_response and self._state.answers is not None:
                self._answering.owe()

    def _start_turn(self, onset: Onset, interrupts: bool) -> None:
        """Somebody speaks: a turn, unless it has to prove itself first."""
        if not self._interrupting.begin(onset):
            self._listening.start_turn(onset)
            if interrupts:
                self._answering.interrupt()

    def _end_interruption(self, end: End) -> None:
        """Speech that was over when it proved to be a turn."""
        try:
            self._take_edge(end)
        except RequestError as error:
            self._refuse(error)

    def _draft(self, lull: Lull) -> None:
        """The turn may be over: begin to answer it, if it will be answered."""
        vad = self._state.turn_detection
        answers = vad is not None and vad.create_response and self._draining is None
        if answers and self._answering.may_draft() and (said := self._listening.offer(lull)):
            self._answering.draft(said)

    # --- conversation ---

    def _on_conversation_item_create(self, event: ConversationItemCreate) -> None:
        item = event.item
        item_id = self._state.new_item_id() if item.id is UNSET else item.id
        item = msgspec.structs.replace(item, id=item_id, status=item.status or "completed")
        if isinstance(item, FunctionCall) and item.call_id is UNSET:
            item = msgspec.structs.replace(item, call_id=self._state.ids.new("call"))
        self._state.add_whole(entry_of(item, self._state.audio_input.format), event.previous_item_id)
        self._late_outputs.note(item, speaking=self._listening.speaking)

    def _on_conversation_item_retrieve(self, event: ConversationItemRetrieve) -> None:
        entry = self._state.conversation.find(event.item_id, "item_retrieve_invalid_item_id")
        self._state.send(ConversationItemRetrieved(item=entry.whole(MAX_RETRIEVED_AUDIO_BYTES)))

    def _on_conversation_item_truncate(self, event: ConversationItemTruncate) -> None:
        entry = self._state.conversation.find(event.item_id, "item_truncate_invalid_item_id")
        if event.audio_end_ms < 0:
            message = f"Invalid value: {event.audio_end_ms}. Expected a value of 0 or more."
            raise RequestError("invalid_value", message, "audio_end_ms")
        self._answering.stop_speaking_item(event.item_id)
        entry.truncate(event.content_index, event.audio_end_ms)
        self._state.send(
            ConversationItemTruncated(
                item_id=event.item_id, content_index=event.content_index, audio_end_ms=event.audio_end_ms
            )
        )

    def _on_conversation_item_delete(self, event: ConversationItemDelete) -> None:
        self._state.conversation.delete(event.item_id)
        self._listening.forget(event.item_id)
        self._state.send(ConversationItemDeleted(item_id=event.item_id))

    def _on_transcript_delta(self, event: TranscriptDelta) -> None:
        self._transcripts.on_delta(event)

    def _on_transcript_done(self, event: TranscriptDone) -> None:
        self._transcripts.on_done(event)
        self._interrupting.on_transcript(event)

    def _on_transcript_failed(self, event: TranscriptFailed) -> None:
        self._transcripts.on_failed(event)
        self._interrupting.on_transcript(event)

    def _on_words_heard(self, event: WordsHeard) -> None:
        self._interrupting.on_words(event)

    # --- responses ---

    def _on_response_create(self, event: ResponseCreate) -> None:
        if self._draining is not None:
            raise RequestError("server_shutting_down", self._draining.reason)
        if not self._late_outputs.take(event.response or NOTHING):
            self._answering.create(event.response or NOTHING)

    def _on_response_cancel(self, event: ResponseCancel) -> None:
        self._answering.cancel(event.response_id or None)

    def _on_generation(self, event: Any) -> None:
        self._answering.on_engine_event(event)

    def _on_admitted(self, event: Admitted) -> None:
        self._answering.admitted(event)

    def _on_refused(self, event: Refused) -> None:
        self._answering.refused(event)

    # --- life ---

    def _on_rejected(self, event: Rejected) -> None:
        raise RequestError(event.code, event.message, event.param, event.event_id)

    def _on_tick(self, _: Tick) -> None:
        if self._state.now >= self._expires_at:
            self._expire()
            return
        self._answering.play()
        self._answering.end_silent()
        idle = self._listening.idle_deadline()
        if idle is not None and self._state.now >= idle:
            self._listening.commit_silence()
            self._answering.owe(breaks_silence=True)

    def _expire(self) -> None:
        minutes = round(self._state.setup.duration_seconds / 60)
        reason = f"Your session hit the maximum duration of {minutes} minutes."
        error = ResponseError(type="invalid_request_error", code="session_expired", message=reason)
        self._answering.end_all("failed", error=error)
        details = ErrorDetails(type="invalid_request_error", code="session_expired", message=reason)
        self._state.send(Error(error=details))
        self._close(1001, reason)

    def _on_disconnected(self, _: Disconnected) -> None:
        self._answering.end_all("cancelled", "client_cancelled")
        self._closed = True

    def _on_drain(self, event: Drain) -> None:
        self._draining = event

    def _close(self, code: int, reason: str) -> None:
        self._state.command(Close(code, reason))
        self._closed = True

    def _settle(self) -> None:
        """What follows from where things stand, whatever brought them there."""
        if self._closed:
            return
        if end := self._interrupting.settle():
            self._end_interruption(end)
        if self._draining is not None:
            self._answering.drop_draft()
            if self._answering.idle:
                self._close(1001, self._draining.reason)
            return
        if not self._listening.speaking:
            if self._answering.owed and not self._answering.busy:
                self._answer()
            self._answering.drop_draft()
        self._note_silence()

    def _note_silence(self) -> None:
        """The idle time-out runs from the end of an answer's playback, while nobody speaks."""
        if self._answering.busy:
            self._listening.quiet_since = None
        elif self._answering.played_out_at is not None:
            if not self._listening.speaking:
                self._listening.quiet_since = self._answering.played_out_at
            self._answering.played_out_at = None

    def _answer(self) -> None:
        try:
            self._answering.answer(self._late_outputs.begin())
        except RequestError as error:
            self._refuse(error)
        self._late_outputs.begun()

    def _refuse(self, error: RequestError, event_id: str | UnsetType | None = None) -> None:
        kind: Any = "server_error" if error.code == "server_error" else "invalid_request_error"
        details = ErrorDetails(
            type=kind, code=error.code, message=error.message, param=error.param, event_id=event_id or None
        )
        self._state.send(Error(error=details))


_HANDLERS: Final[dict[type, Callable[[Session, Any], Literal["alone"] | None]]] = {
    SessionUpdate: Session._on_session_update,
    InputAudioBufferAppend: Session._on_input_audio_buffer_append,
    InputAudioBufferCommit: Session._on_input_audio_buffer_commit,
    InputAudioBufferClear: Session._on_input_audio_buffer_clear,
    OutputAudioBufferClear: Session._on_output_audio_buffer_clear,
    ConversationItemCreate: Session._on_conversation_item_create,
    ConversationItemRetrieve: Session._on_conversation_item_retrieve,
    ConversationItemTruncate: Session._on_conversation_item_truncate,
    ConversationItemDelete: Session._on_conversation_item_delete,
    ResponseCreate: Session._on_response_create,
    ResponseCancel: Session._on_response_cancel,
    SpeechScore: Session._on_speech_score,
    TurnScore: Session._on_turn_score,
    WordsHeard: Session._on_words_heard,
    TranscriptDelta: Session._on_transcript_delta,
    TranscriptDone: Session._on_transcript_done,
    TranscriptFailed: Session._on_transcript_failed,
    Admitted: Session._on_admitted,
    Refused: Session._on_refused,
    Rejected: Session._on_rejected,
    Tick: Session._on_tick,
    Disconnected: Session._on_disconnected,
    Drain: Session._on_drain,
    **dict.fromkeys(get_args(GenerationEvent), Session._on_generation),
}
