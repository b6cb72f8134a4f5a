"""What a session starts with: the operator's defaults, under what the URL or the client secret says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from vivavoce.protocol.config import (
    Audio,
    AudioInput,
    AudioOutput,
    Config,
    RealtimeSession,
    SessionConfig,
    SessionObject,
    Transcription,
    TranscriptionAudio,
    TranscriptionConfig,
    TranscriptionSession,
)
from vivavoce.server.client_secrets import ClientSecret
from vivavoce.session.configuration import initial, updated
from vivavoce.settings import SessionDefaults


def starting_config(query: Mapping[str, str], secret: ClientSecret | None, defaults: SessionDefaults) -> Config:
    """The first configuration of a connection with this query. `intent=transcription` wins over `model=`.

    What a client secret is bound to wins over the query: that is what it is for.
    """
    model = query.get("model") or query.get("deployment") or ""
    if secret is not None:
        return updated(conversation(model, defaults), secret.session)
    if query.get("intent") == "transcription":
        return initial(transcription(model))
    return initial(conversation(model, defaults))


def conversation(model: str, defaults: SessionDefaults) -> SessionConfig:
    """A conversation in which the client has said nothing yet."""
    return SessionConfig(
        model=model or defaults.model,
        instructions=defaults.instructions,
        audio=Audio(output=AudioOutput(voice=defaults.voice)),
    )


def transcription(model: str) -> TranscriptionConfig:
    """A transcription session in which the client has said nothing yet: it transcribes, or what would it be for."""
    wanted = Transcription(model=model or UNSET)
    return TranscriptionConfig(audio=TranscriptionAudio(input=AudioInput(transcription=wanted)))


def shown(config: Config, session_id: str, expires_at: int) -> SessionObject:
    """A configuration as REST answers show it."""
    values: dict[str, Any] = {name: getattr(config, name) for name in config.__struct_fields__}
    kind = RealtimeSession if isinstance(config, SessionConfig) else TranscriptionSession
    return kind(id=session_id, expires_at=expires_at, **values)
