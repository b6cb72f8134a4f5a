"""What the client plays: the answers' audio on the microphone's time.

    position   ──┬──────────────┬───────────────┬──────────▶  microphone samples
                 answer 1       │ silence       answer 2
                 sent here                      sent here

Audio stands where it could be heard at the earliest: at the microphone's position when it was sent, or behind what was sent
before it. How much later the client really plays it is for others to find out. Samples are 16-bit, at the microphone's rate.
"""

from __future__ import annotations

import numpy as np

from vivavoce.audio import Samples


class Playback:
    """The line of what was sent. Positions count microphone samples."""

    def __init__(self, kept_samples: int) -> None:
        self._kept_samples = kept_samples
        """How far back `read` may look."""
        self._line = np.empty(0, np.int16)
        self._start = 0
        """The position of the line's first sample."""
        self.end = 0
        """Behind the last sample. Before it and after it there is silence."""

    def add(self, position: int, samples: Samples, read_until: int) -> bool:
        """Audio was sent when the microphone was at `position`. True: it does not follow what was sent before.

        Up to `read_until` the line was read already. Audio that comes late, but before its place was read, follows still:
        the client has a buffer for that too.
        """
        follows = self.end > self._start and self.end >= min(position, read_until)
        if not follows:
            self._restart(max(position, self.end))
        self._line = np.concatenate([self._line, samples])
        self.end += samples.size
        return not follows

    def cut(self, position: int) -> None:
        """The client stopped playing: what stands from `position` on will not be heard."""
        keep = max(0, position - self._start)
        if keep < self._line.size:
            self._line = self._line[:keep]
            self.end = self._start + keep

    def read(self, start: int, end: int) -> Samples:
        """What stands from one position to another, silence where nothing does."""
        out = np.zeros(end - start, np.int16)
        first, last = max(start, self._start), min(end, self.end)
        if first < last:
            out[first - start : last - start] = self._line[first - self._start : last - self._start]
        return out

    def forget(self, position: int) -> None:
        """The microphone is at `position`: what is too old for `read` may go. Cheap enough to call often."""
        spare = position - self._kept_samples - self._start
        if spare > self._kept_samples:
            self._line = self._line[spare:]
            self._start += spare
            self.end = max(self.end, self._start)

    def _restart(self, position: int) -> None:
        """Fill up with silence to a position; long silence is not kept."""
        silence = position - self.end
        if silence > self._kept_samples:
            self._line, self._start = np.empty(0, np.int16), position
        else:
            self._line = np.concatenate([self._line, np.zeros(silence, np.int16)])
        self.end = position
