"""HTTP errors as the API writes them: `{"error": {"message", "type", "code", "param"}}`, whatever went wrong."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.protocol.errors import RequestError

_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 415: "unsupported_media_type"}


class HttpError(Exception):
    """Answer with this status and this error. For the client's fault, and for what the server cannot do now."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status: Final = status
        self.code: Final = code
        self.message: Final = message
        self.param: Final = param
        self.headers: Final = headers or {}

    def body(self) -> bytes:
        """The JSON body."""
        return msgspec.json.encode({"error": self._details()})

    def _details(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"message": self.message, "type": kind, "code": self.code, "param": self.param}

    def response(self) -> Response:
        """The whole response."""
        return Response(self.body(), self.status, self.headers, "application/json")


def on_http_error(_: Request, error: Exception) -> Response:
    """For Starlette: an `HttpError` that a route raised."""
    assert isinstance(error, HttpError)
    return error.response()


def on_request_error(_: Request, error: Exception) -> Response:
    """For Starlette: a `RequestError` from the protocol's own checks."""
    assert isinstance(error, RequestError)
    return HttpError(400, error.code, error.message, error.param).response()


def on_starlette_error(request: Request, error: Exception) -> Response:
    """For Starlette: 404 and 405 from the router."""
    assert isinstance(error, HTTPException)
    messages = {
        404: f"Unknown request URL: {request.method} {request.url.path}. Please check the URL for typos.",
        405: f"Not allowed to {request.method} on {request.url.path}.",
    }
    code = _CODES.get(error.status_code, "invalid_request")
    message = messages.get(error.status_code, error.detail)
    return HttpError(error.status_code, code, message, headers=dict(error.headers or {})).response()


def on_bug(_: Request, __: Exception) -> Response:
    """For Starlette: anything else is our bug. Nothing of it is shown; uvicorn logs it."""
    return HttpError(500, "server_error", "The server had an error while processing your request.").response()
