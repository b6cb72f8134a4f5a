"""The HTTP side: an ASGI application with every route but the WebSocket, which `realtime.py` answers."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vivavoce import __version__
from vivavoce.protocol.errors import RequestError
from vivavoce.server.audio_routes import AudioRoutes
from vivavoce.server.console_files import Console
from vivavoce.server.errors import HttpError, on_bug, on_http_error, on_request_error, on_starlette_error
from vivavoce.server.metrics import CONTENT_TYPE
from vivavoce.server.origins import Origins
from vivavoce.server.secrets_routes import SecretRoutes
from vivavoce.server.state import ServerState


def make_app(state: ServerState) -> Starlette:
    """The routes over what they share."""
    minting, audio, pages, console = SecretRoutes(state), AudioRoutes(state), Pages(state), Console()
    return Starlette(
        routes=[
            Route("/v1/realtime/client_secrets", minting.client_secrets, methods=["POST"]),
            Route("/v1/realtime/sessions", minting.sessions, methods=["POST"]),
            Route("/v1/realtime/transcription_sessions", minting.transcription_sessions, methods=["POST"]),
            Route("/v1/realtime/calls", no_calls, methods=["POST"]),
            Route("/v1/realtime/calls/{call_id}/{verb}", no_calls, methods=["POST"]),
            Route("/v1/realtime", not_a_websocket, methods=["GET", "POST"]),
            Route("/v1/audio/transcriptions", audio.transcriptions, methods=["POST"]),
            Route("/v1/audio/speech", audio.speech, methods=["POST"]),
            Route("/v1/models", pages.models, methods=["GET"]),
            Route("/v1/models/{model:path}", pages.model, methods=["GET"]),
            Route("/health", pages.health, methods=["GET"]),
            Route("/metrics", pages.metrics, methods=["GET"]),
            Route("/", console.page, methods=["GET"]),
            Route("/console/{path:path}", console.file, methods=["GET"]),
        ],
        exception_handlers={
            HttpError: on_http_error,
            RequestError: on_request_error,
            HTTPException: on_starlette_error,
            Exception: on_bug,
        },
        middleware=[Middleware(Origins, settings=state.settings, gate=state.gate)],
    )


async def no_calls(_: Request) -> Response:
    """WebRTC and SIP."""
    message = "This server does not take WebRTC or SIP calls yet. Connect by WebSocket to /v1/realtime."
    raise HttpError(501, "not_implemented", message)


async def not_a_websocket(request: Request) -> Response:
    """`/v1/realtime` without an upgrade: a plain GET, or the beta's SDP."""
    if request.method == "POST":
        return await no_calls(request)
    raise HttpError(426, "upgrade_required", "This is a WebSocket endpoint.", headers={"upgrade": "websocket"})


class Pages:
    """What is there to read."""

    def __init__(self, state: ServerState) -> None:
        self._state: Final = state

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        self._state.gate.owner(request.headers, time.time())
        names = dict.fromkeys([self._state.settings.session.model, *self._state.engines.models])
        return _json({"object": "list", "data": [self._model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{id}`. Any name has an engine that answers for it, so any name is found."""
        self._state.gate.owner(request.headers, time.time())
        return _json(self._model(request.path_params["model"]))

    def _model(self, name: str) -> dict[str, Any]:
        engine, _ = self._state.engines.named(name)
        return {"id": name, "object": "model", "created": self._state.started_at, "owned_by": "vivavoce", "engine": engine}

    async def health(self, _: Request) -> Response:
        """`GET /health`: 200 while sessions can begin, 503 while it goes away. Nobody answers until engines are warm."""
        sessions = self._state.sessions
        content = {
            "status": "draining" if sessions.draining else "ok",
            "version": __version__,
            "engines": self._state.engines.names,
            "sessions": len(sessions),
        }
        return _json(content, 503 if sessions.draining else 200)

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`. Needs a key where keys are set: figures tell about people too."""
        self._state.gate.owner(request.headers, time.time())
        return Response(self._state.metrics.page(), headers={"content-type": CONTENT_TYPE})


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
