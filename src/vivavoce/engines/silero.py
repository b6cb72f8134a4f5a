"""Voice activity by Silero VAD: `DetectSpeech` in, one `SpeechScore` per window of 32 ms out.

One worker thread serves all sessions, in rounds. A round scores one window of each session that has one, as one batch. The
more sessions there are, the further apart rounds begin, so that their windows come together: a batch of 50 costs a sixth of
50 batches of one. A lone session's window does not wait.

    event loop   submit(DetectSpeech) ──▶ _Stream: bytes; when a window's are there ──▶ inbox
    worker       inbox ──▶ line of streams ──▶ batch: resample, score ──▶ deliver(scores)
    event loop   deliver ──▶ emit(SpeechScore), session by session

Everything that costs time happens in the worker: `submit` keeps bytes and returns. A round's scores reach the event loop
together, because to wake it costs more than a score. A session with minutes of audio to catch up on takes its turn with the
others, one window a round, and its rounds do not wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sized
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
PCM_WINDOW_BYTES = SCORE_SAMPLES * PCM_SAMPLE_BYTES
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
        self._inbox: SimpleQueue[_Stream | None] = SimpleQueue()
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

    def __init__(self, emit: Emit, inbox: SimpleQueue[_Stream | None], streams: set[_Stream]) -> None:
        self._stream = _Stream(emit)
        self._inbox = inbox
        self._streams = streams
        streams.add(self._stream)

    def submit(self, command: EngineCommand) -> None:
        """Take a `DetectSpeech`; ignore all else."""
        if isinstance(command, DetectSpeech) and self._stream.receive(command):
            self._inbox.put(self._stream)

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
        """New bytes of a window, as they come from the wire."""
        self.new_bytes = NEW_SAMPLES * rate_hz // RATE_HZ * PCM_SAMPLE_BYTES
        """The same as PCM16."""
        self.old_bytes = (LEAD_SAMPLES * rate_hz // RATE_HZ + self.resampler.behind_samples) * PCM_SAMPLE_BYTES
        """What a line repeats of the one before."""
        self.line_bytes = self.old_bytes + self.new_bytes


_shape_of = cache(_Shape)


class _Stream:
    """One session's audio on its way to windows.

    Two threads meet here, without a lock. The event loop adds to the end of `_audio`, but only while no command waits; the
    worker cuts from its front. Both are single steps of the interpreter. All else is the worker's, who takes a command off
    the line only when its audio is in place. The loop raises `called` when it puts the stream into the inbox; the worker
    lowers it when it takes it out, before it looks for a window.
    """

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.closed = False
        self.called = False
        """It is in the inbox, or about to be."""
        self.in_line = False
        """It stands in the worker's line, where every stream stands at most once."""
        self.state: Floats
        """The network's state, (2 x 128)."""
        self._commands: deque[DetectSpeech] = deque()
        """Audio that is not in `_audio` yet: G.711, long audio, and what does not follow."""
        self._taken_bytes = 0
        """How much of the first command is."""
        self._begin(0, "audio/pcm")

    def _begin(self, start_samples: int, encoding: Encoding) -> None:
        """Forget everything: what follows is a new stretch of audio."""
        self.end_samples = start_samples
        self.begins = True
        """The next window is the first of its stretch."""
        self.state = np.zeros(2 * STATE_SIZE, np.float32)
        self.shape = _shape_of(encoding)
        self._encoding = encoding
        self._audio = bytearray(self.shape.old_bytes)
        """PCM16 from the beginning of the next line on."""
        self._start_samples = start_samples
        self._received_bytes = 0

    # --- the event loop's side ---

    def receive(self, command: DetectSpeech) -> bool:
        """Take audio: at once, if it is PCM of a window's length at most and follows. True: the worker has to be called."""
        audio, received_bytes = command.audio, self._received_bytes
        if (
            not self._commands  # First: while one waits, the worker may be changing the rest.
            and command.start_samples == self._start_samples + received_bytes // PCM_SAMPLE_BYTES
            and command.format.type == self._encoding == "audio/pcm"
            and len(audio) <= PCM_WINDOW_BYTES
        ):
            self._received_bytes = received_bytes + len(audio)
            self._audio += audio
            if len(self._audio) < self.shape.line_bytes:
                return False
        else:
            self._commands.append(command)
        if self.called:
            return False  # Not set again: the worker may have lowered it just now, and will look.
        self.called = True
        return True

    def report(self, score: SpeechScore) -> None:
        """Emit a score."""
        if self.closed:
            return
        try:
            self.emit(score)
        except Exception:
            # The round is everybody's: whoever cannot take a score loses only its own.
            logger.exception("A session's emit failed; it gets no more speech scores.")
            self.closed = True

    # --- the worker's side ---

    def has_window(self) -> bool:
        """All audio of the next window is there."""
        while len(self._audio) < self.shape.line_bytes and self._commands:
            self._take()
        return len(self._audio) >= self.shape.line_bytes

    def next_line(self) -> bytearray:
        """The line of the next window, if it has one. Moves `end_samples` on."""
        line = self._audio[: self.shape.line_bytes]
        del self._audio[: self.shape.new_bytes]
        self.end_samples += SCORE_SAMPLES
        return line

    def _take(self) -> None:
        """A window's bytes of the first command, or its rest: a long one costs no more at a time."""
        command, start = self._commands[0], self._taken_bytes
        if start == 0:
            if not self._follows(command):
                self._begin(command.start_samples, command.format.type)
            self._received_bytes += len(command.audio)
        self._taken_bytes = start + self.shape.window_bytes
        audio = command.audio[start : self._taken_bytes]
        self._audio += audio if self._encoding == "audio/pcm" else g711_decode(audio, self._encoding).tobytes()
        if self._taken_bytes >= len(command.audio):
            self._taken_bytes = 0
            self._commands.popleft()

    def _follows(self, command: DetectSpeech) -> bool:
        """It goes on where the last one ended, in the same encoding."""
        position = self._start_samples + bytes_to_samples(self._received_bytes, self._encoding)
        return command.start_samples == position and command.format.type == self._encoding


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
        inbox: SimpleQueue[_Stream | None],
        streams: Sized,
        deliver: Callable[[_Scores], None],
    ) -> None:
        self._network = network
        self._inbox = inbox
        self._deliver = deliver
        self._streams = streams
        """All that are open."""
        self._line: deque[_Stream] = deque()
        """Streams that have a window, in the order of their turns."""

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
                stream = self._inbox.get(block=idle)
            except Empty:
                return True
            if stream is None:
                return False
            idle = False
            stream.called = False  # First, so that audio which comes while we look calls again.
            self._stand_in_line(stream)

    def _stand_in_line(self, stream: _Stream) -> None:
        """A stream that has a window comes last."""
        if not stream.in_line and stream.has_window():
            stream.in_line = True
            self._line.append(stream)

    def _score(self) -> None:
        """Score one window of each stream whose turn it is."""
        streams = self._next_streams()
        if not streams:
            return
        windows = _windows(streams)
        state = np.concatenate([stream.state for stream in streams]).reshape(-1, 2, STATE_SIZE)
        probabilities, following = self._network.step(windows, state.swapaxes(0, 1))
        for stream, row in zip(streams, following.swapaxes(0, 1).reshape(len(streams), -1), strict=True):
            stream.state = row.copy()  # A view would keep the whole batch in memory.
        scores = zip(streams, probabilities.tolist(), strict=True)
        self._deliver([(stream, SpeechScore(stream.end_samples, probability)) for stream, probability in scores])
        for stream in streams:
            self._stand_in_line(stream)

    def _next_streams(self) -> list[_Stream]:
        """Those that are first in the line, out of it; but not those that were closed."""
        first = [self._line.popleft() for _ in range(min(len(self._line), BATCH_WINDOWS))]
        for stream in first:
            stream.in_line = False
        return [stream for stream in first if not stream.closed]


def _windows(streams: list[_Stream]) -> Floats:
    """The next windows of all streams, (streams, 576): one product for each shape that there is."""
    shapes = {stream.shape for stream in streams}
    if len(shapes) == 1:
        return _resampled(shapes.pop(), streams)
    windows = np.empty((len(streams), WINDOW_SAMPLES), np.float32)
    for shape in shapes:
        places = [place for place, stream in enumerate(streams) if stream.shape is shape]
        windows[places] = _resampled(shape, [streams[place] for place in places])
    return windows


def _resampled(shape: _Shape, streams: list[_Stream]) -> Floats:
    """The next windows of streams of one shape."""
    lines = np.frombuffer(b"".join([stream.next_line() for stream in streams]), "<i2").reshape(len(streams), -1)
    windows = shape.resampler.feed(lines[:, : shape.resampler.line_samples])
    for window, stream in zip(windows, streams, strict=True):
        if stream.begins:
            stream.begins = False
            window[:LEAD_SAMPLES] = 0
    return windows


def _warm_network() -> SileroNetwork:
    """The network, used once, on one BLAS thread for the whole process.

    More threads make these small products slower, and OpenBLAS lets idle ones spin, which the event loop would feel.
    """
    network = SileroNetwork()
    threadpool_limits(1, user_api="blas")
    network.step(np.zeros((BATCH_WINDOWS, WINDOW_SAMPLES), np.int16), np.zeros((2, BATCH_WINDOWS, STATE_SIZE), np.float32))
    return network
