"""One turn's sound to words with PocketSphinx: voice activity, segments, decoding.

    20 ms of sound ─▶ voice? ─▶ Segment, from a little before the voice to a little after it ─▶ Decoding ─▶ words

Three things decide how many words are right, far before any setting of the search (`docs/decisions/pocketsphinx.md`):

- The cepstral mean, which stands for the voice, the microphone and the room. The model's own makes twice the errors that the
  segment's own makes, and a segment's own is known when it is over. So decoding waits for some of the segment, takes its
  mean, and begins anew when much more of it is there: see `MEASURED_AFTER`.
- Silence around the words. It spoils the mean and breeds words. So a segment is cut out closely.
- What the decoder heard before. So it forgets: the same sound gives the same words, whoever spoke before.

A segment ends with a pause that is shorter than the one that ends a turn: when the turn is over, the words are there.
"""

from __future__ import annotations

import warnings
from collections import deque
from typing import Any, Final

import numpy as np
from msgspec import Struct

RATE_HZ: Final = 16_000
"""What the model was trained with."""
SAMPLE_BYTES: Final = 2
FRAME_MS: Final = 20
FRAME_BYTES: Final = RATE_HZ * FRAME_MS // 1000 * SAMPLE_BYTES

ONSET_FRAMES: Final = 5
ONSET_VOICES: Final = 4
"""A segment begins where so many of `ONSET_FRAMES` are voice: not at a click."""
LEAD_FRAMES: Final = 200 // FRAME_MS
"""Sound kept from before that: the first consonant has no voice yet."""
TAIL_FRAMES: Final = 200 // FRAME_MS
"""Sound kept after the last voice: nor has the last consonant."""
HUSH_FRAMES: Final = 120 // FRAME_MS
"""A silence like this may be the end: what has not been decoded yet is decoded now."""
PAUSE_FRAMES: Final = 400 // FRAME_MS
"""A silence like this is the end of the segment."""
LONGEST_FRAMES: Final = 20_000 // FRAME_MS
"""The longest segment. Nobody speaks so long without a breath; a fan does."""

MEASURED_AFTER: Final = tuple(int(seconds * 1000) // FRAME_MS for seconds in (1, 2.5))
"""Frames of a segment after which its mean is measured, and what was decoded with another mean is decoded anew."""
PRIOR_MEAN: Final = np.array([49, 2, -1.5, 6.5, -7, 1.5, -4.5, -4, -2, -1.5, 0, -0.5, 0.5])
"""The cepstral mean of a dozen voices and rooms."""
PRIOR_CEPSTRA: Final = 5
"""How many cepstra (10 ms each) of the segment the prior mean weighs as much as."""
CEPSTRUM_BYTES: Final = RATE_HZ // 100 * SAMPLE_BYTES


class Word(Struct, frozen=True):
    """A word, as it is written, and how likely the decoder thinks it: more than 0, at most 1."""

    text: str
    probability: float


class Decoding:
    """PocketSphinx's decoder, loaded once and used for one segment after the other. 100 MB, half a second to load."""

    def __init__(self) -> None:
        import pocketsphinx

        # The flat search over the words of the first pass costs 60 ms for each second and mends nothing. 5,000 states a
        # frame in place of 30,000 cost no word and save a third of the time where speech is hard to hear.
        self._decoder: Any = pocketsphinx.Decoder(loglevel="FATAL", fwdflat=False, maxhmmpf=5000)
        # A decoder that once heard sound in pieces never again measures a mean over a whole, so another one does that. It
        # has the acoustic model and no words.
        hmm = pocketsphinx.get_model_path("en-us/en-us")
        self._meter: Any = pocketsphinx.Decoder(loglevel="FATAL", hmm=hmm, lm=None, dict=None)
        self._meter.add_fsg("nothing", self._meter.create_fsg("nothing", 0, 0, [(0, 0, 1.0)]))
        self._meter.activate_search("nothing")

    def begin(self, sound: bytes) -> None:
        """Begin a segment with its first sound, by whose mean all of it is normalised."""
        self._decoder.set_cmn(self._mean_of(sound))
        _start(self._decoder)
        self.go_on(sound)

    def go_on(self, sound: bytes) -> None:
        """The segment's next sound."""
        for start in range(0, len(sound), FRAME_BYTES):  # more at once than 2.5 s would be lost in part
            self._decoder.process_raw(sound[start : start + FRAME_BYTES])

    def end(self) -> list[Word]:
        """End the segment: its words."""
        self._decoder.end_utt()
        if self._decoder.hyp() is None:  # this also computes the probabilities that `seg` gives
            return []
        return [Word(written(found.word), found.prob) for found in self._decoder.seg() if found.word[0] not in "<["]

    def _mean_of(self, sound: bytes) -> str:
        """The mean of `sound`, mixed with a little of the prior one, as PocketSphinx writes it."""
        _start(self._meter)
        self._meter.process_raw(sound, full_utt=True)
        self._meter.end_utt()
        measured = np.array([float(value) for value in self._meter.get_cmn(False).split(",")])
        share = PRIOR_CEPSTRA / (PRIOR_CEPSTRA + len(sound) / CEPSTRUM_BYTES)
        return ",".join(f"{value:g}" for value in measured + share * (PRIOR_MEAN - measured))


def _start(decoder: Any) -> None:
    """Start an utterance, with no memory of the noise in the one before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `start_stream`: needless only where speakers do not change
        decoder.start_stream()
    decoder.start_utt()


def written(word: str) -> str:
    """A word of the dictionary as one writes it: `read(2)` is a second pronunciation of `read`, and I is a capital."""
    plain = word.partition("(")[0]
    return "I" + plain[1:] if plain == "i" or plain.startswith("i'") else plain


class Turn:
    """One turn: sound in, words out, a segment at a time."""

    def __init__(self, decoding: Decoding) -> None:
        import pocketsphinx

        self._decoding = decoding
        self._vad: Any = pocketsphinx.Vad(pocketsphinx.Vad.STRICT, RATE_HZ, FRAME_MS / 1000)
        self._recent: deque[bytes] = deque(maxlen=LEAD_FRAMES + ONSET_FRAMES)
        self._voices: deque[bool] = deque(maxlen=ONSET_FRAMES)
        self._segment: list[bytes] | None = None
        """Its frames; None between segments."""
        self._decoded_frames = 0
        self._quiet_frames = 0

    def hear(self, frame: bytes) -> list[Word]:
        """The next 20 ms. Returns the words of the segment that ends with it, if one does."""
        voice = bool(self._vad.is_speech(frame))
        if self._segment is None:
            self._await_voice(frame, voice)
            return []
        self._segment.append(frame)
        self._quiet_frames = 0 if voice else self._quiet_frames + 1
        if self._quiet_frames == PAUSE_FRAMES or len(self._segment) == LONGEST_FRAMES:
            return self.end()
        self._decode(self._segment)
        return []

    def end(self) -> list[Word]:
        """The turn is over. Returns the words of the segment that was open, if one was."""
        if self._segment is None:
            return []
        surplus_frames = max(0, self._quiet_frames - TAIL_FRAMES)
        self._decode_until(self._segment, len(self._segment) - surplus_frames)
        self._segment = None
        return self._decoding.end()

    def _await_voice(self, frame: bytes, voice: bool) -> None:
        """Begin a segment if this is where a voice begins."""
        self._recent.append(frame)
        self._voices.append(voice)
        if sum(self._voices) >= ONSET_VOICES:
            self._segment = list(self._recent)
            self._decoded_frames = self._quiet_frames = 0
            self._recent.clear()
            self._voices.clear()

    def _decode(self, segment: list[bytes]) -> None:
        """Decode what can be decoded already."""
        if len(segment) in MEASURED_AFTER and self._decoded_frames:
            self._decoding.end()
            self._decoded_frames = 0
        if self._quiet_frames > TAIL_FRAMES:
            return  # perhaps the segment is over, and this not part of it
        if self._decoded_frames or len(segment) >= MEASURED_AFTER[0] or self._quiet_frames == HUSH_FRAMES:
            self._decode_until(segment, len(segment))

    def _decode_until(self, segment: list[bytes], end: int) -> None:
        """Decode the frames before `end` that are not decoded yet."""
        sound = b"".join(segment[self._decoded_frames : end])
        if self._decoded_frames == 0:
            self._decoding.begin(sound)
        elif sound:
            self._decoding.go_on(sound)
        self._decoded_frames = max(end, self._decoded_frames)
