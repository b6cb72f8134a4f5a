"""What cannot be avoided, in a tight loop: `python -m benchmarks.floor`.

Base64 and JSON of what comes and goes, resampling, and Silero in a batch; nothing of sockets, frames, sessions or threads.
Microseconds of processor time, the median of many runs.
"""

from __future__ import annotations

import base64
import statistics
import time
from collections.abc import Callable

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import astuple
from threadpoolctl import threadpool_limits

from vivavoce.audio import LineResampler
from vivavoce.client.load.report import Report
from vivavoce.engines.silero_network import RATE_HZ, STATE_SIZE, WINDOW_SAMPLES, SileroNetwork
from vivavoce.protocol.client_events import InputAudioBufferAppend
from vivavoce.protocol.server_events import ResponseOutputAudioDelta, ResponseOutputAudioTranscriptDelta

BATCH = 50
APPENDS_PER_SECOND = 50
WINDOWS_PER_SECOND = 1000 / 32


class Floor(Struct, frozen=True):
    """Microseconds each."""

    append_us: float
    """Decode an append of 20 ms."""
    resample_us: float
    """Bring 32 ms to 16 kHz, in a batch."""
    silero_us: float
    """Score 32 ms, in a batch."""
    delta_us: float
    """Encode half a second of audio."""
    words_us: float
    """Encode an event without audio."""

    def ms_per_session_second(self, report: Report) -> float:
        """What the work of a run would cost at the least."""
        session_seconds = report.sessions * report.seconds
        audio = report.answer_seconds * 2 * self.delta_us
        words = report.deltas * self.words_us
        steady = APPENDS_PER_SECOND * self.append_us + WINDOWS_PER_SECOND * (self.resample_us + self.silero_us)
        return (steady + (audio + words) / session_seconds) / 1000


def measure() -> Floor:
    threadpool_limits(1, user_api="blas")
    decode, encode = msgspec.json.Decoder(InputAudioBufferAppend).decode, msgspec.json.Encoder().encode
    append = b'{"type":"input_audio_buffer.append","audio":"%s"}' % base64.b64encode(np.random.default_rng(0).bytes(960))
    place = {"event_id": "event_1", "response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    delta = ResponseOutputAudioDelta(**place, delta=np.random.default_rng(0).bytes(24_000))
    words = ResponseOutputAudioTranscriptDelta(**place, delta="hello ")
    resampler, network = LineResampler(24_000, RATE_HZ, WINDOW_SAMPLES), SileroNetwork()
    lines = np.random.default_rng(0).integers(-9000, 9000, (BATCH, resampler.line_samples), dtype=np.int16)
    windows, state = resampler.feed(lines), np.zeros((2, BATCH, STATE_SIZE), np.float32)
    return Floor(
        append_us=_microseconds(lambda: decode(append), 500),
        resample_us=_microseconds(lambda: resampler.feed(lines), 5) / BATCH,
        silero_us=_microseconds(lambda: network.step(windows, state), 5) / BATCH,
        delta_us=_microseconds(lambda: encode(delta), 50),
        words_us=_microseconds(lambda: encode(words), 500),
    )


def between(one: Floor, other: Floor) -> Floor:
    """The mean of two measurements: what a loaded machine does to the server, it does to the floor."""
    return Floor(*((mine + theirs) / 2 for mine, theirs in zip(astuple(one), astuple(other), strict=True)))


def _microseconds(work: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(60):
        started = time.thread_time()
        for _ in range(times):
            work()
        spent.append((time.thread_time() - started) / times * 1e6)
    return statistics.median(spent)


def main() -> None:
    for name, us in msgspec.to_builtins(measure()).items():
        print(f"{name:14}{us:8.2f}")


if __name__ == "__main__":
    main()
