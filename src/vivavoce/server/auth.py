"""Who may connect: API keys, client secrets, and which web pages."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from vivavoce.server.client_secrets import PREFIX, ClientSecret, Signer
from vivavoce.server.errors import HttpError

KEY_PROTOCOL: Final = "openai-insecure-api-key."
"""A browser cannot set headers on a WebSocket: it offers its credential as a subprotocol with this prefix."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who knocked."""

    key_id: str
    """Whose account pays; empty on an open server."""
    secret: ClientSecret | None = None
    """Set where a client secret was presented, not a key."""


class Gate:
    """Checks credentials. Holds keys as bytes, compares in constant time, and shows them to nobody."""

    def __init__(self, keys: Sequence[str], signer: Signer) -> None:
        self._keys: Final = tuple((key.encode(), signer.key_id(key)) for key in keys)
        self._signer: Final = signer

    @property
    def open(self) -> bool:
        """No keys are set: everyone on this machine may connect."""
        return not self._keys

    def caller(self, headers: Mapping[str, str], subprotocols: Sequence[str], now: float) -> Caller:
        """Who presents these credentials. Raises `HttpError` 401."""
        credential = _credential(headers, subprotocols)
        if credential.startswith(PREFIX):
            if secret := self._signer.read(credential, now):
                return Caller(key_id=secret.key_id, secret=secret)
            raise _unauthorized("The client secret is invalid or has expired.")
        if self.open:
            return Caller(key_id="")
        if not credential:
            raise _unauthorized("You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY`.")
        found = [key_id for key, key_id in self._keys if hmac.compare_digest(key, credential.encode())]
        if not found:
            raise _unauthorized("Incorrect API key provided.")
        return Caller(key_id=found[0])

    def owner(self, headers: Mapping[str, str], now: float) -> Caller:
        """The same for what a client secret may not do: it opens a session and nothing else."""
        caller = self.caller(headers, (), now)
        if caller.secret:
            raise _unauthorized("A client secret only opens sessions. Use an API key here.")
        return caller


def _credential(headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if key := headers.get("api-key", "").strip():
        return key
    return next((name.removeprefix(KEY_PROTOCOL) for name in subprotocols if name.startswith(KEY_PROTOCOL)), "")


def _unauthorized(message: str) -> HttpError:
    return HttpError(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


# --- web pages ---

_LOCAL_PAGE: Final = re.compile(r"https?://(localhost|[\w-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)


def origin_allowed(origin: str | None, allowed: Sequence[str], is_open: bool) -> bool:
    """May a page from this origin connect? `docs/reference/settings.md`, Origins, is this function in words.

    On an open server the credential proves nothing, so the page's origin must. Where keys are set, a page has to know one:
    browsers add none by themselves, and there are no cookies.
    """
    if origin is None or origin in allowed or "*" in allowed:
        return True
    if _LOCAL_PAGE.fullmatch(origin):
        return True
    return not is_open and not allowed
