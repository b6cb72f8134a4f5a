"""The judge of every event that we send.

    oracle = Oracle("ga")
    oracle.saw_client(frame)     # what the client sent, valid or not: remembered, never judged
    oracle.saw_server(frame)     # what the server sent: raises Breach, an AssertionError that names the rule
    oracle.finish()              # nothing may be left open

It knows nothing of our code: its sources are the public JSON schema, the types of the official SDK, and the contract.
A server event is judged on its own (`oracle_shapes`) and then in its place (`oracle_order`, `oracle_responses`).
If `saw_client` is never called, rules that depend on the client's wishes are not applied.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from tests.oracle_order import Order
from tests.oracle_shapes import check_shape
from tests.oracle_words import Breach, DialectName, Event, breach, check, check_vocabulary, in_ga_words

MAX_FRAME_BYTES: Final = 2**20
_EVENT_ID: Final = re.compile(r'"event_id"\s*:\s*"([^"\\]*)"')

__all__ = ["Breach", "Oracle"]


class Oracle:
    """One connection's judge. `events` is all that the server said so far, in its own dialect."""

    def __init__(self, dialect: DialectName) -> None:
        self.dialect = dialect
        self.events: list[Event] = []
        self._order = Order(dialect)
        self._event_ids: set[str] = set()

    def saw_client(self, frame: str | bytes) -> None:
        """The client sent this."""
        try:
            self._order.client(json.loads(frame))
        except (ValueError, RecursionError):
            for event_id in _EVENT_ID.findall(frame if isinstance(frame, str) else frame.decode(errors="replace")):
                self._order.client({"event_id": event_id})  # the server may have read this much of it
            self._order.client(None)

    def saw_server(self, frame: str | bytes) -> Event:
        """The server sent this text frame. Returns the event; raises `Breach`."""
        text = frame.encode() if isinstance(frame, str) else frame
        check(len(text) < MAX_FRAME_BYTES, "frame-size", f"{len(text)} bytes: {text[:80]!r}…")
        event = self._parsed(text)
        self._check_event_id(event)
        check_vocabulary(event, self.dialect)
        check_shape(event, self.dialect)
        self._order.server(in_ga_words(event, self.dialect))
        self.events.append(event)
        return event

    def finish(self) -> None:
        """The conversation came to rest: nothing is open."""
        check(self.events, "session-created-first", "the server said nothing")
        self._order.finish()

    def _parsed(self, text: bytes) -> Event:
        try:
            event: Any = msgspec.json.decode(text)
        except (ValueError, RecursionError) as error:
            breach("json", f"{error}: {text[:80]!r}")
        check(isinstance(event, dict) and isinstance(event.get("type"), str), "json", f"no event: {text[:80]!r}")
        return event

    def _check_event_id(self, event: Event) -> None:
        event_id = event.get("event_id")
        check(isinstance(event_id, str) and event_id, "event-id", "every event has an event_id", event)
        check(event_id not in self._event_ids, "event-id-unique", f"{event_id} was used before", event)
        self._event_ids.add(event_id)
