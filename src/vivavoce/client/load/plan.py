"""What a load is: how many sessions, for how long, and how they behave."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from vivavoce.client.connection import Server

CHUNK_MS: Final = 20
"""What a client sends at once, as most do."""
ECHO_SECONDS: Final = 1.0
"""How often a session asks for an echo."""
PATIENCE_SECONDS: Final = 15.0
"""How long a session waits for an answer before it counts an error and goes on."""


class Plan(Struct, frozen=True, kw_only=True):
    """One run."""

    server: Server
    sessions: int = 10
    processes: int = 1
    """The load generator's own."""
    seconds: float = 30.0
    """Measured time, after `warm_up_seconds` in which all sessions speak already."""
    warm_up_seconds: float = 5.0
    ramp_seconds: float = 2.0
    """Over how long the sessions open."""
    pause_seconds: float = 0.5
    """Between the end of an answer (its last event, not its playback) and the next utterance."""
    interrupting: float = 0.0
    """The share of answers that are spoken over while the server still sends them."""
    silence_ms: int = 500
    """The server's `silence_duration_ms`."""
    seed: int = 0

    def share(self, process: int) -> range:
        """The numbers of the sessions that a process holds."""
        return range(process, self.sessions, self.processes)
