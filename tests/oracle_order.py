"""The order of a session: who comes first, which item stands where, who is speaking, who waits for a transcript."""

from __future__ import annotations

from typing import Any

from tests.oracle_responses import Responses
from tests.oracle_words import DialectName, Event, breach, check


class Order:
    """A model of one session. Server events come in GA's words, client events as they were sent."""

    def __init__(self, dialect: DialectName) -> None:
        self._dialect = dialect
        self._responses = Responses(dialect)
        self._items: list[str] = []
        self._seen_items: dict[str, Event] = {}
        """Every item ever added: the event that added it."""
        self._open_items: set[str] = set()
        self._committed: dict[str, Event] = {}
        """Committed, and not yet added."""
        self._speaking: Event | None = None
        self._heard_until_ms = 0
        self._timed_out: str | None = None
        """The item of a time-out: its commit comes next."""
        self._transcripts: dict[str, list[str] | None] = {}
        """Deltas by item; None once the transcript is done."""
        self._events = 0
        self._client_spoke = False
        self._client_ids: set[str] = set()
        self._updates = 0
        self._root_creates = 0
        self._audio_creates = 0
        self._transcription_keys: set[str] = {"model", "language", "prompt"}

    # --- the client ---

    def client(self, event: Any) -> None:
        """Remember what the server will answer to. Never complains: clients may send anything."""
        self._client_spoke = True
        if not isinstance(event, dict):
            return
        if isinstance(event.get("event_id"), str):
            self._client_ids.add(event["event_id"])
        name = event.get("type")
        if name in ("session.update", "transcription_session.update"):
            self._updates += 1
            self._note_transcription(event.get("session"))
        elif name == "conversation.item.create":
            self._root_creates += event.get("previous_item_id") == "root"
            self._audio_creates += "audio" in str(event.get("item"))

    def _note_transcription(self, value: Any) -> None:
        """Every key that the client ever set below a `transcription`."""
        if isinstance(value, dict):
            for key, member in value.items():
                if key.endswith("transcription") and isinstance(member, dict):
                    self._transcription_keys |= member.keys()
                self._note_transcription(member)

    # --- the server ---

    def server(self, event: Event) -> None:
        name: str = event["type"]
        self._events += 1
        self._check_beginning(name, event)
        if self._timed_out is not None:
            next_one = name == "input_audio_buffer.committed" and event["item_id"] == self._timed_out
            check(next_one, "timeout-commits", f"the silence {self._timed_out} must be committed first", event)
            self._timed_out = None
        if name.startswith("response."):
            self._responses.see(event)
        elif "input_audio_transcription" in name:
            self._transcription(event)
        elif known := _RULES.get(name):
            known(self, event)

    def finish(self) -> None:
        """Nothing is left open."""
        self._responses.finish()
        check(not self._open_items, "item-left-open", f"no conversation.item.done for {sorted(self._open_items)}")
        check(not self._committed, "commit-adds-item", f"committed but never added: {sorted(self._committed)}")
        check(self._timed_out is None, "timeout-commits", f"nothing came of the time-out {self._timed_out}")
        check(self._speaking is None, "speech-left-open", f"no speech_stopped for {self._speaking}")

    def _check_beginning(self, name: str, event: Event) -> None:
        first = self._events == 1
        check((name == "session.created") == first, "session-created-first", f"event {self._events} is {name}", event)
        if self._dialect == "beta":
            if first:
                self._wants_conversation = "modalities" in event["session"]
            second = self._events == 2 and name == "conversation.created"
            right = second or not self._wants_conversation if self._events == 2 else name != "conversation.created"
            check(right, "conversation-created-second", f"event {self._events} is {name}", event)

    def _session_created(self, event: Event) -> None:
        session = event["session"]
        nested = ((session.get("audio") or {}).get("input") or {}).get("transcription")
        shown = nested or session.get("input_audio_transcription") or {}
        extra = shown.keys() - self._transcription_keys
        check(not extra or not self._client_spoke, "transcription-keys", f"nobody asked for {sorted(extra)}", event)

    def _session_updated(self, event: Event) -> None:
        self._updates -= 1
        check(self._updates >= 0 or not self._client_spoke, "update-answers", "session.updated without an update", event)
        self._session_created(event)

    def _error(self, event: Event) -> None:
        named = event["error"]["event_id"]
        known = named is None or named in self._client_ids or not self._client_spoke
        check(known, "error-names-event", f"the client sent no event {named}", event)

    # --- items ---

    def _item_added(self, event: Event) -> None:
        item, previous = event["item"], event.get("previous_item_id")
        check(item["id"] not in self._items, "item-added-once", f"{item['id']} is in the conversation", event)
        self._check_origin(item, event)
        if previous is None:
            fits = not self._items or not self._client_spoke or self._root_creates > 0
            check(fits, "previous-item", f"null, but the conversation begins with {self._items[:1]}", event)
            self._root_creates -= bool(self._items)
            self._items.insert(0, item["id"])
        else:
            check(previous in self._items, "previous-item", f"{previous} is no item of the conversation", event)
            self._items.insert(self._items.index(previous) + 1, item["id"])
        self._seen_items[item["id"]] = event
        if self._dialect == "ga":
            self._open_items.add(item["id"])

    def _check_origin(self, item: Event, event: Event) -> None:
        """Where an item may come from: a response, a commit, or the client."""
        output = self._responses.item(item["id"])
        if output is not None and not output.deleted:  # a client may give the id of a deleted item to a new one
            response = self._responses.response_of(item["id"])
            inside = response is not None and response.in_conversation
            check(inside, "out-of-band", f"{item['id']} belongs to a response outside the conversation", event)
            check(item == output.item, "item-as-announced", "differs from output_item.added", event)
            output.in_conversation = True
            return
        announced = item.get("status") != "in_progress"
        check(announced, "item-of-response", f"{item['id']} is in progress, but no response announced it", event)
        commit = self._committed.pop(item["id"], None)
        if commit is not None:
            same = commit.get("previous_item_id") == event.get("previous_item_id")
            check(same, "commit-adds-item", "previous_item_id differs from the commit's", event)
        elif any(part.get("type") == "input_audio" for part in item.get("content") or ()):
            sent = not self._client_spoke or self._audio_creates > 0
            check(sent, "commit-before-item", f"nobody committed or sent {item['id']}", event)
            self._audio_creates -= 1

    def _item_done(self, event: Event) -> None:
        item, previous = event["item"], event.get("previous_item_id")
        check(item["id"] in self._open_items, "item-done-once", f"{item['id']} is not open", event)
        check(item.get("status") != "in_progress", "item-status", "done, but in_progress", event)
        place = self._items.index(item["id"])
        right = previous == (self._items[place - 1] if place else None)
        check(right, "previous-item", f"{previous}, but the conversation is {self._items}", event)
        self._open_items.remove(item["id"])
        if (output := self._responses.item(item["id"])) and not output.deleted:
            output.done_in_conversation = True

    def _item_deleted(self, event: Event) -> None:
        item_id = event["item_id"]
        check(item_id in self._items, "item-unknown", f"{item_id} is no item of the conversation", event)
        self._items.remove(item_id)
        self._open_items.discard(item_id)
        if output := self._responses.item(item_id):
            output.deleted = True

    def _item_named(self, event: Event) -> None:
        item_id = event["item"]["id"] if "item" in event else event["item_id"]
        check(item_id in self._items, "item-unknown", f"{item_id} is no item of the conversation", event)

    # --- speech ---

    def _speech_started(self, event: Event) -> None:
        check(self._speaking is None, "speech-alternates", "speech_started twice", event)
        new = event["item_id"] not in self._seen_items
        check(new, "item-id-unique", f"{event['item_id']} exists", event)
        late = event["audio_start_ms"] >= self._heard_until_ms
        check(late, "speech-times", f"speech until {self._heard_until_ms} ms was heard before", event)
        self._speaking = event

    def _speech_stopped(self, event: Event) -> None:
        if self._speaking is None:
            breach("speech-alternates", "speech_stopped without speech_started", event)
        same = event["item_id"] == self._speaking["item_id"]
        check(same, "speech-item", f"speech_started named {self._speaking['item_id']}", event)
        forward = event["audio_end_ms"] >= self._speaking["audio_start_ms"]
        check(forward, "speech-times", f"started at {self._speaking['audio_start_ms']} ms", event)
        self._heard_until_ms = event["audio_end_ms"]
        self._speaking = None

    def _timeout_triggered(self, event: Event) -> None:
        check(self._speaking is None, "speech-alternates", "a time-out while somebody speaks", event)
        forward = self._heard_until_ms <= event["audio_start_ms"] <= event["audio_end_ms"]
        check(forward, "speech-times", f"speech until {self._heard_until_ms} ms was heard before", event)
        self._heard_until_ms = event["audio_end_ms"]
        self._timed_out = event["item_id"]

    def _committed_audio(self, event: Event) -> None:
        item_id, previous = event["item_id"], event.get("previous_item_id")
        new = item_id not in self._seen_items and item_id not in self._committed
        check(new, "item-id-unique", f"{item_id} exists", event)
        last = self._items[-1] if self._items else None
        check(previous == last, "previous-item", f"{previous}, but the last item is {last}", event)
        self._committed[item_id] = event

    # --- transcripts of the user ---

    def _transcription(self, event: Event) -> None:
        item_id = event["item_id"]
        known = item_id in self._seen_items or item_id in self._committed
        check(known, "item-unknown", f"{item_id} was neither committed nor added", event)
        deltas = self._transcripts.setdefault(item_id, [])
        if deltas is None:
            breach("nothing-after-transcript", f"the transcript of {item_id} is done", event)
        if event["type"].endswith(".delta"):
            deltas.append(event.get("delta", ""))
        elif event["type"].endswith((".completed", ".failed")):
            joined = "".join(deltas)
            same = "transcript" not in event or not deltas or event["transcript"] == joined
            check(same, "text-joins-deltas", f"the deltas said {joined!r}", event)
            self._transcripts[item_id] = None


_RULES = {
    "session.created": Order._session_created,
    "session.updated": Order._session_updated,
    "error": Order._error,
    "conversation.item.added": Order._item_added,
    "conversation.item.done": Order._item_done,
    "conversation.item.deleted": Order._item_deleted,
    "conversation.item.truncated": Order._item_named,
    "conversation.item.retrieved": Order._item_named,
    "input_audio_buffer.speech_started": Order._speech_started,
    "input_audio_buffer.speech_stopped": Order._speech_stopped,
    "input_audio_buffer.timeout_triggered": Order._timeout_triggered,
    "input_audio_buffer.committed": Order._committed_audio,
}
