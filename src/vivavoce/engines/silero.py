"""Voice activity by Silero VAD: `DetectSpeech` in, one `SpeechScore` per window of 32 ms out.

One worker thread serves all sessions. It sleeps until audio comes, then scores one window of each session that has one, as
one batch, and looks again. So a lone session waits for nobody, batches form by themselves while the thread is busy, and a
session with minutes of audio to catch up on takes its turn with the others, one window a round.

    event loop   submit(DetectSpeech) ──▶ inbox
    worker       inbox ──▶ _Stream: bytes, then samples at 16 kHz, then windows ──▶ batch ──▶ emit(SpeechScore)

Everything that costs time happens in the worker: `submit` puts a command into a queue and returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from vivavoce.audio import HALF_WIDTH_MS, SAMPLE_HZ, Decoder, Encoding, Samples, bytes_to_samples, samples_to_bytes
from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, EngineCommand, SpeechScore
from vivavoce.engines.silero_network import CONTEXT_SAMPLES, NEW_SAMPLES, RATE_HZ, STATE_SIZE, WINDOW_SAMPLES, SileroNetwork
from vivavoce.protocol.errors import SettingsError

logger = logging.getLogger(__name__)

SCORE_SAMPLES = NEW_SAMPLES * SAMPLE_HZ // RATE_HZ
"""How far one score is from the next, counted at 24,000 Hz: 32 ms."""
BATCH_WINDOWS = 128
"""The most windows scored at once. A larger batch is hardly cheaper a window, and delays the others."""
HELD_BACK_SAMPLES = RATE_HZ * HALF_WIDTH_MS // 1000
"""What the decoder holds back until more audio comes, at 16 kHz."""


class Silero:
    """Silero VAD as an engine that only detects speech. Takes no options."""

    capabilities = Capabilities(speaks=False)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises `SettingsError` for any option."""
        if options:
            raise SettingsError(f"silero has no option '{min(options)}': remove it. The client sets the threshold.")
        self._inbox: SimpleQueue[_Arrival] = SimpleQueue()
        self._worker: Thread | None = None

    async def start(self) -> None:
        """Load the weights and start the worker: some 10 ms."""
        network = await asyncio.to_thread(_warm_network)
        self._worker = Thread(target=_Worker(network, self._inbox).run, name="silero", daemon=True)
        self._worker.start()

    def open(self, emit: Emit) -> SileroSession:
        """Begin a session. `emit` is called from the worker thread."""
        return SileroSession(emit, self._inbox)

    async def close(self) -> None:
        """Stop the worker; what it has not scored yet is dropped."""
        self._inbox.put(None)
        if self._worker:
            await asyncio.to_thread(self._worker.join)


class SileroSession:
    """One session's side."""

    def __init__(self, emit: Emit, inbox: SimpleQueue[_Arrival]) -> None:
        self._stream = _Stream(emit)
        self._inbox = inbox

    def submit(self, command: EngineCommand) -> None:
        """Take a `DetectSpeech`; ignore all else."""
        if isinstance(command, DetectSpeech):
            self._inbox.put((self._stream, command))

    def close(self) -> None:
        """Drop what waits."""
        self._stream.closed = True


class _Stream:
    """One session's audio on its way to windows. Belongs to the worker, but for `closed`, which anyone may set."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.closed = False
        self.in_line = False
        """It stands in the worker's line, where every stream stands at most once."""
        self.commands: deque[DetectSpeech] = deque()
        self._taken_bytes = 0
        """How much of the first command is in windows already."""
        self._begin(0, "audio/pcm")

    def _begin(self, start_samples: int, encoding: Encoding) -> None:
        """Forget everything: what follows is a new stretch of audio."""
        self.end_samples = start_samples
        self.state = np.zeros((2, STATE_SIZE), np.float32)
        self._encoding = encoding
        self._decoder = Decoder(encoding, RATE_HZ)
        self._window_bytes = samples_to_bytes(SCORE_SAMPLES, encoding)
        self._window = b""
        # In place of what the decoder holds back, the network hears a millisecond of silence first. So a window is scored
        # when its last byte arrives, and not when the next chunk does.
        self._context: Samples = np.zeros(CONTEXT_SAMPLES + HELD_BACK_SAMPLES, np.int16)
        self._start_samples = start_samples
        self._received_bytes = 0

    def next_window(self) -> Samples | None:
        """Context and 512 new samples, or None until more audio comes. Moves `end_samples` on."""
        while len(self._window) < self._window_bytes and self.commands:
            self._take()
        if len(self._window) < self._window_bytes:
            return None
        samples = np.concatenate([self._context, self._decoder.feed(self._window)])
        self._context = samples[-CONTEXT_SAMPLES:]
        self._window = b""
        self.end_samples += SCORE_SAMPLES
        return samples

    def _take(self) -> None:
        """Move bytes from the first command into the window, as many as it lacks."""
        command = self.commands[0]
        if self._taken_bytes == 0:
            self._follow(command)
        audio = command.audio[self._taken_bytes : self._taken_bytes + self._window_bytes - len(self._window)]
        self._window += audio
        self._taken_bytes += len(audio)
        if self._taken_bytes == len(command.audio):
            self.commands.popleft()
            self._taken_bytes = 0

    def _follow(self, command: DetectSpeech) -> None:
        """Go on where the audio goes on; else, or in another encoding, begin anew."""
        followed_samples = self._start_samples + bytes_to_samples(self._received_bytes, self._encoding)
        if command.start_samples != followed_samples or command.format.type != self._encoding:
            self._begin(command.start_samples, command.format.type)
        self._received_bytes += len(command.audio)

    def report(self, probability: float) -> None:
        """Emit the score of the last window."""
        if self.closed:
            return
        try:
            self.emit(SpeechScore(self.end_samples, probability))
        except Exception:
            # The thread is everybody's: whoever cannot take a score loses only its own.
            logger.exception("A session's emit failed; it gets no more speech scores.")
            self.closed = True


_Arrival = tuple[_Stream, DetectSpeech] | None
"""A command of a stream, or None: stop."""


class _Worker:
    """The thread that scores."""

    def __init__(self, network: SileroNetwork, inbox: SimpleQueue[_Arrival]) -> None:
        self._network = network
        self._inbox = inbox
        self._line: deque[_Stream] = deque()
        """Streams that may have a window, in the order of their turns."""

    def run(self) -> None:
        """Receive and score until told to stop."""
        while self._receive():
            self._score()

    def _receive(self) -> bool:
        """Take all that has arrived; sleep only if there is nothing to score. False: stop."""
        idle = not self._line
        while True:
            try:
                arrival = self._inbox.get(block=idle)
            except Empty:
                return True
            if arrival is None:
                return False
            idle = False
            stream, command = arrival
            stream.commands.append(command)
            if not stream.in_line:
                stream.in_line = True
                self._line.append(stream)

    def _score(self) -> None:
        """Score one window of each stream whose turn it is."""
        streams, windows = self._batch()
        if not streams:
            return
        state = np.stack([stream.state for stream in streams], axis=1)
        probabilities, state = self._network.step(np.stack(windows), state)
        for place, (stream, probability) in enumerate(zip(streams, probabilities.tolist(), strict=True)):
            stream.state = state[:, place].copy()
            stream.report(probability)

    def _batch(self) -> tuple[list[_Stream], list[Samples]]:
        """The next streams that have a window, each with its window. They go to the end of the line, the others leave it."""
        streams, windows = [], []
        for _ in range(min(len(self._line), BATCH_WINDOWS)):
            stream = self._line.popleft()
            window = None if stream.closed else stream.next_window()
            if window is None:
                stream.in_line = False
                continue
            streams.append(stream)
            windows.append(window)
            self._line.append(stream)
        return streams, windows


def _warm_network() -> SileroNetwork:
    """The network, used once, on one BLAS thread for the whole process.

    More threads make these small products slower, and OpenBLAS lets idle ones spin, which the event loop would feel.
    """
    network = SileroNetwork()
    threadpool_limits(1, user_api="blas")
    network.step(np.zeros((BATCH_WINDOWS, WINDOW_SAMPLES), np.int16), np.zeros((2, BATCH_WINDOWS, STATE_SIZE), np.float32))
    return network
