"""What one client event costs the event loop, without a socket: `python -m benchmarks.append_path`.

A frame goes the whole way, from the connection to the session and to the engine's `submit`; a score comes back the whole way.
Microseconds of processor time, the best of several runs, so that a busy machine does not matter much.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable

from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, EngineCommand, Generate, OutputAudio, SpeechScore
from vivavoce.client.load.frames import append_frame, text_frame
from vivavoce.protocol.codec import GA
from vivavoce.runner import Runner
from vivavoce.server.realtime import Realtime
from vivavoce.server.state import make_state
from vivavoce.settings import Settings
from vivavoce.transports import connection as connections
from vivavoce.transports.connection import Connection

UPGRADE = b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
UPGRADE += b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
CHUNK = bytes(960)
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


def microseconds(work: Callable[[], object], times: int, runs: int = 7) -> float:
    """Of the quickest run, for each time."""
    quickest = float("inf")
    for _ in range(runs):
        started = time.thread_time()
        work()
        quickest = min(quickest, time.thread_time() - started)
    return quickest / times * 1e6


async def main() -> None:
    connections.SLICE_SECONDS = 1e9  # type: ignore[misc]  # There is nobody here to give way to.
    state = make_state(Settings(engine="scripted"))
    engine = Still()
    state.engines.named = lambda model: ("still", engine)  # type: ignore[method-assign,assignment,return-value]
    connection = Connection(Realtime(state), set(), 24 * 2**20, 16 * 2**20)
    connection.connection_made(Sink())
    connection.data_received(UPGRADE)
    times = 2_000
    frame, ignored = append_frame(CHUNK), text_frame({"type": "response.cancel"})
    position = 0

    def appends() -> None:
        for _ in range(times):
            connection.data_received(frame)

    async def scores(count: int) -> None:
        nonlocal position
        for _ in range(count):
            position += 768
            engine.emit(SpeechScore(position, 0.01))
            await asyncio.sleep(0)

    async def run_scores() -> float:
        started = time.thread_time()
        await scores(times)
        return (time.thread_time() - started) / times * 1e6

    async def idle() -> float:
        started = time.thread_time()
        for _ in range(times):
            await asyncio.sleep(0)
        return (time.thread_time() - started) / times * 1e6

    def one_turn() -> None:
        for _ in range(times * 5 // 8):
            connection.data_received(frame)

    print(f"append of 20 ms, silence    {microseconds(appends, times):8.2f} µs")
    print(f"decode alone                {microseconds(lambda: [GA.decode(PLAIN) for _ in range(times)], times):8.2f} µs")
    nothing = min([await idle() for _ in range(7)])
    spent = []
    for _ in range(7):
        one_turn()
        spent.append(await run_scores() - nothing)
    print(f"speech score, silence       {min(spent):8.2f} µs")
    print(f"an error event              {microseconds(lambda: [connection.data_received(ignored) for _ in range(200)], 200):8.2f} µs")
    spent = []
    for _ in range(7):
        connection.data_received(text_frame({"type": "response.create"}))
        await asyncio.sleep(0)
        asked = engine.commands[-1]
        assert isinstance(asked, Generate)
        started = time.thread_time()
        for _ in range(200):
            engine.emit(OutputAudio(asked.response_id, WORD))
            await asyncio.sleep(0)
        spent.append((time.thread_time() - started) / 200 * 1e6 - nothing)
        connection.data_received(text_frame({"type": "response.cancel"}))
    print(f"audio delta of 0.5 s        {min(spent):8.2f} µs")


PLAIN = b'{"type":"input_audio_buffer.append","audio":"' + base64.b64encode(CHUNK) + b'"}'

if __name__ == "__main__":
    asyncio.run(main())
