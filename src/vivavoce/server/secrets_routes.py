"""The routes that mint client secrets, in both dialects."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.protocol.beta import downgrade_session, upgrade_session
from vivavoce.protocol.beta_shapes import downgrade_param
from vivavoce.protocol.config import Config
from vivavoce.protocol.errors import RequestError
from vivavoce.server.bodies import converted, json_object
from vivavoce.server.client_secrets import DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS, ClientSecret
from vivavoce.server.starting import conversation, shown
from vivavoce.server.state import ServerState
from vivavoce.session.configuration import updated


class ExpiresAfter(Struct, frozen=True):
    """How long a secret can be presented."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=LEAST_SECONDS, le=MOST_SECONDS)] = DEFAULT_SECONDS


class GaBody(Struct, frozen=True):
    """What `POST /v1/realtime/client_secrets` takes."""

    expires_after: ExpiresAfter | None = None
    session: dict[str, Any] | None = None


class BetaSecret(Struct, frozen=True):
    """The part of a beta body that is about the secret. Clients write it in two ways."""

    expires_after: ExpiresAfter | None = None
    expires_at: ExpiresAfter | None = None


class BetaBody(Struct, frozen=True):
    """What the beta routes take beside the flat session."""

    client_secret: BetaSecret | None = None


class SecretRoutes:
    """Only keys mint: a client secret cannot make another."""

    def __init__(self, state: ServerState) -> None:
        self._state: Final = state

    async def client_secrets(self, request: Request) -> Response:
        """`POST /v1/realtime/client_secrets`, GA."""
        key_id = self._state.gate.owner(request.headers, time.time()).key_id
        body = converted(await json_object(request), GaBody)
        session = body.session or {}
        config = self._config(session)
        secret = self._secret("ga", session, body.expires_after, key_id)
        value = self._state.signer.mint(secret)
        shown_session = shown(config, _session_id(), secret.expires_at)
        return _ok({"value": value, "expires_at": secret.expires_at, "session": shown_session})

    async def sessions(self, request: Request) -> Response:
        """`POST /v1/realtime/sessions`, beta."""
        return await self._beta(request, is_transcription=False)

    async def transcription_sessions(self, request: Request) -> Response:
        """`POST /v1/realtime/transcription_sessions`, beta."""
        return await self._beta(request, is_transcription=True)

    async def _beta(self, request: Request, is_transcription: bool) -> Response:
        key_id = self._state.gate.owner(request.headers, time.time()).key_id
        flat = await json_object(request)
        asked = converted(flat, BetaBody).client_secret or BetaSecret()
        session = upgrade_session(flat, transcription=is_transcription, prefix="")
        try:
            config = self._config(session)
        except RequestError as error:
            raise _about_flat(error) from None
        secret = self._secret("beta", session, asked.expires_after or asked.expires_at, key_id)
        value = self._state.signer.mint(secret)
        answer = downgrade_session(shown(config, _session_id(), secret.expires_at))
        return _ok({**answer, "client_secret": {"value": value, "expires_at": secret.expires_at}})

    def _config(self, session: dict[str, Any]) -> Config:
        return updated(conversation("", self._state.settings.session), session)

    def _secret(
        self, dialect: Literal["ga", "beta"], session: dict[str, Any], expires_after: ExpiresAfter | None, key_id: str
    ) -> ClientSecret:
        seconds = (expires_after or ExpiresAfter()).seconds
        return ClientSecret(session=session, dialect=dialect, expires_at=int(time.time()) + seconds, key_id=key_id)


def _about_flat(error: RequestError) -> RequestError:
    """The error about a session in GA names, as one about the flat body that it came from."""
    if error.param is None:
        return error
    param = downgrade_param(error.param).removeprefix("session.")
    return RequestError(error.code, error.message.replace(f"'{error.param}'", f"'{param}'"), param)


def _session_id() -> str:
    return f"sess_{secrets.token_hex(8)}"


def _ok(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json", headers={"cache-control": "no-store"})
