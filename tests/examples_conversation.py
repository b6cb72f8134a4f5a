"""A correct conversation, event by event, in either dialect: what the oracle lets pass and `test_oracle` breaks."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tests.examples import SESSION, USAGE, response
from vivavoce.protocol import objects as o
from vivavoce.protocol import server_events as s
from vivavoce.protocol.codec import Dialect

Event = dict[str, Any]


def spoken_response(response_id: str, item_id: str, after: str, conversation_id: Any = "conv_1") -> list[s.ServerEventBase]:
    item = o.Message(id=item_id, status="in_progress", role="assistant", content=())
    whole = msgspec.structs.replace(item, status="completed", content=(o.OutputAudioPart("Hello there"),))
    place: Any = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    live = response(id=response_id, conversation_id=conversation_id)
    done = msgspec.structs.replace(live, status="completed", output=(whole,), usage=USAGE)
    events: list[s.ServerEventBase | None] = [
        s.ResponseCreated(response=live),
        s.ResponseOutputItemAdded(response_id=response_id, output_index=0, item=item),
        s.ConversationItemAdded(previous_item_id=after, item=item) if conversation_id else None,
        s.ResponseContentPartAdded(**place, part=o.SpokenPart()),
        s.ResponseOutputAudioTranscriptDelta(**place, delta="Hello"),
        s.ResponseOutputAudioDelta(**place, delta=bytes(480)),
        s.ResponseOutputAudioTranscriptDelta(**place, delta=" there"),
        s.ResponseOutputAudioDone(**place),
        s.ResponseOutputAudioTranscriptDone(**place, transcript="Hello there"),
        s.ResponseContentPartDone(**place, part=o.SpokenPart("Hello there")),
        s.ConversationItemDone(previous_item_id=after, item=whole) if conversation_id else None,
        s.ResponseOutputItemDone(response_id=response_id, output_index=0, item=whole),
        s.ResponseDone(response=done),
    ]
    return [event for event in events if event is not None]


def calling_response() -> list[s.ServerEventBase]:
    call = o.FunctionCall(id="item_4", status="in_progress", call_id="call_1", name="get_weather", arguments="")
    whole = msgspec.structs.replace(call, status="completed", arguments='{"city":"Rome"}')
    place: Any = {"response_id": "resp_2", "item_id": "item_4", "output_index": 0, "call_id": "call_1"}
    return [
        s.ResponseCreated(response=response(id="resp_2")),
        s.ResponseOutputItemAdded(response_id="resp_2", output_index=0, item=call),
        s.ConversationItemAdded(previous_item_id="item_3", item=call),
        s.ResponseFunctionCallArgumentsDelta(**place, delta='{"city"'),
        s.ResponseFunctionCallArgumentsDelta(**place, delta=':"Rome"}'),
        s.ResponseFunctionCallArgumentsDone(**place, name="get_weather", arguments='{"city":"Rome"}'),
        s.ConversationItemDone(previous_item_id="item_3", item=whole),
        s.ResponseOutputItemDone(response_id="resp_2", output_index=0, item=whole),
        s.ResponseDone(response=response(id="resp_2", status="completed", output=(whole,), usage=USAGE)),
    ]


def conversation() -> list[tuple[str, Any]]:
    """Who said what: an update, text, a spoken turn, an answer, a call, an answer out of band, an error."""
    typed = o.Message(id="item_1", status="completed", role="user", content=(o.InputTextPart("Hi"),))
    heard = o.Message(id="item_2", status="completed", role="user", content=(o.InputAudioPart(),))
    update = {"type": "session.update", "session": {"instructions": "Be kind."}}
    create = {"type": "conversation.item.create", "item": {"type": "message", "id": "item_1"}}
    bad = {"type": "response.cancel", "event_id": "mine_1"}
    error = o.ErrorDetails(type="invalid_request_error", code="response_cancel_not_active", message="No.", event_id="mine_1")
    limits = (o.RateLimit("requests", 9, 8, 1.0),)
    said: list[Any] = [
        s.SessionCreated(session=SESSION),
        s.ConversationCreated(conversation=o.Conversation(id="conv_1")),
        update,
        s.SessionUpdated(session=SESSION),
        create,
        s.ConversationItemAdded(previous_item_id=None, item=typed),
        s.ConversationItemDone(previous_item_id=None, item=typed),
        s.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="item_2"),
        s.InputAudioBufferSpeechStopped(audio_end_ms=900, item_id="item_2"),
        s.InputAudioBufferCommitted(previous_item_id="item_1", item_id="item_2"),
        s.ConversationItemAdded(previous_item_id="item_1", item=heard),
        s.ConversationItemDone(previous_item_id="item_1", item=heard),
        s.InputAudioTranscriptionDelta(item_id="item_2", delta="Hel"),
        s.InputAudioTranscriptionDelta(item_id="item_2", delta="lo"),
        s.InputAudioTranscriptionCompleted(item_id="item_2", transcript="Hello", usage=o.DurationUsage(seconds=0.9)),
        *spoken_response("resp_1", "item_3", "item_2"),
        s.RateLimitsUpdated(rate_limits=limits),
        *calling_response(),
        *spoken_response("resp_3", "item_5", "", conversation_id=msgspec.UNSET),
        bad,
        s.Error(error=error),
        s.ConversationItemTruncated(item_id="item_3", content_index=0, audio_end_ms=100),
        s.ConversationItemDeleted(item_id="item_3"),
    ]
    return [("client", event) if isinstance(event, dict) else ("server", event) for event in said]


def script(dialect: Dialect) -> list[tuple[str, Event]]:
    """The conversation as JSON, in a dialect."""
    lines: list[tuple[str, Event]] = []
    for number, (who, event) in enumerate(conversation()):
        if who == "server":
            frame = dialect.encode(msgspec.structs.replace(event, event_id=f"event_{number}"))
            event = json.loads(frame) if frame else None
        if event is not None:
            lines.append((who, event))
    return lines
