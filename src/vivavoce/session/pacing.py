"""An answer that leaves no sooner than it is played, so that it can be paused.

    engine ─▶ [ waiting ] ─▶ LiveResponse ─▶ client: at most LEAD_MS more than it has had time to play

Where the playback stands is known from the response: it began with the first audio that left, and where it ran dry, it goes
on with the next. What the engine says beside audio keeps its place between the audio. Without the option that needs this
(`Setup.confirm_barge_in_ms`), nothing is paced: a client gets an answer as fast as it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, ms_to_samples
from vivavoce.engine_api import GenerationDone, GenerationEvent, OutputAudio
from vivavoce.session.response import LiveResponse

LEAD_SAMPLES: Final = ms_to_samples(300)
"""How far the client may be ahead: what a network may delay without a gap, and what is still heard after a pause began."""
SLICE_SAMPLES: Final = ms_to_samples(100)
"""Audio leaves in slices of this length."""
PIECE_BYTES: Final = SAMPLE_HZ * PCM_SAMPLE_BYTES
MOST_WAITING_BYTES: Final = 10 * 60 * SAMPLE_HZ * PCM_SAMPLE_BYTES
"""Ten minutes of speech. An engine that is further ahead of the playback is stopped: the answer ends there."""


class Pacing:
    """What an engine has said of a response and the client has not got yet."""

    def __init__(self, response: LiveResponse) -> None:
        self.response = response
        self.paused = False
        self._waiting: deque[GenerationEvent] = deque()
        self._waiting_bytes = 0
        self._full = False

    @property
    def behind(self) -> bool:
        """Something waits: it is not the engine that keeps the client waiting."""
        return bool(self._waiting)

    def add(self, event: GenerationEvent) -> bool:
        """The engine said more. False if it has said too much: then it may stop, and the answer ends with what there is."""
        if self._full:
            return True
        if isinstance(event, OutputAudio):
            self._waiting.extend(_pieces(event))
            self._waiting_bytes += len(event.pcm)
        else:
            self._waiting.append(event)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self._full = True
            self._waiting.append(GenerationDone(self.response.id, "max_output_tokens"))
        return not self._full

    def due(self) -> float | None:
        """When the next of it may leave; `None` while nothing waits or all is paused."""
        if self.paused or not self._waiting:
            return None
        head, began_at = self._waiting[0], self.response.first_audio_at
        if began_at is None or not isinstance(head, OutputAudio):
            return self.response.last_sign_at
        least = min(SLICE_SAMPLES, len(head.pcm) // PCM_SAMPLE_BYTES)
        return began_at + (self.response.spoken_samples + least - LEAD_SAMPLES) / SAMPLE_HZ

    def next(self, now: float) -> GenerationEvent | None:
        """What may leave now."""
        due = self.due()
        if due is None or now < due:
            return None
        head = self._waiting.popleft()
        if not isinstance(head, OutputAudio):
            return head
        self._waiting_bytes -= len(head.pcm)
        fitting = self._fitting(now) * PCM_SAMPLE_BYTES
        if rest := head.pcm[fitting:]:
            self._waiting.appendleft(OutputAudio(head.response_id, rest))
            self._waiting_bytes += len(rest)
        return OutputAudio(head.response_id, head.pcm[:fitting])

    def _fitting(self, now: float) -> int:
        """Samples that may leave now, in whole slices. If the playback ran dry, it goes on now."""
        response = self.response
        if response.first_audio_at is None:
            return LEAD_SAMPLES
        response.first_audio_at = max(response.first_audio_at, now - response.spoken_samples / SAMPLE_HZ)
        played = (now - response.first_audio_at) * SAMPLE_HZ
        slices = (LEAD_SAMPLES + played - response.spoken_samples) // SLICE_SAMPLES
        return max(int(slices), 1) * SLICE_SAMPLES


def _pieces(event: OutputAudio) -> Iterator[OutputAudio]:
    """The audio in stretches of a second: what is cut off one by one is not copied each time with all the rest."""
    for start in range(0, len(event.pcm), PIECE_BYTES):
        yield OutputAudio(event.response_id, event.pcm[start : start + PIECE_BYTES])
