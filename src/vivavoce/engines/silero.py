"""Voice activity by Silero VAD: `DetectSpeech` in, one `SpeechScore` per window of 32 ms out.

One worker thread serves all sessions, in rounds. A round scores one window of each session that has one, as one batch. The
more sessions there are, the further apart rounds begin, so that their windows come together: a batch of 50 costs a sixth of
50 batches of one. A lone session's window does not wait.

    event loop   submit(DetectSpeech) ──▶ inbox
    worker       inbox ──▶ _Stream: bytes, then lines of samples ──▶ batch: resample, score ──▶ deliver(scores)
    event loop   deliver ──▶ emit(SpeechScore), session by session

Everything that costs time happens in the worker: `submit` puts a command into a queue and returns. A round's scores reach
the event loop together, because to wake it costs more than a score. A session with minutes of audio to catch up on takes its
turn with the others, one window a round, and its rounds do not wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import suppress
from functools import cache, partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from vivavoce.audio import (
    HALF_WIDTH_MS,
    PCM_SAMPLE_BYTES,
    SAMPLE_HZ,
    Encoding,
    LineResampler,
    bytes_to_samples,
    encoding_hz,
    g711_decode,
    samples_to_bytes,
)
from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, EngineCommand, SpeechScore
from vivavoce.engines.silero_network import (
    CONTEXT_SAMPLES,
    NEW_SAMPLES,
    RATE_HZ,
    STATE_SIZE,
    WINDOW_SAMPLES,
    Floats,
    SileroNetwork,
)
from vivavoce.protocol.errors import SettingsError

logger = logging.getLogger(__name__)

SCORE_SAMPLES = NEW_SAMPLES * SAMPLE_HZ // RATE_HZ
"""How far one score is from the next, counted at 24,000 Hz: 32 ms."""
BATCH_WINDOWS = 128
"""The most windows scored at once. A larger batch is hardly cheaper a window, and delays the others."""
ROUND_SECONDS_PER_SESSION = 0.00025
LONGEST_ROUND_SECONDS = 0.016
"""From the beginning of one round to that of the next, at least, unless audio waits already. Half of it is what a window
waits on average; beyond 16 ms a larger batch would save little."""
LEAD_SAMPLES = CONTEXT_SAMPLES + RATE_HZ * HALF_WIDTH_MS // 1000
"""What a window hears of the time before its own 32 ms: Silero's context, and the millisecond that the resampler looks
ahead. In its place the network hears a millisecond of silence at the very beginning, so a window is scored when its last
byte arrives, and not when the next chunk does."""


class Silero:
    """Silero VAD as an engine that only detects speech. Takes no options."""

    capabilities = Capabilities(speaks=False)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises `SettingsError` for any option."""
        if options:
            raise SettingsError(f"silero has no option '{min(options)}': remove it. The client sets the threshold.")
        self._inbox: SimpleQueue[_Arrival] = SimpleQueue()
        self._open: set[_Stream] = set()
        self._worker: Thread | None = None

    async def start(self) -> None:
        """Load the weights and start the worker: some 10 ms."""
        network = await asyncio.to_thread(_warm_network)
        deliver = partial(_on_loop, asyncio.get_running_loop())
        self._worker = Thread(target=_Worker(network, self._inbox, self._open, deliver).run, name="silero", daemon=True)
        self._worker.start()

    def open(self, emit: Emit) -> SileroSession:
        """Begin a session. `emit` is called on the event loop that `start` ran on."""
        return SileroSession(emit, self._inbox, self._open)

    async def close(self) -> None:
        """Stop the worker; what it has not scored yet is dropped."""
        self._inbox.put(None)
        if self._worker:
            await asyncio.to_thread(self._worker.join)


class SileroSession:
    """One session's side."""

    def __init__(self, emit: Emit, inbox: SimpleQueue[_Arrival], streams: set[_Stream]) -> None:
        self._stream = _Stream(emit)
        self._inbox = inbox
        self._streams = streams
        streams.add(self._stream)

    def submit(self, command: EngineCommand) -> None:
        """Take a `DetectSpeech`; ignore all else."""
        if isinstance(command, DetectSpeech):
            self._inbox.put((self._stream, command))

    def close(self) -> None:
        """Drop what waits."""
        self._stream.closed = True
        self._streams.discard(self._stream)


class _Shape:
    """How long the lines of an encoding are. A line is PCM16 at the encoding's rate: all that one window is made of."""

    def __init__(self, encoding: Encoding) -> None:
        rate_hz = encoding_hz(encoding)
        self.resampler = LineResampler(rate_hz, RATE_HZ, WINDOW_SAMPLES)
        self.window_bytes = samples_to_bytes(SCORE_SAMPLES, encoding)
        """New bytes, as they come from the wire."""
        self.new_bytes = NEW_SAMPLES * rate_hz // RATE_HZ * PCM_SAMPLE_BYTES
        """The same as PCM16."""
        self.old_bytes = (LEAD_SAMPLES * rate_hz // RATE_HZ + self.resampler.behind_samples) * PCM_SAMPLE_BYTES
        """What a line repeats of the one before."""


_shape_of = cache(_Shape)


class _Stream:
    """One session's audio on its way to windows. Belongs to the worker, but for `closed`, which anyone may set."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.closed = False
        self.in_line = False
        """It stands in the worker's line, where every stream stands at most once."""
        self.state: Floats
        """The network's state, (2 x 128)."""
        self.commands: deque[DetectSpeech] = deque()
        self._taken_bytes = 0
        """How much of the first command is in the window already."""
        self._begin(0, "audio/pcm")

    def _begin(self, start_samples: int, encoding: Encoding) -> None:
        """Forget everything: what follows is a new stretch of audio."""
        self.end_samples = start_samples
        self.encoding = encoding
        self.begins = True
        """The next window is the first of its stretch."""
        self.state = np.zeros(2 * STATE_SIZE, np.float32)
        self.shape = _shape_of(encoding)
        self._window = b""
        self._old = bytes(self.shape.old_bytes)
        self._start_samples = start_samples
        self._received_bytes = 0

    def next_line(self) -> bytes | None:
        """The line of the next window, or None until more audio comes. Moves `end_samples` on."""
        while len(self._window) < self.shape.window_bytes and self.commands:
            self._take()
        if len(self._window) < self.shape.window_bytes:
            return None
        line = self._old + (self._window if self.encoding == "audio/pcm" else _expanded(self._window, self.encoding))
        self._old = line[self.shape.new_bytes :]
        self._window = b""
        self.end_samples += SCORE_SAMPLES
        return line

    def _take(self) -> None:
        """Move bytes from the first command into the window, as many as it lacks."""
        command = self.commands[0]
        start = self._taken_bytes
        if start == 0:
            self._follow(command)
        end = start + self.shape.window_bytes - len(self._window)
        self._window += command.audio[start:end]
        if end < len(command.audio):
            self._taken_bytes = end
        else:
            self.commands.popleft()
            self._taken_bytes = 0

    def _follow(self, command: DetectSpeech) -> None:
        """Go on where the audio goes on; else, or in another encoding, begin anew."""
        followed_samples = self._start_samples + bytes_to_samples(self._received_bytes, self.encoding)
        if command.start_samples != followed_samples or command.format.type != self.encoding:
            self._begin(command.start_samples, command.format.type)
        self._received_bytes += len(command.audio)

    def report(self, score: SpeechScore) -> None:
        """Emit a score. On the event loop."""
        if self.closed:
            return
        try:
            self.emit(score)
        except Exception:
            # The round is everybody's: whoever cannot take a score loses only its own.
            logger.exception("A session's emit failed; it gets no more speech scores.")
            self.closed = True


def _expanded(audio: bytes, encoding: Encoding) -> bytes:
    assert encoding != "audio/pcm"
    return g711_decode(audio, encoding).tobytes()


_Arrival = tuple[_Stream, DetectSpeech] | None
"""A command of a stream, or None: stop."""
_Scores = list[tuple[_Stream, SpeechScore]]
"""What came of a round."""


def _on_loop(loop: asyncio.AbstractEventLoop, scores: _Scores) -> None:
    """Report the scores of a round on the event loop."""
    with suppress(RuntimeError):  # The loop is closed: so are all sessions.
        loop.call_soon_threadsafe(_report, scores)


def _report(scores: _Scores) -> None:
    for stream, score in scores:
        stream.report(score)


class _Worker:
    """The thread that scores."""

    def __init__(
        self,
        network: SileroNetwork,
        inbox: SimpleQueue[_Arrival],
        streams: Sized,
        deliver: Callable[[_Scores], None],
    ) -> None:
        self._network = network
        self._inbox = inbox
        self._deliver = deliver
        self._streams = streams
        """All that are open."""
        self._line: deque[_Stream] = deque()
        """Streams that may have a window, in the order of their turns."""

    def run(self) -> None:
        """Receive and score until told to stop."""
        began_at = 0.0
        while True:
            if not self._line:  # Nobody has a window left: let the next ones gather.
                time.sleep(max(0.0, began_at + self._round_seconds() - time.monotonic()))
            if not self._receive():
                return
            began_at = time.monotonic()
            self._score()

    def _round_seconds(self) -> float:
        return min(LONGEST_ROUND_SECONDS, len(self._streams) * ROUND_SECONDS_PER_SESSION)

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
        streams, lines = self._batch()
        if not streams:
            return
        windows = _windows(streams, lines)
        state = np.concatenate([stream.state for stream in streams]).reshape(-1, 2, STATE_SIZE)
        probabilities, following = self._network.step(windows, state.swapaxes(0, 1))
        for stream, row in zip(streams, following.swapaxes(0, 1).reshape(len(streams), -1), strict=True):
            stream.state = row.copy()  # A view would keep the whole batch in memory.
        scores = zip(streams, probabilities.tolist(), strict=True)
        self._deliver([(stream, SpeechScore(stream.end_samples, probability)) for stream, probability in scores])

    def _batch(self) -> tuple[list[_Stream], list[bytes]]:
        """The next streams that have a window, each with its line. They go to the end of the queue, the others leave it."""
        streams, lines = [], []
        for _ in range(min(len(self._line), BATCH_WINDOWS)):
            stream = self._line.popleft()
            line = None if stream.closed else stream.next_line()
            if line is None:
                stream.in_line = False
                continue
            streams.append(stream)
            lines.append(line)
            if stream.commands:
                self._line.append(stream)
            else:
                stream.in_line = False
        return streams, lines


def _windows(streams: Sequence[_Stream], lines: Sequence[bytes]) -> Floats:
    """The windows of all streams, (streams, 576): one product for each shape that there is."""
    windows = np.empty((len(streams), WINDOW_SAMPLES), np.float32)
    for shape in {stream.shape for stream in streams}:
        places = [place for place, stream in enumerate(streams) if stream.shape is shape]
        joined = np.frombuffer(b"".join([lines[place] for place in places]), "<i2").reshape(len(places), -1)
        windows[places] = shape.resampler.feed(joined[:, : shape.resampler.line_samples])
    for place, stream in enumerate(streams):
        if stream.begins:
            stream.begins = False
            windows[place, :LEAD_SAMPLES] = 0
    return windows


def _warm_network() -> SileroNetwork:
    """The network, used once, on one BLAS thread for the whole process.

    More threads make these small products slower, and OpenBLAS lets idle ones spin, which the event loop would feel.
    """
    network = SileroNetwork()
    threadpool_limits(1, user_api="blas")
    network.step(np.zeros((BATCH_WINDOWS, WINDOW_SAMPLES), np.int16), np.zeros((2, BATCH_WINDOWS, STATE_SIZE), np.float32))
    return network
