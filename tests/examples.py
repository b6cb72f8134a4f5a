"""One example of every server event, and the schema's own examples of what clients say."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.oracle_shapes import SPEC
from vivavoce.protocol import objects as o
from vivavoce.protocol import server_events as s
from vivavoce.protocol.config import (
    Audio,
    AudioInput,
    AudioOutput,
    RealtimeSession,
    RetentionRatio,
    SemanticVad,
    ServerVad,
    TokenLimits,
    Transcription,
    TranscriptionAudio,
    TranscriptionSession,
)

TOOL = o.FunctionTool(name="get_weather", description="Weather of a city.", parameters={"type": "object", "properties": {}})
SESSION = RealtimeSession(id="sess_1", expires_at=1_800_000_000, model="gpt-realtime")
RICH_SESSION = RealtimeSession(
    id="sess_1",
    expires_at=1_800_000_000,
    model="own-model",
    instructions="Speak softly.",
    output_modalities=("text",),
    audio=Audio(
        AudioInput(o.PCMU, Transcription(model="whisper-1", language="en"), None, SemanticVad(eagerness="low")),
        AudioOutput(o.PCMA, {"id": "voice_1234"}, 1.2),
    ),
    tools=(TOOL,),
    tool_choice=o.FunctionChoice(name="get_weather"),
    max_output_tokens=300,
    truncation=RetentionRatio(0.8, token_limits=TokenLimits(5000)),
    include=("item.input_audio_transcription.logprobs",),
    tracing="auto",
    parallel_tool_calls=True,
    reasoning={"effort": "low"},
    temperature=0.7,
)
TRANSCRIPTION_SESSION = TranscriptionSession(
    id="sess_1",
    expires_at=1_800_000_000,
    audio=TranscriptionAudio(AudioInput(transcription=Transcription(model="whisper-1"), turn_detection=ServerVad())),
)

USER = o.Message(id="item_1", status="completed", role="user", content=(o.InputAudioPart(),))
ANSWER = o.Message(id="item_2", status="completed", role="assistant", content=(o.OutputAudioPart("Hello there"),))
WRITTEN = o.Message(id="item_2", status="incomplete", role="assistant", content=(o.OutputTextPart("Hel"),))
CALL = o.FunctionCall(id="item_3", status="completed", call_id="call_1", name="get_weather", arguments='{"city":"Rome"}')
USAGE = o.Usage(30, 20, 10, o.InputTokens(8, 12, 0, 4, o.CachedTokens(4)), o.OutputTokens(4, 6))


def response(**changes: Any) -> o.Response:
    fields: dict[str, Any] = {
        "id": "resp_1",
        "conversation_id": "conv_1",
        "status": "in_progress",
        "output_modalities": ("audio",),
        "audio": o.ResponseAudio(o.ResponseAudioOutput(o.PCM, "alloy")),
        "max_output_tokens": "inf",
    }
    return o.Response(**fields | changes)


_PLACE: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
_CALL: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_3", "output_index": 1, "call_id": "call_1"}
_LOGPROBS = (o.LogProb("Hi", -0.1, (72, 105)),)

SERVER_EXAMPLES: tuple[s.ServerEventBase, ...] = (
    s.SessionCreated(session=SESSION),
    s.SessionCreated(session=TRANSCRIPTION_SESSION),
    s.SessionUpdated(session=RICH_SESSION),
    s.SessionUpdated(session=TRANSCRIPTION_SESSION),
    s.ConversationCreated(conversation=o.Conversation(id="conv_1")),
    s.InputAudioBufferCommitted(previous_item_id=None, item_id="item_1"),
    s.InputAudioBufferCleared(),
    s.InputAudioBufferSpeechStarted(audio_start_ms=100, item_id="item_1"),
    s.InputAudioBufferSpeechStopped(audio_end_ms=1900, item_id="item_1"),
    s.InputAudioBufferTimeoutTriggered(audio_start_ms=0, audio_end_ms=6000, item_id="item_1"),
    s.ConversationItemAdded(previous_item_id=None, item=USER),
    s.ConversationItemAdded(previous_item_id="item_2", item=CALL),
    s.ConversationItemDone(previous_item_id="item_1", item=ANSWER),
    s.ConversationItemRetrieved(
        item=o.Message(id="item_1", role="user", content=(o.InputAudioPart(audio=bytes(320), transcript="hi"),))
    ),
    s.ConversationItemTruncated(item_id="item_2", content_index=0, audio_end_ms=500),
    s.ConversationItemDeleted(item_id="item_2"),
    s.InputAudioTranscriptionDelta(item_id="item_1", delta="Hi", logprobs=_LOGPROBS),
    s.InputAudioTranscriptionCompleted(item_id="item_1", transcript="Hi", usage=o.DurationUsage(seconds=1.5)),
    s.InputAudioTranscriptionFailed(
        item_id="item_1", error=o.TranscriptionError(type="transcription_error", code="engine_timeout", message="Too slow.")
    ),
    s.InputAudioTranscriptionSegment(item_id="item_1", text="Hi", id="seg_1", speaker="A", start=0.0, end=1.0),
    s.ResponseCreated(response=response(metadata={"topic": "greeting"})),
    s.ResponseDone(response=response(status="completed", output=(ANSWER, CALL), usage=USAGE)),
    s.ResponseDone(
        response=response(
            status="cancelled",
            status_details=o.StatusDetails(type="cancelled", reason="turn_detected"),
            output=(WRITTEN,),
            temperature=0.7,
        )
    ),
    s.ResponseDone(
        response=response(
            status="failed",
            status_details=o.StatusDetails(type="failed", error=o.ResponseError("server_error", "engine_timeout", "Slow.")),
        )
    ),
    s.ResponseOutputItemAdded(response_id="resp_1", output_index=0, item=ANSWER),
    s.ResponseOutputItemDone(response_id="resp_1", output_index=0, item=ANSWER),
    s.ResponseContentPartAdded(**_PLACE, part=o.SpokenPart()),
    s.ResponseContentPartDone(**_PLACE, part=o.WrittenPart("Hello")),
    s.ResponseOutputTextDelta(**_PLACE, delta="Hel"),
    s.ResponseOutputTextDone(**_PLACE, text="Hello"),
    s.ResponseOutputAudioTranscriptDelta(**_PLACE, delta="Hel"),
    s.ResponseOutputAudioTranscriptDone(**_PLACE, transcript="Hello"),
    s.ResponseOutputAudioDelta(**_PLACE, delta=bytes(range(256))),
    s.ResponseOutputAudioDone(**_PLACE),
    s.ResponseFunctionCallArgumentsDelta(**_CALL, delta='{"city"'),
    s.ResponseFunctionCallArgumentsDone(**_CALL, name="get_weather", arguments='{"city":"Rome"}'),
    s.RateLimitsUpdated(rate_limits=(o.RateLimit("requests", 100, 99, 0.6), o.RateLimit("tokens", 4000, 3990, 0.1))),
    s.Error(
        error=o.ErrorDetails(
            type="invalid_request_error",
            code="invalid_value",
            message="Invalid 'session.audio.output.speed': decimal above maximum value.",
            param="session.audio.output.speed",
            event_id="mine_1",
        )
    ),
)


def client_examples(prefix: str) -> list[tuple[str, dict[str, Any]]]:
    """The schema's examples of client events, with the definition's name: `prefix` is `RealtimeClientEvent` or beta's.

    Some are written with comments, trailing commas and several objects in a row. The audio is made real base64.
    """
    found: dict[str, Any] = json.loads((SPEC / "examples.json").read_text())
    pairs: list[tuple[str, dict[str, Any]]] = []
    for name, example in found.items():
        if name.startswith(prefix):
            for event in [example] if isinstance(example, dict) else _loose_json(example):
                if "audio" in event:
                    event["audio"] = "QmFzZTY0"
                pairs.append((name, event))
    return pairs


def _loose_json(text: str) -> list[dict[str, Any]]:
    text = re.sub(r"(^|\s)//[^\n]*", "", text)
    text = re.sub(r",(\s*[}\]])", r"\1", text).strip()
    events = []
    while text:
        event, end = json.JSONDecoder().raw_decode(text)
        events.append(event)
        text = text[end:].strip()
    return events
