"""The assistant's side: which responses run, who may start one, and how each of them ends.

    wanted ─┬─▶ (rate-limited: Admit ─▶ Admitted | Refused) ─┬─▶ live ─▶ ended
            └────────────────────────────────────────────────┘

At most one response of the default conversation is wanted or live; out-of-band responses run beside it. An engine's event
names its response; what names none that is live, nor the draft (`drafting.py`), is stale and dropped in `on_engine_event`,
the only place that looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import UNSET

from vivavoce.engine_api import GenerationDone, GenerationEvent, GenerationFailed, OutputAudio, StopGenerating
from vivavoce.protocol.client_events import ResponseCreateParams
from vivavoce.protocol.config import AudioOutput
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import RateLimit, ResponseError, Usage
from vivavoce.protocol.server_events import RateLimitsUpdated, ServerEvent
from vivavoce.session.boundary import Admit, Admitted, Refused, Spend
from vivavoce.session.configuration import check_tool_choice, check_voice, known_format
from vivavoce.session.context import Context
from vivavoce.session.conversation import Entry
from vivavoce.session.drafting import Drafting
from vivavoce.session.pacing import Pacing
from vivavoce.session.response import Ending, LiveResponse, Reason
from vivavoce.session.specification import ResponseSpec, generate_command, laid_over, named
from vivavoce.session.state import State

NOTHING: Final = ResponseCreateParams()


class Answering:
    """Responses of one session."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._wanted: dict[str, ResponseSpec] = {}
        """Asked for, and waiting for the account's word."""
        self._live: dict[str, LiveResponse] = {}
        self._default_id: str | None = None
        """The response of the default conversation that is wanted or live."""
        self._context = Context(state)
        self._drafting = Drafting(state)
        self._pacing: Pacing | None = None
        """Of the response of the default conversation, if it may be paused."""
        self.owed = False
        """A turn is over, a silence has lasted or a function's output came late: an answer is due when no other runs."""
        self._breaks_silence = False
        """What is owed breaks a silence."""
        self.played_out_at: float | None = None
        """When the client will have played the last answer of the default conversation; `None` while one runs."""
        self._truncated_id: str | None = None
        """The last response, if the client's truncation ended it."""

    @property
    def busy(self) -> bool:
        """The default conversation has a response in progress."""
        return self._default_id is not None

    @property
    def default_id(self) -> str | None:
        """That response."""
        return self._default_id

    @property
    def idle(self) -> bool:
        """Nothing runs at all."""
        return not self._live and not self._wanted

    # --- starting ---

    def create(self, params: ResponseCreateParams = NOTHING) -> None:
        """`response.create`. Raises `RequestError`."""
        spec = self._specify(params)
        if spec.conversation_id is not None:
            self._drafting.drop()
        self._want(named(spec, self._state.ids.new("resp")))

    def owe(self, *, breaks_silence: bool = False) -> None:
        """An answer is due."""
        self.owed = True
        self._breaks_silence = breaks_silence

    def answer(self, params: ResponseCreateParams = NOTHING) -> None:
        """Give the answer that is owed, with the draft if it answers just that. Raises `RequestError`."""
        self.owed = False
        spec = self._specify(params, breaks_silence=self._breaks_silence)
        self._want(named(spec, self._drafting.confirm(spec) or self._state.ids.new("resp")))

    def may_draft(self) -> bool:
        """An answer to the turn that is open could begin now, if it were over."""
        return self._state.answers is not None and not self.busy and not self.owed

    def draft(self, said: Entry) -> None:
        """Begin to answer a turn that may be over. Nobody hears of it, not even of an error."""
        try:
            self._state.check_room()
            spec = self._specify(NOTHING, said)
        except RequestError:
            return
        self._drafting.begin(named(spec, self._state.ids.new("resp_draft")))

    def drop_draft(self) -> None:
        """The turn goes on, or comes to nothing."""
        self._drafting.drop_unconfirmed()

    def admitted(self, answer: Admitted) -> None:
        """The account has room."""
        if spec := self._wanted.pop(answer.response_id, None):
            self._start(spec, answer.limits)

    def refused(self, answer: Refused) -> None:
        """The account has no room: the response begins and fails."""
        if (spec := self._wanted.pop(answer.response_id, None)) is None:
            return
        if self._drafting.release(spec.id) is not None:
            self._state.command(StopGenerating(spec.id))
        response = self._open(spec)
        self._state.send(RateLimitsUpdated(rate_limits=answer.limits))
        error = ResponseError(type="rate_limit_error", code="rate_limit_exceeded", message=answer.message)
        self._end(response, "failed", error=error)

    # --- running ---

    def on_engine_event(self, event: GenerationEvent) -> None:
        """An engine's output. Whatever names no live response, nor the draft, is stale."""
        if (response := self._live.get(event.response_id)) is None:
            self._drafting.hold(event)
        elif self._pacing is None or self._pacing.response is not response:
            self._take(response, event)
        else:
            if not self._pacing.add(event):
                self._state.command(StopGenerating(response.id))
            self.play()

    def play(self) -> None:
        """Let go of what is due of an answer that is paced."""
        while (pacing := self._pacing) is not None and (event := pacing.next(self._state.now)) is not None:
            self._take(pacing.response, event)

    def pause(self) -> None:
        """Somebody speaks, perhaps to interrupt: nothing more leaves of the answer."""
        if self._pacing is not None:
            self._pacing.paused = True

    def resume(self) -> None:
        """It was nothing: the answer goes on where it was paused."""
        if self._pacing is not None:
            self._pacing.paused = False
            self.play()

    def _take(self, response: LiveResponse, event: GenerationEvent) -> None:
        if isinstance(event, GenerationDone):
            self._done(response, event)
        elif isinstance(event, GenerationFailed):
            error = ResponseError(type="server_error", code=event.code, message=event.message)
            self._end(response, "failed", error=error)
        else:
            self._send_all(response.advance(event, self._state.now))
            if isinstance(event, OutputAudio) and response.spec.conversation_id is not None:
                self._state.has_spoken = True
            if response.exhausted:
                self._state.command(StopGenerating(response.id))
                self._end(response, "incomplete", "max_output_tokens")

    def deadline(self) -> float | None:
        """When the engine of a live response has been silent for too long, or more of a paced answer is due."""
        due = None if self._pacing is None else self._pacing.due()
        for response in self._live.values():
            silent = response.last_sign_at + self._state.setup.engine_silence_seconds
            if (due is None or silent < due) and not self._is_behind(response):
                due = silent
        return due

    def end_silent(self) -> None:
        """Give up on engines that have been silent for too long."""
        seconds = self._state.setup.engine_silence_seconds
        for response in list(self._live.values()):
            if self._state.now - response.last_sign_at >= seconds and not self._is_behind(response):
                message = f"The model said nothing for {seconds:g} seconds."
                error = ResponseError(type="server_error", code="engine_timeout", message=message)
                self._state.command(StopGenerating(response.id))
                self._end(response, "failed", error=error)

    # --- stopping ---

    def cancel(self, response_id: str | None) -> None:
        """`response.cancel`. Raises `RequestError` if there is nothing to cancel.

        Some clients stop an answer with a truncation and then a cancellation. The first did it, so the second is no error.
        """
        target = response_id or self._default_id or self._truncated_id
        if target is not None and target == self._truncated_id:
            self._truncated_id = None
            return
        if target is None or (target not in self._live and target not in self._wanted):
            message = "Cancellation failed: no active response found"
            raise RequestError("response_cancel_not_active", message, "response_id" if response_id else None)
        self._stop(target, "client_cancelled")

    def interrupt(self) -> None:
        """The user speaks: the answer in progress is cut off."""
        if self._default_id is not None:
            self._stop(self._default_id, "turn_detected")

    def stop_speaking_item(self, item_id: str) -> None:
        """The client truncates an item that is still being spoken: the rest of it is not wanted."""
        response = self._live.get(self._default_id or "")
        if response is not None and response.is_open(item_id):
            self._stop(response.id, "client_cancelled")
            self._truncated_id = response.id

    def end_all(self, ending: Ending, reason: Reason | None = None, error: ResponseError | None = None) -> None:
        """The session is over."""
        self.owed = False
        self._drafting.drop()
        self._wanted.clear()
        for response in list(self._live.values()):
            self._state.command(StopGenerating(response.id))
            self._end(response, ending, reason, error)

    # --- steps ---

    def _want(self, spec: ResponseSpec) -> None:
        if spec.conversation_id is not None:
            self._default_id = spec.id
            self.owed = False
            self.played_out_at = None
            self._truncated_id = None
        if self._state.setup.rate_limited:
            self._wanted[spec.id] = spec
            self._state.command(Admit(spec.id, spec.read.total))
        else:
            self._start(spec)

    def _start(self, spec: ResponseSpec, limits: tuple[RateLimit, ...] | None = None) -> None:
        """Ask the engine, or go on with what it was asked for a draft."""
        response = self._open(spec)
        if spec.conversation_id is not None and self._state.confirms_barge_in:
            self._pacing = Pacing(response)
        if limits is not None:
            self._state.send(RateLimitsUpdated(rate_limits=limits))
        held = self._drafting.release(spec.id)
        if held is None:
            self._state.command(spec.generate)
        for event in held or ():
            self.on_engine_event(event)

    def _open(self, spec: ResponseSpec) -> LiveResponse:
        response = LiveResponse(spec, self._state.conversation, self._state.ids, self._state.now)
        self._live[spec.id] = response
        self._state.send(response.created())
        return response

    def _done(self, response: LiveResponse, event: GenerationDone) -> None:
        if event.reason == "completed":
            self._end(response, "completed", usage=event.usage)
        else:
            self._end(response, "incomplete", event.reason, usage=event.usage)

    def _stop(self, response_id: str, reason: Reason) -> None:
        """Cut a response off. One that still waits for the account begins and ends at once."""
        spec = self._wanted.pop(response_id, None)
        if spec is None or self._drafting.release(response_id) is not None:
            self._state.command(StopGenerating(response_id))
        if spec is not None:
            self._open(spec)
        response = self._live[response_id]
        response.note_heard(self._state.now)
        self._end(response, "cancelled", reason)

    def _end(
        self,
        response: LiveResponse,
        ending: Ending,
        reason: Reason | None = None,
        error: ResponseError | None = None,
        usage: Usage | None = None,
    ) -> None:
        """The one way in which responses end."""
        del self._live[response.id]
        self._send_all(response.finish(ending, reason, error, usage))
        if response.id == self._default_id:
            self._default_id = self._pacing = None
            self.played_out_at = response.played_out_at(self._state.now)
        if self._state.setup.rate_limited:
            self._state.command(Spend(response.output_tokens))

    def _is_behind(self, response: LiveResponse) -> bool:
        """The client has not got all that the engine has said."""
        return self._pacing is not None and self._pacing.response is response and self._pacing.behind

    def _send_all(self, events: Iterable[ServerEvent]) -> None:
        for event in events:
            self._state.send(event)

    def _specify(
        self, params: ResponseCreateParams, said: Entry | None = None, *, breaks_silence: bool = False
    ) -> ResponseSpec:
        """A snapshot of the configuration, the conversation and what this response does differently; still without an id.

        With `said`, a turn that is not over, it is only a draft. Raises `RequestError` if no such response may begin.
        """
        config = self._state.answers
        if config is None:
            raise RequestError("invalid_value", "A transcription session creates no responses.", "type")
        out_of_band = self._is_out_of_band(params)
        ask = laid_over(config, params)
        check_tool_choice(ask.tools, ask.tool_choice, "response")
        if not self._state.setup.capabilities.speaks:
            ask = msgspec.structs.replace(ask, output_modalities=("text",))
        output = self._output(config.audio.output, params, out_of_band)
        reading = self._context.read(ask, params, said)
        if said is None:
            self._context.remember(reading)
        metadata = params.metadata or None
        return ResponseSpec(
            generate=generate_command(
                ask, output, reading.items, metadata, unprompted=breaks_silence or bool(params.instructions)
            ),
            conversation_id=None if out_of_band else self._state.conversation_id,
            modalities=ask.output_modalities,
            format=output.format,
            voice=output.voice,
            max_output_tokens=ask.max_output_tokens,
            metadata=metadata,
            temperature=ask.temperature or None,
            read=reading.read,
            cached=reading.cached,
        )

    def _output(self, output: AudioOutput, params: ResponseCreateParams, out_of_band: bool) -> AudioOutput:
        """Format and voice of this response."""
        wish = params.audio.output if params.audio is not UNSET else UNSET
        if wish is UNSET:
            return output
        if wish.format is not UNSET:
            format = known_format(wish.format, "response.audio.output.format")
            output = msgspec.structs.replace(output, format=format)
        if wish.voice is not UNSET and wish.voice != output.voice:
            check_voice(wish.voice, "response.audio.output.voice")
            if self._state.has_spoken and not out_of_band:
                raise voice_is_settled("response.audio.output.voice")
            output = msgspec.structs.replace(output, voice=wish.voice)
        return output

    def _is_out_of_band(self, params: ResponseCreateParams) -> bool:
        where = params.conversation
        if where is UNSET or where is None or where in ("auto", self._state.conversation_id):
            if self._default_id is not None:
                message = (
                    f"Conversation already has an active response in progress: {self._default_id}. "
                    "Wait until the response is finished before creating a new one."
                )
                raise RequestError("conversation_already_has_active_response", message)
            return False
        if where == "none":
            return True
        message = f"Invalid value: '{where}'. Supported values are: 'auto' and 'none'."
        raise RequestError("invalid_value", message, "response.conversation")


def voice_is_settled(param: str) -> RequestError:
    """The error for a new voice after the assistant has spoken with another."""
    message = "Cannot update a conversation's voice if assistant audio is present."
    return RequestError("cannot_update_voice", message, param)
