"""What a response was asked to be: the session's configuration with the wishes of `response.create` laid over it."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct

from vivavoce.engine_api import Generate
from vivavoce.protocol.client_events import ResponseCreateParams
from vivavoce.protocol.config import AudioOutput, SessionConfig
from vivavoce.protocol.objects import AudioFormat, Item, Modality
from vivavoce.session.accounting import Tally
from vivavoce.session.configuration import modalities_of, voice_name


class ResponseSpec(Struct, frozen=True, kw_only=True):
    """What a response was asked to be: a snapshot that nothing changes later."""

    generate: Generate
    conversation_id: str | None
    """`None`: out of band."""
    modalities: tuple[Modality, ...]
    format: AudioFormat
    voice: str | dict[str, Any]
    max_output_tokens: int | Literal["inf"] = "inf"
    metadata: dict[str, str] | None = None
    temperature: float | None = None
    read: Tally = Tally()
    """What the context costs, and how much of it the response before had read already."""
    cached: Tally = Tally()

    @property
    def id(self) -> str:
        """The response's id."""
        return self.generate.response_id


_OVERRIDES: Final = (
    "output_modalities",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "max_output_tokens",
    "prompt",
    "temperature",
)


def laid_over(config: SessionConfig, params: ResponseCreateParams) -> SessionConfig:
    """The configuration with what `response.create` says in its place; absent and `null` both mean the session's."""
    given = {name: getattr(params, name) for name in _OVERRIDES}
    changes = {name: value for name, value in given.items() if value is not UNSET and value is not None}
    if "output_modalities" in changes:
        changes["output_modalities"] = modalities_of(changes["output_modalities"], "response")
    return msgspec.structs.replace(config, **changes)


def named(spec: ResponseSpec, response_id: str) -> ResponseSpec:
    """The response with its id."""
    return msgspec.structs.replace(spec, generate=msgspec.structs.replace(spec.generate, response_id=response_id))


def generate_command(
    ask: SessionConfig,
    output: AudioOutput,
    items: tuple[Item, ...],
    metadata: dict[str, str] | None,
    *,
    unprompted: bool,
) -> Generate:
    """The command that makes an engine answer; its response has no id yet."""
    limit = ask.max_output_tokens
    return Generate(
        response_id="",
        model=ask.model,
        instructions=ask.instructions,
        items=items,
        tools=ask.tools,
        tool_choice=ask.tool_choice,
        modalities=ask.output_modalities,
        voice=voice_name(output.voice),
        speed=output.speed,
        temperature=ask.temperature or None,
        max_output_tokens=None if limit == "inf" else limit,
        parallel_tool_calls=ask.parallel_tool_calls is not False,
        unprompted=unprompted,
        reasoning_effort=(ask.reasoning or {}).get("effort"),
        metadata=dict(metadata or {}),
    )
