"""What the model gets to read: the conversation as it was heard, cut to what fits, and what of it is cached."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct

from vivavoce.protocol.client_events import ResponseCreateParams
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import FunctionCall, Item, ItemReference
from vivavoce.session.accounting import Tally, fit, fixed_tally, tally_of
from vivavoce.session.conversation import Entry, entry_of
from vivavoce.session.state import State


class Reading(Struct, frozen=True):
    """A context, and what it costs."""

    items: tuple[Item, ...]
    read: Tally
    cached: Tally
    dropped: frozenset[str]
    """Items that did not fit."""
    fixed_key: object
    """What stands before the items."""


class Context:
    """Builds the context of each response and remembers what the one before had read."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._dropped: set[str] = set()
        """Items that did not fit once. They do not come back: that would lose the model's cache at every turn."""
        self._last_fixed: object = None
        self._last_items: tuple[Item, ...] = ()

    def read(self, config: SessionConfig, params: ResponseCreateParams, said: Entry | None = None) -> Reading:
        """The context of a response: its own `input`, or the conversation and `said`, which is not in it yet.

        Changes nothing: `remember` must follow if the response is made. Raises `RequestError`.
        """
        fixed = fixed_tally(config.instructions, config.tools)
        limit = self._state.setup.capabilities.context_tokens
        dropped: frozenset[str] = frozenset()
        if params.input is UNSET or params.input is None:
            known = [entry.heard() for entry in self._state.conversation if self._readable(entry)]
            known += [said.whole()] if said else []
            items = fit(known, fixed.total, limit, config.truncation)
            dropped = _ids(known) - _ids(items)
        else:
            items = fit(
                [self._given(index, item) for index, item in enumerate(params.input)], fixed.total, limit, "disabled"
            )
        tallies = [tally_of(item) for item in items]
        key = (config.instructions, config.tools)
        cached = self._cached(key, fixed, items, tallies)
        return Reading(items, sum(tallies, fixed), cached, dropped, key)

    def remember(self, reading: Reading) -> None:
        """A response reads this."""
        self._dropped.update(reading.dropped)
        self._last_fixed, self._last_items = reading.fixed_key, reading.items

    def _readable(self, entry: Entry) -> bool:
        """What is still being said, and a call that broke off, would only confuse the model."""
        item = entry.whole()
        if entry.id in self._dropped or item.status == "in_progress":
            return False
        return not (isinstance(item, FunctionCall) and item.status == "incomplete")

    def _given(self, index: int, item: Item | ItemReference) -> Item:
        if isinstance(item, ItemReference):
            if (entry := self._state.conversation.get(item.id)) is None:
                message = f"Item with item_id not found: {item.id}"
                raise RequestError("invalid_value", message, f"response.input[{index}].id")
            return entry.heard()
        given_id = f"input_{index}" if item.id is UNSET else item.id
        return entry_of(msgspec.structs.replace(item, id=given_id), self._state.audio_input.format).whole()

    def _cached(self, fixed_key: object, fixed: Tally, items: tuple[Item, ...], tallies: list[Tally]) -> Tally:
        """As a prefix cache works: all that is the same as last time, from the beginning to the first difference."""
        cached = Tally()
        if fixed_key == self._last_fixed:
            cached = fixed
            for item, before, tally in zip(items, self._last_items, tallies, strict=False):
                if item != before:
                    break
                cached += tally
        return cached


def _ids(items: tuple[Item, ...] | list[Item]) -> frozenset[str]:
    return frozenset(item.id for item in items if item.id is not UNSET)
