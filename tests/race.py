"""A session in the middle of things: step by step, so that a test can come between any two of them."""

from __future__ import annotations

from typing import Any

from tests.transcript import Scene
from vivavoce.audio import ms_to_samples
from vivavoce.engine_api import EngineEvent, Generate, GenerationDone, Mark, OutputAudio, OutputTranscript
from vivavoce.session.boundary import Close

AUDIO_MS = 400
"""How much each chunk of the answer sounds."""
WORDS = ("One", " two", " three.")
TOTAL_MS = AUDIO_MS * len(WORDS)


class Live(Scene):
    """A session, the client that sends, and the engine that answers. Step by step, so that somebody may come between."""

    def __init__(self, dialect: str) -> None:
        super().__init__(dialect)
        self.said: list[dict[str, Any]] = []
        """All that the server said."""
        self._count = 0
        self.heard()

    def send(self, type: str, **fields: Any) -> list[dict[str, Any]]:
        """A client event, and what the server says to it."""
        self._count += 1
        self.client({"type": type, "event_id": f"client_{self._count}", **fields})
        return self.heard()

    def engine(self, *events: EngineEvent) -> list[dict[str, Any]]:
        """The engine goes on; what the server says."""
        for event in events:
            self.give(event)
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        """What the server said since the last look."""
        said, self.events = self.events, []
        self.said += said
        return said

    def error(self, said: list[dict[str, Any]]) -> dict[str, Any]:
        """The one error in `said`. It names the client's last event."""
        (event,) = [event for event in said if event["type"] == "error"]
        assert event["error"]["event_id"] == f"client_{self._count}"
        return event["error"]

    @property
    def response_id(self) -> str:
        """The newest response."""
        return next(c.response_id for c in reversed(self.commands) if isinstance(c, Generate))

    @property
    def item_ids(self) -> list[str]:
        """Every item that the server announced and nobody deleted."""
        added = [e["item"]["id"] for e in self.said if e["type"] in ("conversation.item.added", "conversation.item.created")]
        deleted = [event["item_id"] for event in self.said if event["type"] == "conversation.item.deleted"]
        return [item_id for item_id in added if item_id not in deleted]

    def check_nothing_lost(self, *, busy: bool = False) -> None:
        """The session lives on and knows what it knew."""
        assert not [command for command in self.commands if isinstance(command, Close)]
        for item_id in self.item_ids:
            assert [event["type"] for event in self.send("conversation.item.retrieve", item_id=item_id)][-1] == (
                "conversation.item.retrieved"
            )
        if busy:
            self.engine(GenerationDone(self.response_id))
        self.send("response.create")
        assert self.engine(*answer(self.response_id))[-1]["response"]["status"] == "completed"
        self.oracle.finish()


def answer(response_id: str) -> list[EngineEvent]:
    """A spoken answer, in the steps in which an engine gives it."""
    events: list[EngineEvent] = []
    characters = 0
    for n, word in enumerate(WORDS, 1):
        characters += len(word)
        events.append(OutputTranscript(response_id, word))
        events.append(OutputAudio(response_id, bytes(AUDIO_MS * 48)))
        events.append(OutputTranscript(response_id, "", (Mark(characters, ms_to_samples(AUDIO_MS * n)),)))
    return [*events, GenerationDone(response_id)]
