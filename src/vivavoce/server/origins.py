"""Web pages of other origins (CORS): refused, or let in. WebSockets are asked the same in `realtime.py`."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.server.auth import Gate, origin_allowed
from vivavoce.server.errors import HttpError
from vivavoce.settings import Settings

_PREFLIGHT_SECONDS: Final = 600


class Origins:
    """ASGI middleware. No credentials are allowed: pages present theirs in a header, and there are no cookies."""

    def __init__(self, app: ASGIApp, settings: Settings, gate: Gate) -> None:
        self._app: Final = app
        self._allowed: Final = settings.allowed_origins
        self._gate: Final = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer preflights, refuse foreign pages, and mark what allowed ones may read."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
        elif not origin_allowed(origin, self._allowed, self._gate.open):
            message = "Pages from this origin may not use this server: see allowed_origins."
            await HttpError(403, "origin_not_allowed", message).response()(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, _marking(send, origin))


def _preflight(origin: str, headers: Headers) -> Response:
    answer = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, OPTIONS",
        "access-control-allow-headers": headers.get("access-control-request-headers", "authorization, content-type"),
        "access-control-max-age": str(_PREFLIGHT_SECONDS),
        "vary": "Origin",
    }
    if "access-control-request-private-network" in headers:
        answer["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=answer)


def _marking(send: Send, origin: str) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "location, retry-after"
            headers.add_vary_header("Origin")
        await send(message)

    return marked
