"""What the routes of one process share."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from msgspec import Struct

from vivavoce.front_end.front_ends import FrontEnds
from vivavoce.server.auth import Gate
from vivavoce.server.client_secrets import Signer
from vivavoce.server.engines import Engines
from vivavoce.server.keys import keys_of
from vivavoce.server.metrics import Metrics
from vivavoce.server.rate_limits import Accounts
from vivavoce.server.sessions import Sessions
from vivavoce.settings import Settings
from vivavoce.trace import Traces


class ServerState(Struct, frozen=True, kw_only=True):
    """Made once, before anything is loaded or listened to."""

    settings: Settings
    gate: Gate
    signer: Signer
    engines: Engines
    front_ends: FrontEnds
    accounts: Accounts
    sessions: Sessions
    metrics: Metrics
    traces: Traces | None
    started_at: int
    """Unix seconds."""


def make_state(settings: Settings, engines: Engines | None = None) -> ServerState:
    """Check the settings against the world: keys, engines, folders. Raises `SettingsError`.

    `engines` are those of the settings, if they have been made already.
    """
    keys = keys_of(settings)
    signer = Signer(settings.secret_key or secrets.token_hex())
    return ServerState(
        settings=settings,
        gate=Gate(keys, signer),
        signer=signer,
        engines=engines or Engines(settings),
        front_ends=FrontEnds(settings),
        accounts=Accounts(settings.rate_limits),
        sessions=Sessions(settings.limits.max_sessions, settings.workers),
        metrics=Metrics(),
        traces=Traces(Path(settings.trace)) if settings.trace else None,
        started_at=int(time.time()),
    )
