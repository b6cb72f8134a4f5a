"""Beta's objects and GA's, from one to the other, as plain JSON: sessions, responses, items, error paths.

    upgrade    what a beta client says → GA         names move, nothing is checked but what has no GA form
    downgrade  what we say in GA → beta             GA-only fields vanish, `temperature` appears

Absent, present and `null` keep their meaning both ways.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from vivavoce.protocol.config import SessionObject, TranscriptionSession
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.refusals import kind_of, unsupported, wrong_type

DEFAULT_TEMPERATURE: Final = 0.8
"""What beta sessions and responses show when the client set none."""

_SESSION_PATHS: Final[dict[str, tuple[str, ...]]] = {
    "modalities": ("output_modalities",),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "output_audio_format": ("audio", "output", "format"),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "max_response_output_tokens": ("max_output_tokens",),
}
_RESPONSE_PATHS: Final[dict[str, tuple[str, ...]]] = {
    "modalities": ("output_modalities",),
    "output_audio_format": ("audio", "output", "format"),
    "voice": ("audio", "output", "voice"),
    "max_response_output_tokens": ("max_output_tokens",),
}
FLAT_SESSION: Final = frozenset(_SESSION_PATHS)
"""Session fields that only beta has: where they stand in a session without `type`, it is a beta session."""

GA_SESSION: Final = frozenset(
    {"type", "output_modalities", "audio", "max_output_tokens", "parallel_tool_calls", "reasoning"}
)
"""Session fields that the beta API refuses."""

_READ_ONLY: Final = frozenset({"id", "object", "expires_at", "client_secret"})
"""What a client sends back because `session.created` had it."""

_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_FORMAT_NAMES: Final = {ga["type"]: beta for beta, ga in _FORMATS.items()}
_CONTENT_NAMES: Final = {"output_audio": "audio", "output_text": "text"}


# --- upgrade ---


def upgrade_session(session: dict[str, Any], transcription: bool = False, prefix: str = "session") -> dict[str, Any]:
    """A beta session (of `session.update`, or of a REST body) in GA names; fields that are GA already stay.

    `transcription`: the session is one of `transcription_session.update`, or a body for `/transcription_sessions`.
    `prefix` begins the `param` of a `RequestError`: `session`, or nothing for a REST body.
    """
    dropped = _READ_ONLY | {"modalities"} if transcription else _READ_ONLY
    session = {name: value for name, value in session.items() if name not in dropped}
    upgraded = _moved(session, _SESSION_PATHS, prefix)
    return {"type": "transcription", **upgraded} if transcription else upgraded


def upgrade_response(response: dict[str, Any], prefix: str = "response") -> dict[str, Any]:
    """The `response` of a beta `response.create` in GA names. A null voice, format or modality means: as in the session."""
    given = {name: value for name, value in response.items() if value is not None or name not in _RESPONSE_PATHS}
    return _moved(given, _RESPONSE_PATHS, prefix)


def _moved(flat: dict[str, Any], paths: dict[str, tuple[str, ...]], prefix: str) -> dict[str, Any]:
    nested = {name: value for name, value in flat.items() if name not in paths}
    for name, path in paths.items():
        if name in flat:
            _put(nested, path, _upgraded(name, flat[name], f"{prefix}.{name}" if prefix else name))
    return nested


def _put(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set `target[a][b][c]`. Objects on the way are copied, so that the caller's stay as they are."""
    for step in path[:-1]:
        inner = target.get(step)
        target[step] = dict(inner) if isinstance(inner, dict) else {}
        target = target[step]
    target[path[-1]] = value


def _upgraded(name: str, value: Any, param: str) -> Any:
    if name == "modalities":
        return _upgraded_modalities(value)
    if name.endswith("_audio_format"):
        return _upgraded_format(value, param)
    return value


def _upgraded_modalities(value: Any) -> Any:
    """Audio brings its transcript, so beta's pair is GA's audio. What is neither is left for the session to refuse."""
    if value and isinstance(value, list) and all(name in ("text", "audio") for name in value):
        return ["audio"] if "audio" in value else ["text"]
    return value


def _upgraded_format(value: Any, param: str) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        expected = "one of 'pcm16', 'g711_ulaw'", "'g711_alaw'"
        raise RequestError("invalid_type", wrong_type(param, expected, kind_of(value)), param)
    if value not in _FORMATS:
        raise RequestError("invalid_value", unsupported(value, _FORMATS), param)
    return dict(_FORMATS[value])


# --- downgrade ---


def downgrade_session(session: SessionObject) -> dict[str, Any]:
    """The session as a beta client reads it: in `session.created`, `.updated`, and (plus the secret) in REST answers."""
    ga: dict[str, Any] = msgspec.to_builtins(session)
    hears = ga["audio"]["input"]
    beta = {
        "id": ga["id"],
        "object": ga["object"],
        "expires_at": ga["expires_at"],
        "input_audio_format": _FORMAT_NAMES[hears["format"]["type"]],
        "input_audio_transcription": hears["transcription"],
        "input_audio_noise_reduction": hears["noise_reduction"],
        "turn_detection": _downgraded_detection(hears["turn_detection"]),
        "include": ga["include"],
    }
    if isinstance(session, TranscriptionSession):
        return beta
    speaks = ga["audio"]["output"]
    return beta | {
        "model": ga["model"],
        "modalities": _downgraded_modalities(ga["output_modalities"]),
        "instructions": ga["instructions"],
        "voice": speaks["voice"],
        "output_audio_format": _FORMAT_NAMES[speaks["format"]["type"]],
        "speed": speaks["speed"],
        "tools": ga["tools"],
        "tool_choice": ga["tool_choice"],
        "temperature": ga.get("temperature", DEFAULT_TEMPERATURE),
        "max_response_output_tokens": ga["max_output_tokens"],
        "tracing": ga["tracing"],
        "prompt": ga["prompt"],
    }


def _downgraded_detection(detection: dict[str, Any] | None) -> dict[str, Any] | None:
    """Idle timeouts came with GA: beta shows one only if the client asked for it."""
    if detection and detection.get("idle_timeout_ms", 0) is None:
        return {name: value for name, value in detection.items() if name != "idle_timeout_ms"}
    return detection


def _downgraded_modalities(modalities: list[str]) -> list[str]:
    return ["text", "audio"] if "audio" in modalities else ["text"]


def downgrade_response(response: dict[str, Any]) -> dict[str, Any]:
    """The response object of `response.created` and `response.done`, as beta shows it."""
    beta = {name: value for name, value in response.items() if name not in ("audio", "output_modalities")}
    speaks = response["audio"]["output"]
    return beta | {
        "output": [downgrade_item(item) for item in response["output"]],
        "modalities": _downgraded_modalities(response["output_modalities"]),
        "voice": speaks["voice"],
        "output_audio_format": _FORMAT_NAMES[speaks["format"]["type"]],
        "temperature": response.get("temperature", DEFAULT_TEMPERATURE),
    }


def downgrade_item(item: dict[str, Any]) -> dict[str, Any]:
    """An item with beta's content types: `audio` and `text` where GA says `output_audio` and `output_text`."""
    if "content" not in item:
        return item
    return item | {"content": [part | {"type": _CONTENT_NAMES.get(part["type"], part["type"])} for part in item["content"]]}


def downgrade_param(param: str) -> str:
    """Where a beta client finds the field: `session.audio.output.voice` is its `session.voice`."""
    for ga, beta in _PARAMS:
        rest = param.removeprefix(ga)
        if rest != param and rest[:1] in ("", ".", "["):
            return beta if beta.endswith("_format") else beta + rest
    return param


_PARAMS: Final = [
    (f"{root}.{'.'.join(path)}", f"{root}.{name}")
    for root, paths in (("session", _SESSION_PATHS), ("response", _RESPONSE_PATHS))
    for name, path in paths.items()
]
