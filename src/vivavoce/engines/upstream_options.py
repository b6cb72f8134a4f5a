"""Where another server is, which key opens it, and how long to wait for it: what every part that reaches one can be told."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from vivavoce.protocol.errors import SettingsError

Seconds = Annotated[float, Meta(gt=0, le=3600)]
HTTP: Final = ("http", "https")


class UpstreamOptions(Struct, frozen=True, kw_only=True):
    """What every part that reaches another server can be told."""

    base_url: str = ""
    """Where the server is, up to and including `/v1`: `http://127.0.0.1:11434/v1`."""
    model: str = ""
    """Which of its models, as the server names it."""
    api_key: str = ""
    """Sent as `Authorization: Bearer …`. Empty: no such header."""
    api_key_env: str = ""
    """The variable of the environment that holds the key. Better than writing it down."""
    connect_seconds: Seconds = 5.0
    """How long a connection may take."""
    first_seconds: Seconds = 60.0
    """From the request to the first token, word or sound. A server that loads a model on demand needs it."""
    silence_seconds: Seconds = 20.0
    """The longest pause in an answer that has begun."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"


def address_of(name: str, base_url: str, schemes: Sequence[str] = HTTP) -> str:
    """The URL without a slash at its end. `name` is the part's path in the settings. Raises `SettingsError`."""
    example = "Write it as http://127.0.0.1:11434/v1."
    if not base_url:
        raise SettingsError(f"engines.{name}.base_url: say where the server is. {example}")
    try:
        url = urlsplit(base_url)
        _ = url.port
    except ValueError:
        raise SettingsError(f"engines.{name}.base_url: this is no URL. {example}") from None
    if url.scheme not in schemes or not url.hostname or url.query or url.fragment:
        raise SettingsError(f"engines.{name}.base_url: this is no http(s) URL of a server. {example}")
    if url.username or url.password:
        raise SettingsError(f"engines.{name}.base_url: no credentials here; there is api_key_env for them.")
    if url.path.rstrip("/").endswith(("/completions", "/transcriptions", "/speech", "/realtime")):
        raise SettingsError(f"engines.{name}.base_url: the path of the API is added here. {example}")
    return base_url.rstrip("/")


def key_of(name: str, options: UpstreamOptions) -> str:
    """The key, from wherever it is. Raises `SettingsError`."""
    if options.api_key and options.api_key_env:
        raise SettingsError(f"engines.{name}: api_key or api_key_env, not both.")
    key = options.api_key
    if options.api_key_env:
        key = os.environ.get(options.api_key_env, "").strip()
        if not key:
            raise SettingsError(f"engines.{name}.api_key_env: the variable {options.api_key_env} is not set.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingsError(f"engines.{name}: the key has characters that no header can carry.")
    return key


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: no proxy stands between."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
