"""Writes docs/reference/events.md from the code: python tools/events_reference.py > docs/reference/events.md"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from vivavoce.protocol.beta import beta_name
from vivavoce.protocol.client_events import CLIENT_EVENTS
from vivavoce.protocol.server_events import SERVER_EVENTS, ConversationCreated, wire_name

HEAD = """# Events

<!-- Generated: python tools/events_reference.py > docs/reference/events.md -->

Every event of the Realtime API that a WebSocket client can send or get, in both dialects. What each carries is in the
API's own reference; where we differ is said in [differences](differences.md). "—": this dialect has no such event.
A field that has no value is left out or `null` exactly where the hosted API does the same.
"""


def rows(events: Iterable[type[Struct]]) -> Iterable[str]:
    """A table of events, line by line."""
    yield "| GA | beta | what it means |"
    yield "|---|---|---|"
    for event in events:
        ga = "—" if event is ConversationCreated else f"`{wire_name(event)}`"
        beta = beta_name(event)
        same = "the same" if beta == wire_name(event) and ga != "—" else f"`{beta}`" if beta else "—"
        summary = " ".join((event.__doc__ or "").split())
        yield f"| {ga} | {same} | {summary} |"


def page() -> str:
    """The whole page."""
    lines = [HEAD, "## From the client", "", *rows(CLIENT_EVENTS), "", "## From the server", "", *rows(SERVER_EVENTS), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
