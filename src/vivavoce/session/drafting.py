"""Draft responses: an answer is begun before it is sure that the turn is over, and nobody hears of it until it is.

    Lull ─▶ held ─┬─ End, and it answers just what was said ─▶ confirmed ─▶ released: as if the engine had said it all now
                  └─ Resumption, failure, too much held, or anything else than what was said at the End ─▶ dropped

A draft is an ordinary `Generate` whose newest item is the turn as far as it has come. At the end of the turn the response
that would be made without a draft is specified all the same; the draft takes its place if both ask the engine for the same
thing but for the silence at the end of the turn. So nothing has to be invalidated: whatever changed meanwhile, shows.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET

from vivavoce.audio import SAMPLE_HZ, ms_to_samples
from vivavoce.engine_api import (
    FunctionCallArguments,
    Generate,
    GenerationEvent,
    GenerationFailed,
    OutputAudio,
    OutputText,
    OutputTranscript,
    StopGenerating,
)
from vivavoce.protocol.objects import InputAudioPart, Item, Message
from vivavoce.session.specification import ResponseSpec
from vivavoce.session.state import State

MOST_DRAFTS: Final = 3
"""Drafts in one turn: each that is dropped costs a recognition."""
MOST_DRAFTED_SAMPLES: Final = ms_to_samples(15_000)
"""A longer turn is not drafted: if it went on, all of it would have to be recognised again."""
MOST_HELD_BYTES: Final = 60 * SAMPLE_HZ * 2
"""60 s of speech. A draft of which more has to be held is dropped."""
EVENT_BYTES: Final = 100
"""What holding an event costs beside what it says."""


class _Draft:
    """A response that nobody has heard of."""

    def __init__(self, generate: Generate) -> None:
        self.generate = generate
        self.confirmed = False
        self.held: list[GenerationEvent] = []
        self.held_bytes = 0


class Drafting:
    """The one draft that a session may have."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._draft: _Draft | None = None

    def begin(self, spec: ResponseSpec) -> None:
        """Ask the engine."""
        self._draft = _Draft(spec.generate)
        self._state.command(spec.generate)

    def hold(self, event: GenerationEvent) -> None:
        """An engine's output that names no live response: kept if it is the draft's, else stale."""
        draft = self._draft
        if draft is None or event.response_id != draft.generate.response_id:
            return
        if isinstance(event, GenerationFailed) and not draft.confirmed:
            self._draft = None
            return
        draft.held.append(event)
        draft.held_bytes += EVENT_BYTES + _size_of(event)
        if draft.held_bytes > MOST_HELD_BYTES and not draft.confirmed:
            self.drop()

    def confirm(self, spec: ResponseSpec) -> str | None:
        """The turn is over and this is the response to make. The draft's id if it is that response; else it is dropped."""
        draft = self._draft
        if draft is None or not _same(draft.generate, spec.generate):
            self.drop()
            return None
        draft.confirmed = True
        return draft.generate.response_id

    def release(self, response_id: str) -> list[GenerationEvent] | None:
        """The response of this id begins: what the engine said of it so far. `None` if it is no draft."""
        draft = self._draft
        if draft is None or draft.generate.response_id != response_id:
            return None
        self._draft = None
        return draft.held

    def drop_unconfirmed(self) -> None:
        """Nothing will come of the draft, unless it only waits for the account's word."""
        if self._draft is not None and not self._draft.confirmed:
            self.drop()

    def drop(self) -> None:
        """Nothing comes of the draft, if there is one."""
        if self._draft is not None:
            self._state.command(StopGenerating(self._draft.generate.response_id))
            self._draft = None


def _size_of(event: GenerationEvent) -> int:
    match event:
        case OutputAudio(pcm=pcm):
            return len(pcm)
        case OutputText(text=text) | OutputTranscript(text=text) | FunctionCallArguments(delta=text):
            return len(text)
    return 0


def _same(draft: Generate, due: Generate) -> bool:
    """Both ask for the same, but for their ids and for what came after the drafted audio."""
    if len(draft.items) != len(due.items) or not draft.items:
        return False
    if draft.items[:-1] != due.items[:-1] or not _begins(draft.items[-1], due.items[-1]):
        return False
    return _bare(draft) == _bare(due)


def _bare(generate: Generate) -> Generate:
    return msgspec.structs.replace(generate, response_id="", items=())


def _begins(drafted: Item, said: Item) -> bool:
    """The same item, whose recording goes on."""
    before, after = _audio(drafted), _audio(said)
    return before is not None and after is not None and after.startswith(before) and _silent(drafted) == _silent(said)


def _audio(item: Item) -> bytes | None:
    """The recording of a spoken turn."""
    if isinstance(item, Message) and len(item.content) == 1 and isinstance(part := item.content[0], InputAudioPart):
        return None if part.audio is UNSET else part.audio
    return None


def _silent(item: Any) -> Any:
    return msgspec.structs.replace(item, content=(msgspec.structs.replace(item.content[0], audio=UNSET),))
