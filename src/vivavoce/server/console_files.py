"""The console's files, read once at start-up from wherever the package lies, and how a browser may use them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' ws: wss:",  # Some browsers do not count a WebSocket to this host as 'self'.
        "media-src 'self' blob:",
        "worker-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


class _File(Struct, frozen=True):
    content: bytes
    packed: bytes
    """The same by gzip: a third."""
    headers: dict[str, str]


class Console:
    """Answers `GET /` and `GET /console/…`. A browser asks each time, and gets a 304 while nothing changed."""

    def __init__(self) -> None:
        folder = files("vivavoce.server").joinpath("console")
        self._files: Final = {path: _read(file) for path, file in _walk(folder)}

    async def page(self, request: Request) -> Response:
        """`GET /`."""
        return self._answer(request, "index.html")

    async def file(self, request: Request) -> Response:
        """`GET /console/{path}`."""
        return self._answer(request, request.path_params["path"])

    def _answer(self, request: Request, path: str) -> Response:
        file = self._files.get(path)
        if file is None:
            raise HTTPException(404)
        if request.headers.get("if-none-match") == file.headers["etag"]:
            return Response(status_code=304, headers=file.headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, headers={**file.headers, "content-encoding": "gzip"})
        return Response(file.content, headers=file.headers)


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """All files of a kind that is served, by their path below the folder."""
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        elif _suffix(path) in _TYPES:
            yield path, entry


def _read(file: Traversable) -> _File:
    content = file.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {**_HEADERS, "content-type": _TYPES[_suffix(file.name)], "etag": etag}
    return _File(content, gzip.compress(content, mtime=0), headers)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
