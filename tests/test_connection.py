"""A WebSocket connection without a socket and with a clock of its own: buffers, pings and cut-offs."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.serving import handshake
from tests.test_frames import masked
from vivavoce.transports import frames
from vivavoce.transports.connection import CLOSE_SECONDS, FAIL_SECONDS, PING_SECONDS, Connection
from vivavoce.transports.frames import Text

PING = frames.frame(frames.PING, b"")


class Clock(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select

        def skip(timeout: float | None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = skip

    def time(self) -> float:
        return self.now


class Pipe(asyncio.Transport):
    """A transport that keeps what is written. The test says when the client reads."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.reading = True
        self.ended = ""
        self.eof = False

    def write(self, data: Any) -> None:
        self.written += data

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        if not self.ended:
            self.ended = how
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Receiver:
    """Keeps messages."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.gone_count = 0
        self.work: asyncio.Future[None] | None = None

    def text(self, message: Text) -> asyncio.Future[None] | None:
        self.texts.append(b"".join(message.pieces))
        return self.work

    def binary(self) -> None:
        self.texts.append(b"(binary)")

    def gone(self) -> None:
        self.gone_count += 1


class Side:
    """A connection that is open, and both of its ends."""

    def __init__(self) -> None:
        self.peers: set[Any] = set()
        self.receiver = Receiver()
        self.connection = Connection(lambda connection: connection.accept(self.receiver, None), self.peers, 1000, 100)
        self.pipe = Pipe(self.connection)
        self.connection.connection_made(self.pipe)
        self.connection.data_received(handshake().encode())
        assert self.pipe.take().startswith(b"HTTP/1.1 101 ")

    def hear(self, *data: bytes) -> None:
        self.connection.data_received(b"".join(data))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(test())


def test_a_silent_client_is_asked_and_then_cut_off() -> None:
    async def main() -> None:
        side = Side()
        await asyncio.sleep(PING_SECONDS + 0.1)
        assert side.pipe.take() == PING
        await asyncio.sleep(PING_SECONDS)
        assert side.pipe.take() == frames.close_frame(1011, "keepalive ping timeout")
        assert side.receiver.gone_count == 1
        await asyncio.sleep(CLOSE_SECONDS)
        assert side.pipe.ended == "aborted"
        assert not side.peers

    run(main)


def test_a_client_that_answers_pings_stays() -> None:
    async def main() -> None:
        side = Side()
        for _ in range(50):
            await asyncio.sleep(PING_SECONDS)
            side.hear(masked(frames.PONG, b""))
        assert side.receiver.gone_count == 0
        assert side.pipe.take() == PING * 50

    run(main)


def test_a_full_transport_fills_the_backlog_and_then_the_client_is_closed() -> None:
    async def main() -> None:
        side = Side()
        side.connection.pause_writing()
        side.connection.send(b"a" * 40)
        side.connection.send(b"b" * 40)
        assert side.pipe.take() == b""
        side.connection.resume_writing()
        assert side.pipe.take() == frames.frame(frames.TEXT, b"a" * 40) + frames.frame(frames.TEXT, b"b" * 40)
        side.connection.pause_writing()
        for _ in range(3):
            side.connection.send(b"c" * 40)
        assert side.receiver.gone_count == 1
        side.connection.send(b"too late")
        side.connection.resume_writing()
        assert side.pipe.take() == frames.close_frame(1008, "The client does not read what the server sends.")
        side.hear(masked(frames.CLOSE, struct.pack("!H", 1008)))
        assert side.pipe.ended == "closed"

    run(main)


def test_closing_comes_after_what_was_sent() -> None:
    async def main() -> None:
        side = Side()
        side.connection.pause_writing()
        side.connection.send(b"last words")
        side.connection.close(1001, "bye")
        side.connection.send(b"too late")
        side.connection.resume_writing()
        assert side.pipe.take() == frames.frame(frames.TEXT, b"last words") + frames.close_frame(1001, "bye")
        await asyncio.sleep(CLOSE_SECONDS + 0.1)
        assert side.pipe.ended == "aborted"
        assert side.receiver.gone_count == 1

    run(main)


def test_a_flood_of_pings_fills_no_memory() -> None:
    async def main() -> None:
        side = Side()
        side.connection.pause_writing()
        for number in range(100):
            side.hear(masked(frames.PING, b"%d" % number))
        side.connection.resume_writing()
        assert side.pipe.take() == frames.frame(frames.PONG, b"99")

    run(main)


def test_nothing_is_read_while_a_message_is_worked_on() -> None:
    async def main() -> None:
        side = Side()
        side.receiver.work = asyncio.get_running_loop().create_future()
        side.hear(masked(frames.TEXT, b"large"), masked(frames.TEXT, b"next"))
        assert (side.receiver.texts, side.pipe.reading) == ([b"large"], False)
        side.receiver.work.set_result(None)
        side.receiver.work = None
        await asyncio.sleep(0)
        assert (side.receiver.texts, side.pipe.reading) == ([b"large", b"next"], True)

    run(main)


def test_a_flood_of_messages_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock costs 0.2 ms here: after three messages it is the others' turn."""

    async def main() -> None:
        side = Side()
        now = iter(range(10**6))
        monkeypatch.setattr("vivavoce.transports.connection.time.monotonic", lambda: next(now) * 0.0002)
        side.hear(*(masked(frames.TEXT, b"%d" % number) for number in range(20)))
        assert (len(side.receiver.texts), side.pipe.reading) == (3, False)
        for _ in range(10):
            await asyncio.sleep(0)
        assert side.receiver.texts == [b"%d" % number for number in range(20)]
        assert side.pipe.reading

    run(main)


def test_a_client_that_breaks_the_protocol_can_read_why() -> None:
    async def main() -> None:
        side = Side()
        side.hear(masked(0x3, b""), masked(frames.TEXT, b"never read"))
        assert side.pipe.take() == frames.close_frame(1002, "unknown opcode")
        assert (side.pipe.eof, side.pipe.ended) == (True, "")
        side.hear(masked(frames.TEXT, b"never read"))
        assert side.receiver.texts == []
        await asyncio.sleep(FAIL_SECONDS + 0.1)
        assert (side.pipe.ended, side.receiver.gone_count) == ("aborted", 1)

    run(main)


def test_an_oversized_message_is_skipped_until_the_client_closes() -> None:
    async def main() -> None:
        side = Side()
        side.hear(masked(frames.TEXT, b"x" * 1001)[:500])
        assert side.pipe.take() == frames.close_frame(1009, "The message is too big.")
        side.hear(masked(frames.TEXT, b"x" * 1001)[500:], masked(frames.TEXT, b"late"))
        side.hear(masked(frames.CLOSE, struct.pack("!H", 1009)))
        assert (side.receiver.texts, side.pipe.ended, side.receiver.gone_count) == ([], "closed", 1)

    run(main)


def test_the_clients_close_is_answered_in_kind() -> None:
    async def main() -> None:
        for payload, answer in [(struct.pack("!H", 4001) + b"bye", (4001, "")), (b"", (1005, ""))]:
            side = Side()
            side.hear(masked(frames.CLOSE, payload))
            assert side.pipe.take() == frames.close_frame(*answer)
            await asyncio.sleep(0)
            assert (side.pipe.ended, side.receiver.gone_count, side.peers) == ("closed", 1, set())

    run(main)


def test_a_stop_closes_what_is_open() -> None:
    async def main() -> None:
        side = Side()
        side.connection.shutdown()
        assert side.pipe.take() == frames.close_frame(1001, "The server is restarting.")

    run(main)
