"""The opening handshake of a WebSocket (RFC 6455, section 4), without a socket."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Request(Struct, frozen=True, kw_only=True):
    """What the client asks for."""

    path: str
    query: Mapping[str, str]
    """Of a parameter that comes twice, the last value."""
    headers: Mapping[str, str]
    """Names in lower case; a header that comes twice is joined with commas, as HTTP does."""
    subprotocols: tuple[str, ...]
    accept_key: str
    """For `Sec-WebSocket-Accept`."""


class HandshakeError(Exception):
    """This is no opening handshake. `response` is the whole HTTP response."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        error = {"message": message, "type": "invalid_request_error", "code": "invalid_handshake", "param": None}
        self.response: Final = refusal(status, msgspec.json.encode({"error": error}), headers)


def parse(head: bytes) -> Request:
    """Read a request's head, from its first line to the empty one. Raises `HandshakeError`."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    if method != "GET":
        raise HandshakeError(405, "A WebSocket is opened with GET.", {"Allow": "GET"})
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = target.partition("?")
    return Request(
        path=unquote(path),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        subprotocols=tuple(_list(headers.get("sec-websocket-protocol", ""))),
        accept_key=_accept_key(headers),
    )


def _list(value: str) -> list[str]:
    return [part for part in (part.strip() for part in value.split(",")) if part]


def _accept_key(headers: Mapping[str, str]) -> str:
    if headers.get("sec-websocket-version") != "13":
        raise HandshakeError(426, "Only WebSocket version 13 is spoken here.", {"Sec-WebSocket-Version": "13"})
    key = headers.get("sec-websocket-key", "")
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:  # "when base64-decoded, is 16 bytes in length"
        raise HandshakeError(400, "The header Sec-WebSocket-Key is missing or invalid.")
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def acceptance(request: Request, subprotocol: str | None) -> bytes:
    """The response that opens the WebSocket."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {request.accept_key}")
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def refusal(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """The response that does not. `body` is JSON."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Type: application/json", "Connection: close"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
