"""The API keys that the operator set, and when there have to be some."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from vivavoce.protocol.errors import SettingsError
from vivavoce.server.client_secrets import PREFIX
from vivavoce.settings import Settings


def keys_of(settings: Settings) -> tuple[str, ...]:
    """All API keys. Raises `SettingsError` for a key file that cannot be read, and where keys are missing but needed."""
    keys = [*settings.api_keys, *_keys_in(settings.api_key_file)]
    if any(key.startswith(PREFIX) for key in keys):
        raise SettingsError(f'An API key may not begin with "{PREFIX}": that is how client secrets begin.')
    if not keys and not _is_loopback(settings.host):
        raise SettingsError(
            f"Without API keys the server is open to everyone who can reach {settings.host}. "
            "Set VIVAVOCE_API_KEYS=a-long-random-key, or listen on 127.0.0.1."
        )
    return tuple(dict.fromkeys(keys))


def _keys_in(file: str | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read api_key_file {file}: {error}.") from None
    keys = [key for line in lines if (key := line.partition("#")[0].strip())]
    if not keys:
        raise SettingsError(f"There is no key in api_key_file {file}.")
    return keys


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
