"""`session.update`: a JSON object laid over the effective configuration.

Absent fields stay, present ones change, `null` clears: to `null` where the API has a null, else to the default. Objects
are merged, lists and values replaced. A turn detection or a format of another type replaces the whole object.

> "The client can send this event at any time to update the session configuration. Any field may be updated at any time,
> except for voice and model." (API reference, session.update)

We differ: `model` is accepted and echoed, because clients send it in every update. The engine stays the one of the URL.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET

from vivavoce.protocol.config import AudioInput, AudioOutput, Config, SessionConfig, TranscriptionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import PCM, PCMA, PCMU, AudioFormat, FunctionChoice, FunctionTool, ToolChoice
from vivavoce.protocol.refusals import refusal

MAX_CONFIG_BYTES: Final = 768 * 1024
"""`session.updated` shows all of it, and a frame stays under 1 MiB."""

_FORMATS = {"audio/pcm": PCM, "audio/pcmu": PCMU, "audio/pcma": PCMA}
_NULLABLE = frozenset(
    {"turn_detection", "transcription", "noise_reduction", "idle_timeout_ms", "include", "tracing", "prompt"}
)
_MERGED = frozenset(
    {"audio", "input", "output", "format", "turn_detection", "transcription", "noise_reduction", "token_limits"}
)
_READ_ONLY = frozenset({"id", "object", "expires_at", "client_secret"})
"""Clients that send back what `session.created` gave them mean no harm."""


def updated(config: Config, patch: dict[str, Any]) -> Config:
    """The configuration after `patch`, with every default filled in. Raises `RequestError`; `config` is left as it is."""
    patch = {key: value for key, value in patch.items() if key not in _READ_ONLY}
    kind = patch.setdefault("type", config.__struct_config__.tag)
    base: dict[str, Any] = msgspec.to_builtins(config) if kind == config.__struct_config__.tag else {}
    merged = _merge(base, patch)
    try:
        new = msgspec.convert(merged, Config)
    except msgspec.ValidationError as error:
        raise refusal(error, Config, merged, prefix="session") from None
    _check_size(new)
    return _normal(new)


def _check_size(config: Config) -> None:
    size = len(msgspec.json.encode(config))
    if size > MAX_CONFIG_BYTES:
        message = f"Invalid 'session': too long. All of it may have {MAX_CONFIG_BYTES} bytes; this would be {size}."
        raise RequestError("invalid_value", message, "session")


def _merge(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in patch.items():
        if value is None and key not in _NULLABLE:
            merged.pop(key, None)
        elif isinstance(value, dict) and key in _MERGED:
            merged[key] = _merge_object(key, base.get(key), value)
        else:
            merged[key] = value
    return merged


def _merge_object(key: str, base: object, patch: dict[str, Any]) -> dict[str, Any]:
    current = base if isinstance(base, dict) else {}
    if key == "turn_detection":
        patch = {"type": current.get("type", "server_vad"), **patch}
    if "type" in patch and patch["type"] != current.get("type"):
        current = {}
    return _merge(current, patch)


def _normal(config: Config) -> Config:
    """The one way to write what can be written in several."""
    if isinstance(config, TranscriptionConfig):
        return msgspec.structs.replace(
            config, audio=msgspec.structs.replace(config.audio, input=_normal_input(config.audio.input))
        )
    check_tool_choice(config.tools, config.tool_choice, "session")
    audio = msgspec.structs.replace(
        config.audio, input=_normal_input(config.audio.input), output=_normal_output(config.audio.output)
    )
    modalities = modalities_of(config.output_modalities, "session")
    return msgspec.structs.replace(config, audio=audio, output_modalities=modalities)


def _normal_input(audio: AudioInput) -> AudioInput:
    return msgspec.structs.replace(audio, format=known_format(audio.format, "session.audio.input.format"))


def _normal_output(audio: AudioOutput) -> AudioOutput:
    check_voice(audio.voice, "session.audio.output.voice")
    return msgspec.structs.replace(audio, format=known_format(audio.format, "session.audio.output.format"))


def known_format(format: AudioFormat, param: str) -> AudioFormat:
    """The format with its rate filled in. PCM has 24,000 Hz; any other rate is refused."""
    if format.type == "audio/pcm" and format.rate not in (UNSET, PCM.rate):
        message = f"Invalid value: {format.rate}. Supported values are: 24000."
        raise RequestError("invalid_value", message, f"{param}.rate")
    return _FORMATS[format.type]


def modalities_of(modalities: tuple[Any, ...], prefix: str) -> tuple[Any, ...]:
    """`("text",)` or `("audio",)`: audio brings its transcript, so asking for both is asking for audio."""
    if not modalities:
        message = "Invalid modalities: []. Supported combinations are: ['text'] and ['audio']."
        raise RequestError("invalid_value", message, f"{prefix}.output_modalities")
    return ("audio",) if "audio" in modalities else ("text",)


def check_tool_choice(tools: tuple[FunctionTool, ...], choice: ToolChoice, prefix: str) -> None:
    """Raise unless a forced function is among the tools."""
    if isinstance(choice, FunctionChoice) and all(tool.name != choice.name for tool in tools):
        message = f"Tool choice '{choice.name}' not found in 'tools' parameter."
        raise RequestError("invalid_value", message, f"{prefix}.tool_choice")


def check_voice(voice: str | dict[str, Any], param: str) -> None:
    """Raise unless a voice object has a name: `{"id": "voice_1234"}`."""
    if isinstance(voice, dict) and not isinstance(voice.get("id"), str):
        raise RequestError("missing_required_parameter", f"Missing required parameter: '{param}.id'.", f"{param}.id")


def voice_name(voice: str | dict[str, Any]) -> str:
    """What the engine calls the voice."""
    return voice if isinstance(voice, str) else str(voice["id"])


def initial(config: Config) -> Config:
    """A session's first configuration, normalised. Raises `RequestError`."""
    return _normal(config)


__all__ = [
    "SessionConfig",
    "check_tool_choice",
    "check_voice",
    "initial",
    "known_format",
    "modalities_of",
    "updated",
    "voice_name",
]
