"""What one client event costs the event loop, without a socket: `python -m benchmarks.append_path`.

A frame goes the whole way, from the connection to the session and the engine's `submit`; a score comes all the way back.
Microseconds of processor time, the best of several runs, so that a busy machine does not matter much.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable

from vivavoce.client.load.frames import append_frame, text_frame
from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, EngineCommand, Generate, OutputAudio, SpeechScore
from vivavoce.protocol.codec import GA
from vivavoce.server.realtime import Realtime
from vivavoce.server.state import make_state
from vivavoce.settings import Settings
from vivavoce.transports import connection as connections
from vivavoce.transports.connection import Connection

UPGRADE = b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
UPGRADE += b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
CHUNK = bytes(960)
APPEND = append_frame(CHUNK)
TIMES, WORDS, RUNS = 2_000, 200, 7
WORD = bytes(24_000)


class Sink(asyncio.Transport):
    """A transport that drops what is written."""

    def write(self, data: bytes) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class Still:
    """An engine that takes commands and leaves its events to the benchmark."""

    capabilities = Capabilities()

    def __init__(self) -> None:
        self.emit: Emit = lambda event: None
        self.commands: list[EngineCommand] = []

    def open(self, emit: Emit) -> Still:
        self.emit = emit
        return self

    def submit(self, command: EngineCommand) -> None:
        if not isinstance(command, DetectSpeech):
            self.commands.append(command)

    def close(self) -> None:
        pass


def microseconds(work: Callable[[], object], times: int) -> float:
    """Of the quickest run, for each time."""
    quickest = float("inf")
    for _ in range(RUNS):
        started = time.thread_time()
        work()
        quickest = min(quickest, time.thread_time() - started)
    return quickest / times * 1e6


class Path:
    """A session that is open, with nobody at either end."""

    def __init__(self) -> None:
        state = make_state(Settings(engine="scripted"))
        self.engine = Still()
        state.engines.named = lambda model: ("still", self.engine)
        self.connection = Connection(Realtime(state), set(), 24 * 2**20, 16 * 2**20)
        self.connection.connection_made(Sink())
        self.connection.data_received(UPGRADE)
        self.position = 0

    def feed(self, frame: bytes, times: int = TIMES) -> None:
        for _ in range(times):
            self.connection.data_received(frame)

    async def score(self) -> None:
        """Give back a score for each 32 ms that were appended."""
        for _ in range(TIMES):
            self.position += 768
            self.engine.emit(SpeechScore(self.position, 0.01))
            await asyncio.sleep(0)

    async def speak(self) -> float:
        """An answer of many words; microseconds for each."""
        self.feed(text_frame({"type": "response.create"}), 1)
        asked = self.engine.commands[-1]
        assert isinstance(asked, Generate)
        started = time.thread_time()
        for _ in range(WORDS):
            self.engine.emit(OutputAudio(asked.response_id, WORD))
            await asyncio.sleep(0)
        spent = time.thread_time() - started
        self.feed(text_frame({"type": "response.cancel"}), 1)
        return spent / WORDS * 1e6


async def turns_of_the_loop() -> float:
    """What the loop itself costs a turn."""
    started = time.thread_time()
    for _ in range(TIMES):
        await asyncio.sleep(0)
    return (time.thread_time() - started) / TIMES * 1e6


async def scores(path: Path) -> float:
    path.feed(APPEND, TIMES * 8 // 5)
    started = time.thread_time()
    await path.score()
    return (time.thread_time() - started) / TIMES * 1e6


async def main() -> None:
    connections.SLICE_SECONDS = 1e9  # There is nobody here to give way to.
    path = Path()
    nothing = min([await turns_of_the_loop() for _ in range(RUNS)])
    cancel = text_frame({"type": "response.cancel"})
    rows = {
        "decode an append of 20 ms": microseconds(lambda: [GA.decode(PLAIN) for _ in range(TIMES)], TIMES),
        "append 20 ms": microseconds(lambda: path.feed(APPEND), TIMES),
        "a speech score": min([await scores(path) - nothing for _ in range(RUNS)]),
        "an error event": microseconds(lambda: path.feed(cancel, 200), 200),
        "half a second of speech": min([await path.speak() - nothing for _ in range(RUNS)]),
    }
    for name, us in rows.items():
        print(f"{name:28}{us:8.2f} µs")


PLAIN = b'{"type":"input_audio_buffer.append","audio":"' + base64.b64encode(CHUNK) + b'"}'

if __name__ == "__main__":
    asyncio.run(main())
