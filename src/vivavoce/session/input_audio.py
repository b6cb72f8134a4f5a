"""The input audio buffer: what the user's microphone sent and nobody took yet.

Bytes stay as the client sent them, and where they came: the buffer is a line of pieces, and nothing is copied before it is
taken. Positions count samples at 24,000 Hz from the first audio of the session and never go back: not after a commit, not
after a clear. Half a sample at the end waits for its other half.

          start_samples            end_samples
    ──────────┬─────────────────────────┬────────▶ position
     taken,   │        buffered         │  not received yet
     trimmed  │                         │
"""

from __future__ import annotations

from collections import deque
from typing import Final

from vivavoce.audio import Encoder, bytes_to_samples, samples_to_bytes, to_pcm
from vivavoce.protocol.objects import PCM, AudioFormat

LEAST_PIECE_BYTES: Final = 512
"""Shorter pieces are joined: a client may send its audio byte by byte."""
LARGEST_PIECE_BYTES: Final = 64 * 1024
"""Longer ones are divided: a piece is given back when all of it is gone."""


class InputAudio:
    """The buffer and its place in the session's audio."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.start_samples = 0
        self.end_samples = 0
        """Position after the last whole sample received."""
        self.n_bytes = 0
        """Buffered bytes, half samples included."""
        self._pieces: deque[bytes] = deque()
        self._gone_bytes = 0
        """So much of the first piece is taken or trimmed."""

    def append(self, audio: bytes) -> None:
        """Add any number of bytes."""
        self.n_bytes += len(audio)
        self.end_samples = self.start_samples + bytes_to_samples(self.n_bytes, self.format.type)
        pieces = self._pieces
        if pieces and len(pieces[-1]) < LEAST_PIECE_BYTES:
            audio = pieces.pop() + audio
        if len(audio) <= LARGEST_PIECE_BYTES:
            pieces.append(audio)
        else:
            pieces.extend(audio[at : at + LARGEST_PIECE_BYTES] for at in range(0, len(audio), LARGEST_PIECE_BYTES))

    def since(self, start_samples: int) -> bytes:
        """The audio from a position to the end. What came last is not copied, if it is just that."""
        n_bytes = samples_to_bytes(self.end_samples - start_samples, self.format.type)
        if self._pieces and len(self._pieces[-1]) == n_bytes and not self._half_bytes():
            return self._pieces[-1]
        return self.between(start_samples, self.end_samples)

    def between(self, start_samples: int, end_samples: int) -> bytes:
        """A copy of the audio from one position to another, as far as it is buffered."""
        return self._copy(self._offset(start_samples), self._offset(end_samples))

    def take(self, end_samples: int) -> bytes:
        """Remove and return the audio before a position."""
        cut = self._offset(end_samples)
        audio = self._copy(0, cut)
        self._drop(cut)
        return audio

    def trim(self, start_samples: int) -> None:
        """Forget the audio before a position. Silence that no turn will want."""
        if start_samples > self.start_samples:
            self._drop(self._offset(start_samples))

    def clear(self) -> None:
        """Forget everything, half a sample too."""
        self.start_samples = self.end_samples
        self._forget()

    def change_format(self, format: AudioFormat) -> None:
        """From now on bytes arrive in another format. What is buffered is converted: no byte is lost or used twice."""
        if format == self.format:
            return
        pcm = to_pcm(self._copy(0, self.n_bytes), self.format.type)
        if format.type != PCM.type:
            encoder = Encoder(format.type)
            pcm = encoder.feed(pcm) + encoder.flush()
        self.format = format
        self._forget()
        self.append(pcm)

    def _half_bytes(self) -> int:
        """Bytes at the end that are no whole sample yet."""
        return self.n_bytes - samples_to_bytes(self.end_samples - self.start_samples, self.format.type)

    def _offset(self, position_samples: int) -> int:
        """Bytes before a position: whole samples, inside the buffer."""
        if position_samples <= self.start_samples:
            return 0
        return samples_to_bytes(min(position_samples, self.end_samples) - self.start_samples, self.format.type)

    def _copy(self, first: int, last: int) -> bytes:
        """The bytes from one offset to another. Looked for from the end: most of what is wanted is new."""
        found: list[bytes] = []
        end = self.n_bytes
        for piece in reversed(self._pieces):
            start = end - len(piece)
            if start < last:
                found.append(piece[max(0, first - start) : last - start])
            if start <= first:
                break
            end = start
        return b"".join(reversed(found))

    def _drop(self, n_bytes: int) -> None:
        if not n_bytes:
            return
        self.start_samples += bytes_to_samples(n_bytes, self.format.type)
        self.n_bytes -= n_bytes
        gone, pieces = self._gone_bytes + n_bytes, self._pieces
        while pieces and gone >= len(pieces[0]):
            gone -= len(pieces.popleft())
        self._gone_bytes = gone

    def _forget(self) -> None:
        self._pieces.clear()
        self.n_bytes = self._gone_bytes = 0
