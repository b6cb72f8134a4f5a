"""What crosses the session's border beside client events and engine traffic.

    runner ── Setup ──▶ Session(setup)                    once
    runner ── ClientEvent | EngineEvent | Tick | Rejected | Admitted | Refused | Disconnected ──▶ handle(input, now)
    runner ◀── ServerEvent | EngineCommand | Admit | Spend | Close ── outputs

All of it is plain data: a trace is the setup and then these, line by line.
"""

from __future__ import annotations

from msgspec import Struct

from vivavoce.engine_api import Capabilities, EngineCommand, EngineEvent
from vivavoce.protocol.client_events import ClientEvent
from vivavoce.protocol.config import Config
from vivavoce.protocol.objects import RateLimit
from vivavoce.protocol.server_events import ServerEvent


class Setup(Struct, frozen=True, kw_only=True):
    """Everything a session is born with. The runner draws the random part; the session draws nothing."""

    seed: str
    """Random, unique to the session; every id is made from it: `sess_SEED`, `conv_SEED`, `item_SEED0`."""
    config: Config
    capabilities: Capabilities
    opened_at: float = 0.0
    """Monotonic seconds, as every `now`."""
    expires_at: int
    """Unix seconds, for the client's eyes only."""
    duration_seconds: float = 3600.0
    """After this, `session_expired` and close 1001."""
    max_items: int = 10_000
    """More items than this are refused."""
    max_buffered_bytes: int = 64 * 2**20
    """More uncommitted audio than this is refused."""
    engine_silence_seconds: float = 120.0
    """A response of which the engine says nothing for so long has failed."""
    rate_limited: bool = False
    """Ask with `Admit` before each response."""
    draft_after_ms: int | None = None
    """After so much silence inside a turn an answer is drafted, if the engine can. `None`: never."""
    confirm_barge_in_ms: int | None = None
    """Speech pauses an answer, and cuts it off when it has lasted so long or has words. `None`: it cuts it off at once."""
    speak_late_outputs: bool = False
    """A function's output that comes while the floor is taken is answered when it is free, without `response.create`."""


# --- inputs ---


class Tick(Struct, frozen=True, tag=True):
    """The moment that `deadline()` named has come. A late, early or needless tick does no harm."""


class Rejected(Struct, frozen=True, tag=True):
    """A frame that never became an event: the client hears why, and the session goes on."""

    code: str
    message: str
    param: str | None = None
    event_id: str | None = None


class Admitted(Struct, frozen=True, tag=True):
    """The account has room for this response."""

    response_id: str
    limits: tuple[RateLimit, ...]


class Refused(Struct, frozen=True, tag=True):
    """The account has no room for this response."""

    response_id: str
    message: str
    limits: tuple[RateLimit, ...]


class Disconnected(Struct, frozen=True, tag=True):
    """The client is gone. Nothing is sent from now on; running generations are stopped."""


class Drain(Struct, frozen=True, tag=True):
    """The server is going away: start nothing new, and close with 1001 once nothing runs."""

    reason: str = "The server is restarting."


Input = ClientEvent | EngineEvent | Tick | Rejected | Admitted | Refused | Disconnected | Drain


# --- outputs ---


class Admit(Struct, frozen=True, tag=True):
    """May this response, which will read about `tokens`, start? The runner answers `Admitted` or `Refused`, at once."""

    response_id: str
    tokens: int


class Spend(Struct, frozen=True, tag=True):
    """A response ended; it cost `tokens` more (or less) than `Admit` said."""

    tokens: int


class Close(Struct, frozen=True, tag=True):
    """Close the connection. The last output of a session."""

    code: int
    reason: str


Output = ServerEvent | EngineCommand | Admit | Spend | Close
