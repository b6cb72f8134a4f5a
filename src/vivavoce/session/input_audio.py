"""The input audio buffer: what the user's microphone sent and nobody took yet.

Bytes stay as the client sent them. Positions count samples at 24,000 Hz from the first audio of the session and never go
back: not after a commit, not after a clear. Half a sample at the end waits for its other half.

          start_samples            end_samples
    ──────────┬─────────────────────────┬────────▶ position
     taken,   │        buffered         │  not received yet
     trimmed  │                         │
"""

from __future__ import annotations

from vivavoce.audio import Encoder, bytes_to_samples, samples_to_bytes, to_pcm
from vivavoce.protocol.objects import PCM, AudioFormat


class InputAudio:
    """The buffer and its place in the session's audio."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.start_samples = 0
        self.end_samples = 0
        """Position after the last whole sample received."""
        self._data = bytearray()

    def __len__(self) -> int:
        """Buffered bytes, half samples included."""
        return len(self._data)

    def append(self, audio: bytes) -> None:
        """Add any number of bytes."""
        self._data += audio
        self.end_samples = self.start_samples + bytes_to_samples(len(self._data), self.format.type)

    def between(self, start_samples: int, end_samples: int) -> bytes:
        """A copy of the audio from one position to another, as far as it is buffered."""
        first = self._offset(start_samples)
        return bytes(memoryview(self._data)[first : self._offset(end_samples)])

    def take(self, end_samples: int) -> bytes:
        """Remove and return the audio before a position."""
        cut = self._offset(end_samples)
        audio = bytes(memoryview(self._data)[:cut])
        self._drop(cut)
        return audio

    def trim(self, start_samples: int) -> None:
        """Forget the audio before a position. Silence that no turn will want."""
        self._drop(self._offset(start_samples))

    def clear(self) -> None:
        """Forget everything, half a sample too."""
        self.start_samples = self.end_samples
        self._data.clear()

    def change_format(self, format: AudioFormat) -> None:
        """From now on bytes arrive in another format. What is buffered is converted: no byte is lost or used twice."""
        if format == self.format:
            return
        pcm = to_pcm(bytes(self._data), self.format.type)
        if format.type != PCM.type:
            encoder = Encoder(format.type)
            pcm = encoder.feed(pcm) + encoder.flush()
        self._data = bytearray(pcm)
        self.format = format
        self.end_samples = self.start_samples + bytes_to_samples(len(self._data), format.type)

    def _offset(self, position_samples: int) -> int:
        """Bytes before a position: whole samples, inside the buffer."""
        if position_samples <= self.start_samples:
            return 0
        return samples_to_bytes(min(position_samples, self.end_samples) - self.start_samples, self.format.type)

    def _drop(self, n_bytes: int) -> None:
        if n_bytes:
            self.start_samples += bytes_to_samples(n_bytes, self.format.type)
            del self._data[:n_bytes]
