"""The input audio buffer: what the user's microphone sent and nobody took yet.

Bytes stay as the client sent them. Positions count samples at 24,000 Hz from the first audio of the session and never go
back: not after a commit, not after a clear. Half a sample at the end waits for its other half.

          start_samples            end_samples
    ──────────┬─────────────────────────┬────────▶ position
     taken,   │        buffered         │  not received yet
     trimmed  │                         │

The buffer is a list of blocks, all full but the last. A buffer in one piece moves as it grows and leaves holes in the heap
between the turns that are kept; blocks fill the holes that are there.
"""

from __future__ import annotations

from typing import Final

from vivavoce.audio import Encoder, bytes_to_samples, samples_to_bytes, to_pcm
from vivavoce.protocol.objects import PCM, AudioFormat

BLOCK_BYTES: Final = 8192


class InputAudio:
    """The buffer and its place in the session's audio."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.start_samples = 0
        self.end_samples = 0
        """Position after the last whole sample received."""
        self._size_bytes = 0
        self._blocks: list[bytearray] = []
        self._gone_bytes = 0
        """So much of the first block is taken or trimmed."""

    def __len__(self) -> int:
        """Buffered bytes, half samples included."""
        return self._size_bytes

    def append(self, audio: bytes) -> None:
        """Add any number of bytes."""
        self._size_bytes += len(audio)
        self.end_samples = self.start_samples + bytes_to_samples(self._size_bytes, self.format.type)
        if self._blocks and len(self._blocks[-1]) + len(audio) <= BLOCK_BYTES:
            self._blocks[-1] += audio
            return
        rest = memoryview(audio)
        while rest:
            if not self._blocks or len(self._blocks[-1]) == BLOCK_BYTES:
                self._blocks.append(bytearray())
            room = BLOCK_BYTES - len(self._blocks[-1])
            self._blocks[-1] += rest[:room]
            rest = rest[room:]

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
        self._drop(self._offset(start_samples))

    def clear(self) -> None:
        """Forget everything, half a sample too."""
        self.start_samples = self.end_samples
        self._forget()

    def change_format(self, format: AudioFormat) -> None:
        """From now on bytes arrive in another format. What is buffered is converted: no byte is lost or used twice."""
        if format == self.format:
            return
        pcm = to_pcm(self._copy(0, self._size_bytes), self.format.type)
        if format.type != PCM.type:
            encoder = Encoder(format.type)
            pcm = encoder.feed(pcm) + encoder.flush()
        self.format = format
        self._forget()
        self.append(pcm)

    def _offset(self, position_samples: int) -> int:
        """Bytes before a position: whole samples, inside the buffer."""
        if position_samples <= self.start_samples:
            return 0
        return samples_to_bytes(min(position_samples, self.end_samples) - self.start_samples, self.format.type)

    def _copy(self, first: int, last: int) -> bytes:
        """The bytes from one offset to another."""
        index, start = divmod(self._gone_bytes + first, BLOCK_BYTES)
        pieces = []
        wanted = last - first
        while wanted > 0:
            pieces.append(memoryview(self._blocks[index])[start : start + wanted])
            wanted -= len(pieces[-1])
            index, start = index + 1, 0
        return b"".join(pieces)

    def _drop(self, n_bytes: int) -> None:
        if n_bytes:
            self.start_samples += bytes_to_samples(n_bytes, self.format.type)
            self._size_bytes -= n_bytes
            blocks, self._gone_bytes = divmod(self._gone_bytes + n_bytes, BLOCK_BYTES)
            del self._blocks[:blocks]

    def _forget(self) -> None:
        self._blocks.clear()
        self._size_bytes = self._gone_bytes = 0
