"""Recordings as utterances: 20 ms frames, ready to send, and where in them the speech begins and ends.

Each session speaks with a voice of its own: the same recordings, a little higher or lower and faster or slower, in an order
of its own. So sessions do not speak in step, and a server cannot profit from having heard it all before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from vivavoce.audio import SAMPLE_HZ, Samples, ms_to_samples
from vivavoce.client.load.frames import append_frame
from vivavoce.client.load.plan import CHUNK_MS
from vivavoce.client.recording import Recording, resampled, speech_end_seconds

PITCHES: Final = (25, 23, 27, 24, 26, 22, 28)
"""A voice is a recording stretched to so many 25ths of its length; the first leaves it as it is."""
SILENCE: Final = append_frame(bytes(2 * ms_to_samples(CHUNK_MS)))


class Utterance(Struct, frozen=True):
    """Something to say."""

    frames: tuple[bytes, ...]
    """One for each 20 ms."""
    onset_seconds: float
    """Where the speech begins, from the utterance's first sample."""
    end_seconds: float
    """Where it ends."""


Voice = tuple[Utterance, ...]


def voices(recordings: Sequence[Recording], count: int) -> list[Voice]:
    """Up to `count` voices, each with all of the recordings. Takes some tens of milliseconds a second of speech."""
    spans = [(_onset_seconds(recording), speech_end_seconds(recording)) for recording in recordings]
    return [
        tuple(_utterance(recording, span, parts) for recording, span in zip(recordings, spans, strict=True))
        for parts in PITCHES[:count]
    ]


def _utterance(recording: Recording, span: tuple[float, float], parts: int) -> Utterance:
    """The recording at another length. Where the speech begins and ends is measured once: it is the same in every voice."""
    samples = recording.samples
    if parts != PITCHES[0]:
        wave = resampled(samples.astype(np.float64), SAMPLE_HZ, SAMPLE_HZ * parts // PITCHES[0])
        samples = np.clip(np.rint(wave), -(2**15), 2**15 - 1).astype(np.int16)
    chunk_samples = ms_to_samples(CHUNK_MS)
    padded = np.concatenate([samples, np.zeros(-samples.size % chunk_samples, np.int16)])
    frames = tuple(append_frame(chunk.astype("<i2").tobytes()) for chunk in padded.reshape(-1, chunk_samples))
    stretch = parts / PITCHES[0]
    return Utterance(frames, span[0] * stretch, span[1] * stretch)


def _onset_seconds(recording: Recording) -> float:
    """Where the speech begins, by loudness alone: where it would end if it were played backwards."""
    backwards: Samples = recording.samples[::-1]
    turned = Recording(recording.name, backwards, recording.source_hz, recording.channels)
    return recording.seconds - speech_end_seconds(turned)
