"""What waits for the loudspeaker: audio in, audio out, and how much of each item was heard.

push(item, audio) ──▶ │ …queue… │ ──▶ pull(n_bytes)      the loudspeaker's callback, in its own thread
                          │
                          └──▶ flush() ──▶ [Cut(item, heard_ms), …]     the user spoke: what was not heard is gone
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from msgspec import Struct


class Cut(Struct, frozen=True):
    """An item whose rest nobody will hear."""

    item_id: str
    content_index: int
    heard_ms: int


class Playout:
    """A queue of audio. All methods may be called from any thread; none takes longer than a copy."""

    def __init__(self, bytes_per_ms: int) -> None:
        self._bytes_per_ms: Final = bytes_per_ms
        self._lock: Final = threading.Lock()
        self._waiting: deque[tuple[tuple[str, int], bytes]] = deque()
        self._heard_bytes: dict[tuple[str, int], int] = {}
        self._cut: set[tuple[str, int]] = set()
        self._waiting_bytes = 0

    @property
    def waiting_ms(self) -> float:
        """How long it will play on."""
        return self._waiting_bytes / self._bytes_per_ms

    def push(self, item_id: str, content_index: int, audio: bytes) -> None:
        """More of an item. What still arrives of an item after it was cut is dropped."""
        part = (item_id, content_index)
        with self._lock:
            if part not in self._cut:
                self._waiting.append((part, audio))
                self._waiting_bytes += len(audio)

    def pull(self, n_bytes: int) -> bytes:
        """The next audio for the loudspeaker, `n_bytes` of it or what there is."""
        pulled = bytearray()
        with self._lock:
            while self._waiting and len(pulled) < n_bytes:
                part, audio = self._waiting.popleft()
                taken = audio[: n_bytes - len(pulled)]
                if len(taken) < len(audio):
                    self._waiting.appendleft((part, audio[len(taken) :]))
                pulled += taken
                self._heard_bytes[part] = self._heard_bytes.get(part, 0) + len(taken)
            self._waiting_bytes -= len(pulled)
        return bytes(pulled)

    def flush(self) -> list[Cut]:
        """Fall silent. The items that were not heard to the end of what has come, in order; none if all was heard."""
        with self._lock:
            parts = list(dict.fromkeys(part for part, _ in self._waiting))
            self._waiting.clear()
            self._waiting_bytes = 0
            self._cut.update(parts)
            return [Cut(*part, self._heard_bytes.get(part, 0) // self._bytes_per_ms) for part in parts]


class SimulatedLoudspeaker:
    """Plays as a loudspeaker would, by the clock alone: no samples are heard, but it is known which would have been.

    Times are monotonic seconds. Where the queue runs dry the loudspeaker waits, as a real one does.
    """

    def __init__(self, bytes_per_ms: int) -> None:
        self._bytes_per_ms: Final = bytes_per_ms
        self._playout: Final = Playout(bytes_per_ms)
        self._at: float | None = None

    def push(self, item_id: str, content_index: int, audio: bytes, now: float) -> None:
        """More of an item, at `now`."""
        self._advance(now)
        self._playout.push(item_id, content_index, audio)

    def flush(self, now: float) -> list[Cut]:
        """Fall silent at `now`."""
        self._advance(now)
        return self._playout.flush()

    def ends_at(self, now: float) -> float:
        """When what has come will have been heard."""
        self._advance(now)
        return now + self._playout.waiting_ms / 1000

    def _advance(self, now: float) -> None:
        at = now if self._at is None else self._at
        played_ms = round((now - at) * 1000)
        self._playout.pull(played_ms * self._bytes_per_ms)
        self._at = at + played_ms / 1000  # whole milliseconds, so that none gets lost between two calls
