"""Slow tools, an operator's option: what a function returns while the floor is taken is spoken when it is free.

    function_call_output, while a response runs or somebody speaks ─▶ owed ─▶ a response, when neither does

The API has the client wait: `response.create` while a response runs is an error, and one while the user speaks talks over
them. With `Setup.speak_late_outputs` the server waits instead. The `response.create` that clients send after an output is
taken to be for it, so that it leads to no second answer and to no error; what it asks for (instructions, say) is kept for
the answer. One that reads an `input` of its own is not for the output.
"""

from __future__ import annotations

from msgspec import UNSET

from vivavoce.protocol.client_events import ResponseCreateParams
from vivavoce.protocol.objects import FunctionCallOutput, Item
from vivavoce.session.answering import NOTHING, Answering
from vivavoce.session.state import State


class LateOutputs:
    """The outputs of functions that are owed an answer."""

    def __init__(self, state: State, answering: Answering) -> None:
        self._state = state
        self._answering = answering
        self._owed = False
        self._wishes = NOTHING
        """What the client asked for the answer to be."""
        self._answer_id: str | None = None
        """The response that answers them, until a `response.create` has been taken for it."""

    def note(self, item: Item, *, speaking: bool) -> None:
        """The client has created an item."""
        waits = self._state.setup.speak_late_outputs and self._state.answers is not None
        if waits and isinstance(item, FunctionCallOutput) and (speaking or self._answering.busy):
            self._owed = True
            self._answering.owe()

    def take(self, params: ResponseCreateParams) -> bool:
        """Whether this `response.create` is for an output that will be answered, or is being answered, anyway."""
        of_its_own = params.input is not UNSET and params.input is not None
        if of_its_own or params.conversation not in (UNSET, None, "auto", self._state.conversation_id):
            return False
        if self._owed:
            self._wishes = params
            return True
        taken = self._answer_id is not None and self._answer_id == self._answering.default_id
        self._answer_id = None
        return taken

    def begin(self) -> ResponseCreateParams:
        """What is owed is answered now: what the answer shall be."""
        wishes, self._wishes = self._wishes, NOTHING
        return wishes

    def begun(self) -> None:
        """It was, or could not be."""
        self._answer_id = self._answering.default_id if self._owed else None
        self._owed = False
