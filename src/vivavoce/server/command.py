"""`vivavoce serve`: one process or several, and the lines that say that it serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from vivavoce.server.keys import keys_of
from vivavoce.server.local_models import tell_later
from vivavoce.server.logs import configure
from vivavoce.server.serving import listen, serve
from vivavoce.settings import Settings


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises `SettingsError` and `EngineError`."""
    is_open = not keys_of(settings)
    configure(settings.log, settings.log_level)
    if settings.workers > 1:
        from vivavoce.server.workers import supervise

        return supervise(settings, lambda worker: _announce(settings, worker.port, worker.engines, is_open))
    listener = listen(settings.host, settings.port, shared=False)
    port = listener.getsockname()[1]
    serve(settings, listener, lambda state: _announce(settings, port, state.engines.names, is_open))
    return 0


def _announce(settings: Settings, port: int, engines: Sequence[str], is_open: bool) -> None:
    for text in announcement(msgspec.structs.replace(settings, port=port), engines, is_open):
        sys.stdout.write(text + "\n")
    sys.stdout.flush()
    tell_later(msgspec.structs.replace(settings, port=port))


def announcement(settings: Settings, engines: Sequence[str], is_open: bool) -> list[str]:
    """What to tell whoever started the server: where, which engines, and what to set in a client."""
    url = base_url(settings)
    lines = [
        f"Vivavoce is ready. API: {url}/v1 · console: {url}/ · engines: {', '.join(engines)} · "
        f"in your client: OPENAI_BASE_URL={url}/v1"
    ]
    if is_open:
        lines.append("No API keys are set: open to programs on this machine, with any key, and to nobody else.")
    return lines


def base_url(settings: Settings) -> str:
    """Where this machine reaches the server: `http://127.0.0.1:8000`."""
    scheme = "https" if settings.certfile else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)  # noqa: S104 - where to call
    return f"{scheme}://[{host}]:{settings.port}" if ":" in host else f"{scheme}://{host}:{settings.port}"
