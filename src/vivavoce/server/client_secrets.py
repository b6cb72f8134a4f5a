"""Client secrets (`ek_…`): what a web page gets instead of a key. Short-lived, and bound to one configuration.

A secret carries its own content, signed, so that every worker accepts it and nothing is stored:

    ek_ + base64url(HMAC-SHA256(content) ‖ zlib(JSON content))

It is signed, not sealed: whoever holds it may read its configuration, as they may after connecting.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

PREFIX: Final = "ek_"
DEFAULT_SECONDS: Final = 600
LEAST_SECONDS: Final = 10
MOST_SECONDS: Final = 7200
_MAC_BYTES: Final = 32


class ClientSecret(Struct, frozen=True, kw_only=True):
    """What a secret says."""

    session: dict[str, Any]
    """What to lay over the default configuration, in GA names; checked when it was minted."""
    dialect: Literal["ga", "beta"]
    """Which dialect its connections speak."""
    expires_at: int
    """Unix seconds. A connection that stands by then goes on."""
    key_id: str
    """Who pays."""


class Signer:
    """Mints and reads client secrets. All workers have the same key."""

    def __init__(self, secret_key: str) -> None:
        self._key: Final = hashlib.sha256(b"vivavoce client secret " + secret_key.encode()).digest()

    def mint(self, secret: ClientSecret) -> str:
        """The secret as a client presents it. Its characters fit a header and a WebSocket subprotocol."""
        content = zlib.compress(msgspec.json.encode(secret), 9)
        return PREFIX + base64.urlsafe_b64encode(self._mac(content) + content).rstrip(b"=").decode()

    def read(self, value: str, now: float) -> ClientSecret | None:
        """What a valid secret says; `None` for a forged, damaged or expired one. `now` in Unix seconds."""
        try:
            signed = base64.urlsafe_b64decode(value.removeprefix(PREFIX) + "==")
        except (binascii.Error, ValueError):
            return None
        mac, content = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not value.startswith(PREFIX) or not hmac.compare_digest(mac, self._mac(content)):
            return None
        secret = msgspec.json.decode(zlib.decompress(content), type=ClientSecret)
        return secret if now < secret.expires_at else None

    def key_id(self, key: str) -> str:
        """A key's name for accounts: the same in all workers, and it says nothing about the key."""
        return hmac.digest(self._key, b"key id " + key.encode(), "sha256").hex()[:12]

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")
