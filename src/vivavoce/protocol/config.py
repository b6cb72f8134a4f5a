"""The session's configuration: what `session.update` changes and `session.updated` echoes, every default filled in.

These Structs are the *effective* configuration. An update is a JSON object laid over it by `merge`: absent fields stay,
present ones change, `null` clears. `parse` turns the result into Structs again, or says which path is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from vivavoce.protocol.objects import PCM, AudioFormat, FunctionTool, Modality, ToolChoice

Eagerness = Literal["low", "medium", "high", "auto"]


class ServerVad(Struct, frozen=True, tag_field="type", tag="server_vad", forbid_unknown_fields=True):
    """A turn ends after a fixed silence."""

    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Speech probability above which a window counts as speech."""
    prefix_padding_ms: Annotated[int, Meta(ge=0)] = 300
    """Audio before the onset that belongs to the turn."""
    silence_duration_ms: Annotated[int, Meta(ge=0)] = 500
    """Silence that ends the turn. It belongs to the turn."""
    idle_timeout_ms: Annotated[int, Meta(ge=5000, le=30000)] | None = None
    """Silence after an answer was played, after which the model speaks again."""
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Struct, frozen=True, tag_field="type", tag="semantic_vad", forbid_unknown_fields=True):
    """A turn ends when the speaker seems to have finished."""

    eagerness: Eagerness = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = ServerVad | SemanticVad


class Transcription(Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for the user's words. The last three are echoed only if the client sent them."""

    model: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    languages: tuple[str, ...] | UnsetType = UNSET
    keywords: tuple[str, ...] | UnsetType = UNSET
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | UnsetType = UNSET


class NoiseReduction(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the microphone is."""

    type: Literal["near_field", "far_field"]


class AudioInput(Struct, frozen=True, forbid_unknown_fields=True):
    """What the server hears, and how it listens."""

    format: AudioFormat = PCM
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


class AudioOutput(Struct, frozen=True, forbid_unknown_fields=True):
    """How the server speaks."""

    format: AudioFormat = PCM
    voice: str | dict[str, Any] = "alloy"
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] = 1.0


class Audio(Struct, frozen=True, forbid_unknown_fields=True):
    """Both directions."""

    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class TranscriptionAudio(Struct, frozen=True, forbid_unknown_fields=True):
    """A transcription session only hears."""

    input: AudioInput = AudioInput()


class TokenLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the conversation after the instructions and tools."""

    post_instructions: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class RetentionRatio(Struct, frozen=True, forbid_unknown_fields=True):
    """When the context is full, keep this share of it, so that truncation (and a lost cache) is rare."""

    retention_ratio: Annotated[float, Meta(ge=0, le=1)]
    type: Literal["retention_ratio"] = "retention_ratio"
    token_limits: TokenLimits | UnsetType = UNSET


Truncation = Literal["auto", "disabled"] | RetentionRatio
MaxTokens = Annotated[int, Meta(ge=1, le=128_000)] | Literal["inf"]


class SessionConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="realtime"):
    """A conversation's configuration."""

    model: str = ""
    output_modalities: tuple[Modality, ...] = ("audio",)
    instructions: str = ""
    audio: Audio = Audio()
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    max_output_tokens: MaxTokens = "inf"
    truncation: Truncation = "auto"
    include: tuple[Literal["item.input_audio_transcription.logprobs"], ...] | None = None
    tracing: Literal["auto"] | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: dict[str, Any] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    """Beta only: GA has no temperature, but a beta client reads back what it set."""


class TranscriptionConfig(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="transcription"
):
    """A transcription session's configuration: it hears and never answers."""

    audio: TranscriptionAudio = TranscriptionAudio()
    include: tuple[Literal["item.input_audio_transcription.logprobs"], ...] | None = None


Config = SessionConfig | TranscriptionConfig


class RealtimeSession(SessionConfig, frozen=True, kw_only=True, tag="realtime"):
    """`SessionConfig` as the client sees it in `session.created` and `session.updated`."""

    object: Literal["realtime.session"] = "realtime.session"
    id: str
    expires_at: int
    """Unix seconds."""


class TranscriptionSession(TranscriptionConfig, frozen=True, kw_only=True, tag="transcription"):
    """`TranscriptionConfig` as the client sees it."""

    object: Literal["realtime.transcription_session"] = "realtime.transcription_session"
    id: str
    expires_at: int


SessionObject = RealtimeSession | TranscriptionSession
