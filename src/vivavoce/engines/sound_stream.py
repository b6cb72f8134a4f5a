"""Sound in base64, cut anywhere → PCM16 mono at 24,000 Hz. Pure.

What comes is bare PCM16, or one WAV file cut in pieces, or a WAV file in each piece. A file's head says its rate, channels
and encoding, and what follows without a head is more of the same.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

import numpy as np

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, Resampler, Samples
from vivavoce.engines.wav import ENDLESS_BYTES, WavHead, is_usual, read_head, read_wav, wav_header

_BARE: Final = ("", "pcm", "pcm16", "pcm_s16le", "s16le", "wav")
"""Formats that this reader reads; `wav` often is PCM16 without a head."""
_COMPRESSED: Final = {b"ID3": "MP3", b"OggS": "Ogg", b"fLaC": "FLAC"}
_LONGEST_HEAD_BYTES: Final = 64 * 2**10
_SHORTEST_HEAD_BYTES: Final = 12
_MOST_CHANNELS: Final = 8


class SoundStream:
    """Reads the sound of one answer."""

    def __init__(self) -> None:
        self._base64 = ""
        """Characters that wait for the rest of their group of four."""
        self._held = b""
        """The beginning of a head, or of a sample."""
        self._head = b""
        """What stood before the samples of the last WAV; empty for bare PCM16."""
        self._rate_hz = SAMPLE_HZ
        self._channels = 1
        self._frame_bytes = PCM_SAMPLE_BYTES
        self._resampler = Resampler(SAMPLE_HZ, SAMPLE_HZ)
        self._begun = False

    def feed(self, data: str, format: str = "", rate_hz: int | None = None, channels: int | None = None) -> bytes:
        """The next piece, in base64; the rest is what the server says of it. Raises `ValueError` for what is no sound."""
        if format.lower() not in _BARE:
            raise ValueError(f"sound as {format!r}")
        decoded = self._decoded(data)
        # A new file needs no half of a sample from before.
        sound = decoded if _begins_wav(decoded) and len(decoded) >= _SHORTEST_HEAD_BYTES else self._held + decoded
        self._held = b""
        if not self._begun and (kind := _COMPRESSED.get(sound[:4]) or _COMPRESSED.get(sound[:3])):
            raise ValueError(f"sound as {kind}")
        made = b""
        if _begins_wav(sound):
            head = read_head(sound)
            if head is None:
                return self._wait(sound)
            made = self._take_head(sound, head)
            ends = head.start + head.length_bytes if 0 < head.length_bytes < ENDLESS_BYTES else len(sound)
            sound = sound[head.start : ends]
        elif not self._head and (rate_hz or channels):
            made = self._take_metadata(rate_hz or self._rate_hz, channels or self._channels)
        self._begun = self._begun or bool(sound)
        return made + self._made(sound)

    def flush(self) -> bytes:
        """The sound is over: what the resampler held back. Half a sample is dropped."""
        self._held = b""
        return _bytes_of(self._resampler.flush())

    def _decoded(self, data: str) -> bytes:
        """The bytes of all whole groups. A piece may end within a group, and `=` ends one."""
        data = self._base64 + data
        whole = len(data) - len(data) % 4
        self._base64 = data[whole:]
        try:
            return b64decode(data[:whole], validate=True)
        except binascii.Error:
            raise ValueError("sound that is no base64") from None

    def _wait(self, sound: bytes) -> bytes:
        """A head that is not whole yet."""
        if len(sound) > _LONGEST_HEAD_BYTES:
            raise ValueError("a WAV file whose head never ends")
        self._held = sound
        return b""

    def _take_head(self, sound: bytes, head: WavHead) -> bytes:
        """Keep the head for what follows, without its length: where a file comes in pieces, it fits none of them."""
        self._head = sound[: head.start - 4] + ENDLESS_BYTES.to_bytes(4, "little")
        return self._turn_to(head.rate_hz, head.channels, head.sample_bytes * head.channels)

    def _take_metadata(self, rate_hz: int, channels: int) -> bytes:
        if not is_usual(rate_hz) or not 0 < channels <= _MOST_CHANNELS:
            raise ValueError(f"sound at {rate_hz} Hz in {channels} channels")
        return self._turn_to(rate_hz, channels, PCM_SAMPLE_BYTES * channels)

    def _turn_to(self, rate_hz: int, channels: int, frame_bytes: int) -> bytes:
        """From here on the sound is like this. Returns the end of what was before, where the rate changes."""
        self._channels, self._frame_bytes = channels, frame_bytes
        if rate_hz == self._rate_hz:
            return b""
        rest = _bytes_of(self._resampler.flush())
        self._rate_hz, self._resampler = rate_hz, Resampler(rate_hz, SAMPLE_HZ)
        return rest

    def _made(self, sound: bytes) -> bytes:
        whole = len(sound) - len(sound) % self._frame_bytes
        sound, self._held = sound[:whole], sound[whole:]
        if not sound:
            return b""
        if self._head or self._channels > 1:
            head = self._head or _pcm_head(self._rate_hz, self._channels)
            samples, _ = read_wav(head + sound)
        else:
            samples = np.frombuffer(sound, "<i2").astype(np.int16, copy=False)
        return _bytes_of(self._resampler.feed(samples))


def _begins_wav(sound: bytes) -> bool:
    """It begins as a WAV file does, as far as it goes."""
    return bool(sound) and sound[:4] == b"RIFF"[: len(sound)] and sound[8:12] == b"WAVE"[: max(0, len(sound) - 8)]


def _pcm_head(rate_hz: int, channels: int) -> bytes:
    """A head for PCM16 of several channels, whose number stands at byte 22."""
    head = bytearray(wav_header(rate_hz))
    head[22:24] = channels.to_bytes(2, "little")
    return bytes(head)


def _bytes_of(samples: Samples) -> bytes:
    return samples.astype("<i2", copy=False).tobytes()
