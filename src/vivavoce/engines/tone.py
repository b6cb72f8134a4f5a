"""How something is said: whispered, slowly, with a laugh."""

from __future__ import annotations

from msgspec import Struct


class Tone(Struct, frozen=True, kw_only=True):
    """A manner of speaking. The defaults are the voice's own manner."""

    whisper: bool = False
    pace: float = 1.0
    """1.2 is a fifth faster. Comes on top of the session's `speed`."""
    pitch: float = 1.0
    """1.2 is a fifth higher."""
    pitch_range: float = 1.0
    """Above 1 more melody (excited), below 1 less (calm, flat)."""
    volume: float = 1.0
    laugh: bool = False
    """A laugh before the words."""
    direction: str = ""
    """The directions in the user's own words, for synthesizers that follow prose."""
