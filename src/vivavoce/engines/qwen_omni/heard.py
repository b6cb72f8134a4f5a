"""The user's speech in a conversation: fed while it is spoken, or all at once; encoded once, however often it is read.

A draft completes it before the turn is certainly over. What is fed after that is silence: the recording grows, and what was
encoded stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vivavoce.audio import Decoder
from vivavoce.engines.qwen_omni.family import HEARING_HZ, AudioBlock, Ear
from vivavoce.protocol.objects import AudioFormat


class Heard:
    """One stretch of speech. Used on the inference thread only."""

    def __init__(self, ear: Ear, format: AudioFormat) -> None:
        self._ear = ear
        self._decoder = Decoder(format.type, HEARING_HZ)
        self._fed_bytes = 0
        self.begun = False
        """The model was told that somebody speaks."""
        self._complete = False
        self._encoded = False
        self._audio: bytes | None = None
        """The recording as it was encoded, once an item has brought it."""
        self._fed = bytearray()
        """What was fed, until then: ids of items are used again."""

    @property
    def blocks(self) -> Sequence[AudioBlock]:
        """What is encoded so far."""
        return self._ear.blocks

    @property
    def is_item(self) -> bool:
        """It was committed, and a prompt has mentioned it."""
        return self._audio is not None

    def feed(self, audio: bytes, *, final: bool = False) -> None:
        """More audio, as the client sent it."""
        self._fed_bytes += len(audio)
        if self._complete:
            return
        self._fed += audio
        samples = self._decoder.feed(audio)
        if final:
            samples = np.concatenate((samples, self._decoder.flush()))
            self._complete = True
        self._ear.feed(samples.astype(np.float32) / np.float32(2**15))

    def is_of(self, audio: bytes) -> bool:
        """Is this the hearing of `audio`, or can it become that?"""
        if self._audio is not None:
            return self._audio is audio or (len(audio) <= self._fed_bytes and audio.startswith(self._audio))
        if self._complete and len(audio) != self._fed_bytes:
            return False
        return audio.startswith(self._fed)

    def complete(self, audio: bytes) -> None:
        """All of it, from its beginning: what was not fed is fed now."""
        if self._audio is None:
            self.feed(audio[self._fed_bytes :], final=True)
            self._audio = audio
            self._fed.clear()

    def encode(self) -> bool:
        """Encode one block, the tail too once the speech is complete. True while more is left."""
        if self._encoded:
            return False
        more = self._ear.encode(final=self._complete)
        self._encoded = self._complete and not more
        return more
