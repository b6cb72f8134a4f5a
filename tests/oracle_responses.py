"""The order within responses: created ─▶ [ item ─▶ [ part ─▶ deltas ─▶ part done ] ─▶ item done ]* ─▶ done.

Events come in GA's words, with the response's own fields in either dialect.
"""

from __future__ import annotations

from typing import Any

from tests.oracle_shapes import audio_of
from tests.oracle_words import DialectName, Event, breach, check


class Part:
    """A content part that is open, or was."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.deltas: list[str] = []
        self.audio_done = False
        self.text_done = False
        self.closed = False

    @property
    def text(self) -> str:
        return "".join(self.deltas)


class OutputItem:
    """An item of a response."""

    def __init__(self, item: Event) -> None:
        self.item = item
        self.parts: list[Part] = []
        self.arguments: list[str] = []
        self.arguments_done = False
        self.in_conversation = False
        self.done_in_conversation = False
        self.deleted = False
        self.done: Event | None = None

    @property
    def id(self) -> str:
        return self.item["id"]

    @property
    def open_part(self) -> Part | None:
        return self.parts[-1] if self.parts and not self.parts[-1].closed else None


class LiveResponse:
    """A response in progress."""

    def __init__(self, response: Event) -> None:
        self.id: str = response["id"]
        self.in_conversation = bool(response.get("conversation_id"))
        self.items: list[OutputItem] = []
        output = (response.get("audio") or {}).get("output") or {}
        format = response.get("output_audio_format") or (output.get("format") or {}).get("type")
        self.sample_bytes = 2 if format in ("pcm16", "audio/pcm") else 1


class Responses:
    """All responses of a session."""

    def __init__(self, dialect: DialectName) -> None:
        self._dialect = dialect
        self._live: dict[str, LiveResponse] = {}
        self._done: set[str] = set()

    def see(self, event: Event) -> None:
        name: str = event["type"].removeprefix("response.")
        if name == "created":
            self._created(event)
            return
        response = self._response(event)
        if name == "done":
            self._finish(response, event)
        elif name == "output_item.added":
            self._item_added(response, event)
        elif name == "output_item.done":
            self._item_done(response, event)
        else:
            self._within_item(self._item(response, event), response, name, event)

    def item(self, item_id: str) -> OutputItem | None:
        """The item, if a response that is in progress has it."""
        found = (item for response in self._live.values() for item in response.items if item.id == item_id)
        return next(found, None)

    def response_of(self, item_id: str) -> LiveResponse | None:
        found = (response for response in self._live.values() if any(item.id == item_id for item in response.items))
        return next(found, None)

    def finish(self) -> None:
        check(not self._live, "response-left-open", f"no response.done for {', '.join(self._live)}")

    # --- responses ---

    def _created(self, event: Event) -> None:
        response = event["response"]
        new = response.get("id") and response["id"] not in self._live and response["id"] not in self._done
        check(new, "response-id-unique", "a response needs an id of its own", event)
        begins = response.get("status") == "in_progress" and response.get("output") == []
        check(begins, "response-begins-empty", "status in_progress and output [] expected", event)
        live = LiveResponse(response)
        busy = [other.id for other in self._live.values() if other.in_conversation]
        alone = not (live.in_conversation and busy)
        check(alone, "one-response-at-a-time", f"{live.id} while {busy} is in progress", event)
        self._live[live.id] = live

    def _response(self, event: Event) -> LiveResponse:
        response_id = event.get("response_id") or event["response"].get("id")
        check(response_id not in self._done, "nothing-after-response-done", f"{response_id} is done", event)
        check(response_id in self._live, "response-unknown", f"no response.created for {response_id}", event)
        return self._live[response_id]

    def _finish(self, response: LiveResponse, event: Event) -> None:
        done = event["response"]
        ended = done.get("status") in ("completed", "cancelled", "incomplete", "failed")
        check(ended, "response-ends", f"status {done.get('status')} in response.done", event)
        still_open = [item.id for item in response.items if item.done is None]
        check(not still_open, "item-left-open", f"no output_item.done for {still_open}", event)
        shown, sent = done.get("output"), [item.done for item in response.items]
        check(shown == sent, "output-lists-items", f"output {shown} but the items were {sent}", event)
        if done["status"] == "completed":
            broken = [item.id for item in response.items if item.done and item.done.get("status") != "completed"]
            check(not broken, "item-status", f"completed with items that are not: {broken}", event)
        del self._live[response.id]
        self._done.add(response.id)

    # --- items ---

    def _item_added(self, response: LiveResponse, event: Event) -> None:
        item = event["item"]
        check(event["output_index"] == len(response.items), "output-index", f"not {len(response.items)}", event)
        check(self.item(item["id"]) is None, "item-id-unique", f"{item['id']} exists", event)
        empty = item.get("content", []) == [] and item.get("arguments", "") == "" and item.get("status") == "in_progress"
        check(empty, "item-begins-empty", "an item begins in_progress and empty", event)
        response.items.append(OutputItem(item))

    def _item(self, response: LiveResponse, event: Event) -> OutputItem:
        item = next((item for item in response.items if item.id == event["item_id"]), None)
        if item is None:
            breach("item-unknown", f"no output_item.added for {event['item_id']}", event)
        check(item.done is None, "nothing-after-item-done", f"{item.id} is done", event)
        index = response.items.index(item)
        check(event["output_index"] == index, "output-index", f"{item.id} stands at {index}", event)
        announced = item.in_conversation or not response.in_conversation
        check(announced, "item-added-first", f"{item.id} grows before conversation.item.added", event)
        return item

    def _item_done(self, response: LiveResponse, event: Event) -> None:
        done = event["item"]
        item = self._item(response, event | {"item_id": done["id"]})
        check(item.open_part is None, "part-left-open", f"no content_part.done in {item.id}", event)
        check(done.get("status") in ("completed", "incomplete"), "item-status", f"done as {done.get('status')}", event)
        if done["type"] == "message":
            texts = [part.get("transcript", part.get("text")) for part in done["content"]]
            check(texts == [part.text for part in item.parts], "item-holds-its-parts", f"{texts}", event)
        elif done["type"] == "function_call":
            holds = done["arguments"] == "".join(item.arguments)
            check(holds, "item-holds-its-parts", "arguments are not the deltas, joined", event)
            said = item.arguments_done or done["status"] == "incomplete"
            check(said, "arguments-done", f"no function_call_arguments.done for {item.id}", event)
        if self._dialect == "ga" and item.in_conversation and not item.deleted:
            first = item.done_in_conversation
            check(first, "item-done-order", f"{item.id}: conversation.item.done comes before output_item.done", event)
        item.done = done

    # --- parts ---

    def _within_item(self, item: OutputItem, response: LiveResponse, name: str, event: Event) -> None:
        if name.startswith("function_call_arguments."):
            self._arguments(item, name, event)
        elif name == "content_part.added":
            self._part_added(item, event)
        else:
            part = self._part(item, event)
            if name == "content_part.done":
                self._part_done(part, event)
            else:
                self._within_part(part, response, name, event)

    def _part_added(self, item: OutputItem, event: Event) -> None:
        check(item.open_part is None, "one-part-at-a-time", f"a part of {item.id} is open", event)
        check(event["content_index"] == len(item.parts), "content-index", f"not {len(item.parts)}", event)
        part = event["part"]
        empty = part in ({"type": "audio", "transcript": ""}, {"type": "text", "text": ""})
        check(empty, "part-begins-empty", f"a part begins empty, not as {part}", event)
        item.parts.append(Part(part["type"]))

    def _part(self, item: OutputItem, event: Event) -> Part:
        part = item.open_part
        if part is None:
            breach("outside-part", f"no part of {item.id} is open", event)
        check(event["content_index"] == len(item.parts) - 1, "content-index", f"not {len(item.parts) - 1}", event)
        return part

    def _within_part(self, part: Part, response: LiveResponse, name: str, event: Event) -> None:
        kind = "text" if name.startswith("output_text.") else "audio"
        check(part.kind == kind, "part-kind", f"{name} in a part of {part.kind}", event)
        over = part.audio_done if name.startswith("output_audio.") else part.text_done
        check(not over, "nothing-after-part-done", f"{name} after its done", event)
        if name == "output_audio.delta":
            whole = len(audio_of(event)) % response.sample_bytes == 0
            check(whole, "whole-samples", "an audio delta ends within a sample", event)
        elif name == "output_audio.done":
            part.audio_done = True
        elif name.endswith(".delta"):
            part.deltas.append(event["delta"])
        else:
            self._text_done(part, event)

    def _text_done(self, part: Part, event: Event) -> None:
        text = event.get("transcript", event.get("text"))
        check(text == part.text, "text-joins-deltas", f"{text!r}, but the deltas said {part.text!r}", event)
        first = part.kind == "text" or part.audio_done
        check(first, "part-done-order", "output_audio.done comes before output_audio_transcript.done", event)
        part.text_done = True

    def _part_done(self, part: Part, event: Event) -> None:
        check(part.text_done, "part-done-order", "content_part.done before the done of its text", event)
        shown: dict[str, Any] = event["part"]
        holds = shown.get("type") == part.kind and shown.get("transcript", shown.get("text")) == part.text
        check(holds, "part-holds-its-text", f"{shown}, but the deltas said {part.text!r}", event)
        part.closed = True

    def _arguments(self, item: OutputItem, name: str, event: Event) -> None:
        check(item.item["type"] == "function_call", "part-kind", f"{name} in a {item.item['type']}", event)
        check(event["call_id"] == item.item.get("call_id"), "call-id", f"not {item.item.get('call_id')}", event)
        check(not item.arguments_done, "nothing-after-part-done", f"{name} after its done", event)
        if name.endswith(".delta"):
            item.arguments.append(event["delta"])
            return
        joined = "".join(item.arguments)
        check(event["arguments"] == joined, "text-joins-deltas", f"the deltas said {joined!r}", event)
        named = self._dialect == "beta" or event.get("name") == item.item["name"]
        check(named, "call-name", f"not {item.item['name']}", event)
        check("name" not in event or self._dialect == "ga", "vocabulary", "name came with GA", event)
        item.arguments_done = True
