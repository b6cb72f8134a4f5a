"""The shape of one event: the public JSON schema, the official SDK's types, and what the contract asks beyond both."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import typing
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pydantic
from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent as GaServerEvent

from tests.oracle_words import BETA_NAMES, DialectName, Event, breach, check, in_ga_words, items_of

SPEC = Path(__file__).resolve().parents[2] / "shared" / "spec"
SCHEMA: dict[str, Any] = json.loads((SPEC / "realtime.schema.json").read_text())
"""The public description. `$defs` holds one definition per event and object."""


# --- the two outside judges ---


@functools.cache
def schema_names(dialect: DialectName) -> dict[str, str]:
    """Wire name → definition. A beta name maps to the definition of its GA namesake among the beta definitions."""
    prefix = "RealtimeServerEvent" if dialect == "ga" else "RealtimeBetaServerEvent"
    names = {
        definition["properties"]["type"]["enum"][0]: name
        for name, definition in SCHEMA["$defs"].items()
        if name.startswith(prefix) and "enum" in definition.get("properties", {}).get("type", {})
    }
    if dialect == "beta":
        names["conversation.created"] = "RealtimeServerEventConversationCreated"
        names["conversation.item.added"] = names.pop("conversation.item.created")
        names["session.created/transcription"] = names.pop("transcription_session.created")
        names["session.updated/transcription"] = names.pop("transcription_session.updated")
    return names


@functools.cache
def schema_validator(definition: str) -> jsonschema.Draft202012Validator:
    """Compiled once for each definition."""
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]})


@functools.cache
def sdk_types(dialect: DialectName) -> dict[str, type[pydantic.BaseModel]]:
    """Wire name → the SDK's class."""
    union = typing.get_args(GaServerEvent if dialect == "ga" else BetaServerEvent)[0]
    return {typing.get_args(model.model_fields["type"].annotation)[0]: model for model in typing.get_args(union)}


_FREE = frozenset(
    {"event_id", "item_id", "response_id", "previous_item_id", "id", "call_id", "conversation_id", "delta", "transcript"}
    | {"text", "audio", "arguments", "output", "message", "instructions", "token", "output_index", "content_index"}
    | {"audio_start_ms", "audio_end_ms", "total_tokens", "input_tokens", "output_tokens", "text_tokens", "audio_tokens"}
    | {"image_tokens", "cached_tokens", "expires_at", "limit", "remaining", "reset_seconds", "seconds", "logprob"}
)
"""Fields of which the schema says no more than their type."""


def without_nulls(value: Any, plain: bool = False, key: str = "") -> Any:
    """The schema's own examples use null for absent objects, so null-valued keys go before validating.

    `plain`: put an empty value of the same type where the schema allows any, so that most events look alike.
    """
    if isinstance(value, dict):
        return {name: without_nulls(member, plain, name) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(member, plain) for member in value]
    return type(value)() if plain and key in _FREE else value


_valid: set[bytes] = set()
"""Plain forms that the schema accepts: validating takes ten times as long as looking here."""


def check_schema(event: Event, dialect: DialectName) -> None:
    """Valid by the public description."""
    shown = _relaxed(in_ga_words(event, dialect), dialect)
    name, kind = event["type"], shown["type"]
    if name.startswith("transcription_session"):
        # "This property is not present when a session is updated via the WebSocket API." Yet the schema requires it.
        shown["session"] = shown["session"] | {"client_secret": {"value": "ek_1", "expires_at": 1}}
        kind = f"{kind}/transcription"
        shown["type"] = name
    elif name == "conversation.item.created":
        shown["type"] = name
    elif name == "response.function_call_arguments.done" and dialect == "beta":
        shown["name"] = "a later addition"
    definition = schema_names(dialect).get(kind)
    check(definition, "schema", f"{name} is unknown to the schema", event)
    assert definition is not None
    plain = msgspec.json.encode([definition, without_nulls(shown, plain=True)])
    if plain in _valid:
        return
    error = jsonschema.exceptions.best_match(schema_validator(definition).iter_errors(without_nulls(shown)))
    if error is not None:
        breach("schema", f"{error.json_path}: {error.message[:200]}", event)
    _valid.add(plain)


def check_sdk(event: Event, dialect: DialectName) -> None:
    """Valid by the official SDK's types, strictly: an integer is no string and no float."""
    shown = _relaxed(event, dialect)
    if event["type"] == "transcription_session.created":  # the SDK has the update's type only
        shown["type"] = "transcription_session.updated"
    if event["type"].startswith("transcription_session"):
        shown["session"] = shown["session"] | {"client_secret": {"value": "ek_1", "expires_at": 1}}
    model = sdk_types(dialect).get(shown["type"])
    if model is None:
        breach("sdk", f"{event['type']} is unknown to the SDK", event)
    try:
        model.model_validate(shown, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        breach("sdk", f"{'.'.join(map(str, first['loc']))}: {first['msg']}", event)


def _relaxed(event: Event, dialect: DialectName) -> Event:
    """A copy without what both judges know too little about: own voices, forced functions and models of one's own."""
    event = dict(event)
    for name in ("session", "response"):
        if isinstance(event.get(name), dict):
            event[name] = _with_plain_voice(event[name], dialect)
    return event


def _with_plain_voice(value: Event, dialect: DialectName) -> Event:
    value = dict(value)
    if isinstance(value.get("voice"), dict):
        value["voice"] = "alloy"
    output = (value.get("audio") or {}).get("output")
    if output and isinstance(output.get("voice"), dict):
        value["audio"] = value["audio"] | {"output": output | {"voice": "alloy"}}
    if dialect == "beta":
        value.pop("model", None)
        if isinstance(value.get("input_audio_transcription"), dict):
            value["input_audio_transcription"] = value["input_audio_transcription"] | {"model": "whisper-1"}
        if isinstance(value.get("tool_choice"), dict):
            value["tool_choice"] = "required"
    return value


# --- what the contract asks beyond them ---

_SESSION_KEYS = {
    "ga": {
        "realtime": {"id", "object", "expires_at", "model", "output_modalities", "instructions", "audio", "tools"}
        | {"tool_choice", "max_output_tokens", "truncation", "tracing", "prompt", "include"},
        "transcription": {"id", "object", "expires_at", "audio", "include"},
    },
    "beta": {
        "realtime": {"id", "object", "expires_at", "model", "modalities", "instructions", "voice", "input_audio_format"}
        | {"output_audio_format", "input_audio_transcription", "turn_detection", "input_audio_noise_reduction", "tools"}
        | {"tool_choice", "temperature", "max_response_output_tokens", "speed", "tracing", "include", "prompt"},
        "transcription": {"id", "object", "expires_at", "input_audio_format", "input_audio_transcription"}
        | {"turn_detection", "input_audio_noise_reduction", "include"},
    },
}
_INPUT_KEYS = {"format", "transcription", "noise_reduction", "turn_detection"}
_OUTPUT_KEYS = {"format", "voice", "speed"}
_TURN_KEYS = {
    "server_vad": {"threshold", "prefix_padding_ms", "silence_duration_ms", "create_response", "interrupt_response"},
    "semantic_vad": {"eagerness", "create_response", "interrupt_response"},
}


def check_session(event: Event, dialect: DialectName) -> None:
    """Every default filled in: clients decide by what they read here."""
    session = event["session"]
    transcription = event["type"].startswith("transcription") or session.get("type") == "transcription"
    missing = _SESSION_KEYS[dialect]["transcription" if transcription else "realtime"] - session.keys()
    audio = session.get("audio", {}) if dialect == "ga" else {}
    if dialect == "ga":
        missing |= {f"audio.input.{key}" for key in _INPUT_KEYS - audio.get("input", {}).keys()}
        if not transcription:
            missing |= {f"audio.output.{key}" for key in _OUTPUT_KEYS - audio.get("output", {}).keys()}
    turn = audio.get("input", {}).get("turn_detection") if dialect == "ga" else session.get("turn_detection")
    if turn:
        missing |= {f"turn_detection.{key}" for key in _TURN_KEYS[turn["type"]] - turn.keys()}
    check(not missing, "session-defaults", f"missing: {', '.join(sorted(missing))}", event)
    for side in audio.values():
        check_format(side.get("format"), event)


def check_format(format: Event | None, event: Event) -> None:
    if format is not None:
        rate = 24000 if format.get("type") == "audio/pcm" else None
        check(format.get("rate") == rate, "format-rate", f"rate {format.get('rate')} with {format.get('type')}", event)


def check_items(event: Event) -> None:
    """Absent keys of an item are left out; a user's audio shows `transcript` even while it is null."""
    for item in items_of(event):
        nulls = [key for key, value in item.items() if value is None]
        check(not nulls, "item-nulls", f"null in an item: {', '.join(nulls)}", event)
        check(isinstance(item.get("id"), str) and item["id"], "item-id", "an item without an id", event)
        for part in item.get("content") or ():
            if part.get("type") == "input_audio":
                check("transcript" in part, "transcript-key", "input_audio without the key transcript", event)
            nulls = [key for key, value in part.items() if value is None and key != "transcript"]
            check(not nulls, "item-nulls", f"null in a content part: {', '.join(nulls)}", event)


_INPUT_TOKENS = {"text_tokens", "audio_tokens", "image_tokens", "cached_tokens", "cached_tokens_details"}


def check_usage(event: Event) -> None:
    """Clients add these numbers up without looking."""
    usage = event["response"].get("usage")
    check(isinstance(usage, dict), "usage", "response.done without usage", event)
    assert isinstance(usage, dict)
    read, wrote = usage.get("input_token_details"), usage.get("output_token_details")
    whole = isinstance(read, dict) and read.keys() >= _INPUT_TOKENS
    whole = whole and isinstance(wrote, dict) and wrote.keys() >= {"text_tokens", "audio_tokens"}
    check(whole, "usage", "usage is incomplete", event)
    assert isinstance(read, dict)
    assert isinstance(wrote, dict)
    total = usage.get("input_tokens", -1) + usage.get("output_tokens", -1)
    check(usage.get("total_tokens") == total, "usage", "total_tokens is not the sum", event)
    parts = read["text_tokens"] + read["audio_tokens"] + read["image_tokens"]
    check(parts == usage["input_tokens"], "usage", "input_tokens is not the sum of its details", event)
    check(sum(wrote.values()) == usage["output_tokens"], "usage", "output_tokens is not the sum of its details", event)


def check_response(event: Event) -> None:
    """`status_details` is always there, null while nothing is wrong, and says how the response ended."""
    response = event["response"]
    check("status_details" in response, "status-details", "no key status_details", event)
    details, status = response["status_details"], response.get("status")
    fine = status in ("in_progress", "completed")
    agrees = details is None if fine and details is None else isinstance(details, dict) and details.get("type") == status
    check(agrees and (fine or details), "status-details", f"status {status} with {details}", event)
    if status in ("cancelled", "incomplete"):
        check(details.get("reason"), "status-details", f"{status} without a reason", event)
    if status == "failed":
        check(details.get("error"), "status-details", "failed without an error", event)
    check_format(((response.get("audio") or {}).get("output") or {}).get("format"), event)
    if event["type"] == "response.done":
        check_usage(event)


def check_transcription(event: Event) -> None:
    """`usage` is whole; `error` has no `param`."""
    if event["type"].endswith(".failed"):
        check("param" not in event["error"], "transcription-error", "error.param must be left out", event)
    if event["type"].endswith(".completed"):
        usage = event.get("usage") or {}
        details = usage.get("input_token_details") or {}
        duration = usage.get("type") == "duration" and isinstance(usage.get("seconds"), int | float)
        tokens = usage.get("type") == "tokens" and details.keys() >= {"text_tokens", "audio_tokens"}
        check(duration or tokens, "transcription-usage", f"usage is {usage}", event)


def check_error(event: Event) -> None:
    missing = {"type", "code", "message", "param", "event_id"} - event["error"].keys()
    check(not missing, "error-keys", f"error without {', '.join(sorted(missing))}", event)


def check_rate_limits(event: Event) -> None:
    for limit in event["rate_limits"]:
        numbers = [limit.get(key) for key in ("limit", "remaining", "reset_seconds")]
        whole = limit.get("name") in ("requests", "tokens") and all(isinstance(number, int | float) for number in numbers)
        check(whole, "rate-limits", f"{limit}", event)


def audio_of(event: Event) -> bytes:
    """The bytes of an audio delta."""
    try:
        return base64.b64decode(event["delta"], validate=True)
    except binascii.Error:
        breach("audio-base64", "the delta is not base64", event)


def check_shape(event: Event, dialect: DialectName) -> None:
    """All of the above for one event, whatever it is."""
    name = event["type"]
    check_schema(event, dialect)
    check_sdk(event, dialect)
    check_items(event)
    if name in ("session.created", "session.updated") or name.startswith("transcription_session."):
        check_session(event, dialect)
    elif name in ("response.created", "response.done"):
        check_response(event)
    elif name == "error":
        check_error(event)
    elif name == "rate_limits.updated":
        check_rate_limits(event)
    elif "input_audio_transcription" in name:
        check_transcription(event)


__all__ = ["BETA_NAMES", "SCHEMA", "SPEC", "audio_of", "check_shape", "schema_validator", "without_nulls"]
