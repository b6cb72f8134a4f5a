"""One microphone's audio, cleaned: wire bytes in, as many wire bytes out.

    bytes ─▶ whole frames of 10 ms ─▶ canceller, suppressor ─▶ bytes
               │ the rest waits        ▲ what was played then
               ▼ or is flushed         └── Echo

`clean` and `flush` belong to a worker thread, one call at a time; `play` and `stop` may be called from any other.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, Protocol

import numpy as np
from msgspec import Struct

from vivavoce.audio import PCM_SAMPLE_BYTES, Decoder, Encoding, Samples, encoding_hz, g711_decode, g711_encode
from vivavoce.front_end.echo import Echo

_logger = logging.getLogger("vivavoce.front_end")

MOST_PLAYED: Final = 4_000
"""Pieces of playback that wait for a microphone that says nothing."""


class Wish(Struct, frozen=True):
    """What a session wants of its microphone's audio."""

    encoding: Encoding
    noise: Literal["near_field", "far_field"] | None
    """A voice that is near: noise is suppressed. One that is far: and its level is raised."""
    echo: bool


class Canceller(Protocol):
    """What cleans: `webrtc.AudioProcessing`."""

    def process(self, near: Samples, far: Samples | None) -> Samples:
        """Clean a frame of 10 ms."""


MakeCanceller = Callable[[Wish], Canceller]
"""Called on the worker thread when the first frame comes. Whatever it raises leaves the audio uncleaned."""


class _Played(Struct, frozen=True):
    """Audio that the client was sent, or, without audio, the moment at which it stops playing."""

    position: int
    audio: bytes | None = None
    encoding: Encoding = "audio/pcm"


class Microphone:
    """See the module."""

    def __init__(self, wish: Wish, make_canceller: MakeCanceller) -> None:
        self.wish: Final = wish
        self._make_canceller: Final = make_canceller
        self._rate_hz: Final = encoding_hz(wish.encoding)
        self._sample_bytes: Final = PCM_SAMPLE_BYTES if wish.encoding == "audio/pcm" else 1
        self._frame_bytes: Final = self._rate_hz // 100 * self._sample_bytes
        self._canceller: Canceller | None = None
        self._broken = False
        self._rest = b""
        self._received_bytes = 0
        self._echo: Final = Echo(self._rate_hz) if wish.echo else None
        self._played: Final[deque[_Played]] = deque(maxlen=MOST_PLAYED)
        self._decoder = Decoder("audio/pcm", self._rate_hz)
        self._decoded: Encoding = "audio/pcm"

    # --- the event loop's side ---

    @property
    def has_rest(self) -> bool:
        """Less than a frame waits for more."""
        return bool(self._rest)

    def receive(self, n_bytes: int) -> None:
        """The client sent so many bytes, which will be cleaned after what it sent before."""
        self._received_bytes += n_bytes

    def play(self, audio: bytes, encoding: Encoding) -> None:
        """The client was sent audio."""
        if self._echo is not None:
            self._played.append(_Played(self._position, audio, encoding))

    def stop(self) -> None:
        """The client stops playing."""
        if self._echo is not None:
            self._played.append(_Played(self._position))

    @property
    def _position(self) -> int:
        return self._received_bytes // self._sample_bytes

    # --- the worker's side ---

    def clean(self, audio: bytes) -> bytes:
        """The next audio: as much as makes whole frames comes back, the rest with the next call. Raises nothing."""
        audio = self._rest + audio
        self._rest = b""
        if self._broken:
            return audio
        end = len(audio) - len(audio) % self._frame_bytes
        cleaned: list[bytes] = []
        try:
            for start in range(0, end, self._frame_bytes):
                cleaned.append(self._clean_frame(audio[start : start + self._frame_bytes]))
        except Exception:
            _logger.exception("The audio of a session is not cleaned from here on.")
            self._broken = True
            return b"".join(cleaned) + audio[len(cleaned) * self._frame_bytes :]
        self._rest = audio[end:]
        return b"".join(cleaned)

    def flush(self) -> bytes:
        """The rest, as if silence followed."""
        if not self._rest:
            return b""
        n_bytes = len(self._rest)
        cleaned = self.clean(bytes(self._frame_bytes - n_bytes))[:n_bytes]
        if self._echo is not None:
            self._echo.take_back((self._frame_bytes - n_bytes) // self._sample_bytes)
        return cleaned

    def _clean_frame(self, audio: bytes) -> bytes:
        near = self._samples(audio)
        if self._canceller is None:
            self._canceller = self._make_canceller(self.wish)
        if self._echo is None:
            return self._bytes(self._canceller.process(near, None))
        self._take_played(self._echo)
        far, muted = self._echo.frame(near)
        cleaned = self._canceller.process(near, far)
        if self._echo.is_residue(near, cleaned) or muted:
            cleaned = np.zeros_like(cleaned)
        return self._bytes(cleaned)

    def _take_played(self, echo: Echo) -> None:
        while self._played:
            played = self._played.popleft()
            if played.audio is None:
                echo.stop(played.position)
                continue
            if played.encoding != self._decoded:
                self._decoder, self._decoded = Decoder(played.encoding, self._rate_hz), played.encoding
            echo.play(played.position, self._decoder.feed(played.audio))

    def _samples(self, audio: bytes) -> Samples:
        if self.wish.encoding == "audio/pcm":
            return np.frombuffer(audio, "<i2")
        return g711_decode(audio, self.wish.encoding)

    def _bytes(self, samples: Samples) -> bytes:
        if self.wish.encoding == "audio/pcm":
            return samples.astype("<i2", copy=False).tobytes()
        return g711_encode(samples, self.wish.encoding)
