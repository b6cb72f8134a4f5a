"""What the oracle's parts share: how a breach is raised, and beta events in GA's words.

The schema's beta definitions carry GA event names, and one set of order rules is enough for both dialects; so the oracle
looks at the words first, in the client's own dialect, and then at everything else in GA's.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

Event = dict[str, Any]
DialectName = Literal["ga", "beta"]


class Breach(AssertionError):
    """The server broke a rule of the contract. `rule` is its name, the text says what was sent."""

    def __init__(self, rule: str, what: str, event: Event | None = None) -> None:
        self.rule = rule
        shown = "" if event is None else f"\n  in {_short(event)}"
        super().__init__(f"{rule}: {what}{shown}")


def breach(rule: str, what: str, event: Event | None = None) -> NoReturn:
    raise Breach(rule, what, event)


def check(holds: object, rule: str, what: str, event: Event | None = None) -> None:
    if not holds:
        raise Breach(rule, what, event)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_short(member) for member in value) + "]"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


GA_ONLY = {
    "conversation.item.added",
    "conversation.item.done",
    "input_audio_buffer.timeout_triggered",
    "input_audio_buffer.dtmf_event_received",
    "conversation.item.input_audio_transcription.segment",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "response.output_text.delta",
    "response.output_text.done",
}
BETA_NAMES = {
    "conversation.created": "conversation.created",
    "conversation.item.created": "conversation.item.added",
    "transcription_session.created": "session.created",
    "transcription_session.updated": "session.updated",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}
"""Names that only beta has, and what GA calls the same. (`conversation.created` has no GA counterpart.)"""

_CONTENT = {"audio": "output_audio", "text": "output_text"}
_GA_FIELDS = {
    "session": {"output_modalities", "audio", "max_output_tokens", "type"},
    "response": {"output_modalities", "audio"},
}
_BETA_FIELDS = {
    "session": {
        "modalities",
        "voice",
        "input_audio_format",
        "output_audio_format",
        "turn_detection",
        "max_response_output_tokens",
    },
    "response": {"modalities", "voice", "output_audio_format"},
}


def check_vocabulary(event: Event, dialect: DialectName) -> None:
    """No word of the other dialect: names of events, fields of sessions and responses, content types."""
    foreign = GA_ONLY if dialect == "beta" else BETA_NAMES
    check(event["type"] not in foreign, "vocabulary", f"{event['type']} is no event of {dialect}", event)
    fields = _GA_FIELDS if dialect == "beta" else _BETA_FIELDS
    for name, alien in fields.items():
        for field in alien & set(event.get(name) or ()):
            breach("vocabulary", f"{name}.{field} is no field of {dialect}", event)
    alien_types = set(_CONTENT.values()) if dialect == "beta" else set(_CONTENT)
    for item in items_of(event):
        for part in item.get("content") or ():
            check(part.get("type") not in alien_types, "vocabulary", f"content type {part.get('type')} in {dialect}", event)


def items_of(event: Event) -> list[Event]:
    """All items that an event shows."""
    shown = [event["item"]] if isinstance(event.get("item"), dict) else []
    response = event.get("response")
    return shown + (response.get("output") or [] if isinstance(response, dict) else [])


def in_ga_words(event: Event, dialect: DialectName) -> Event:
    """The event with GA's event name and content types; sessions and responses keep their dialect's fields."""
    if dialect == "ga":
        return event
    event = event | {"type": BETA_NAMES.get(event["type"], event["type"])}
    if isinstance(event.get("item"), dict):
        event["item"] = _ga_item(event["item"])
    if isinstance(event.get("response"), dict):
        event["response"] = event["response"] | {"output": [_ga_item(item) for item in event["response"].get("output", [])]}
    return event


def _ga_item(item: Event) -> Event:
    if not item.get("content"):
        return item
    return item | {
        "content": [part | {"type": _CONTENT.get(part.get("type"), part.get("type"))} for part in item["content"]]
    }
