"""The fork server: who lives, who dies, and who hears of it."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from vivavoce.engines.fork_server import ForkServer
from vivavoce.protocol.errors import EngineError

WORK = "tests.engines.forked_work"


class Running:
    """A piece of work that runs, seen from the server."""

    @classmethod
    async def begin(cls, server: ForkServer) -> "Running":
        self = cls()
        self.reader, self.writer = await asyncio.open_unix_connection(sock=server.open())
        pid, loaded_by = (await self.reader.readline()).split()
        self.pid, self.loaded_by = int(pid), int(loaded_by)
        return self

    async def repeats(self, text: bytes) -> bool:
        self.writer.write(text)
        return await self.reader.readexactly(len(text)) == text

    async def ends(self) -> bool:
        """Waits for the end of stream."""
        return await self.reader.read() == b""


def with_server(scenario):
    async def run() -> None:
        server = ForkServer(WORK)
        await server.start()
        try:
            await scenario(server)
        finally:
            await server.close()

    asyncio.run(run())


def wait_for_death(*pids: int) -> None:
    """Returns when the processes, no children of ours, are gone. pytest's own timeout is the limit."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([descriptor], [], [])
        os.close(descriptor)


def test_each_piece_of_work_has_a_process_of_its_own():
    async def scenario(server):
        one, other = await Running.begin(server), await Running.begin(server)
        assert len({one.pid, other.pid, server.pid, os.getpid()}) == 4
        assert one.loaded_by == other.loaded_by == server.pid  # loaded once, before the forks
        assert await one.repeats(b"one")
        assert await other.repeats(b"other")

    with_server(scenario)


def test_work_ends_when_its_socket_closes():
    async def scenario(server):
        work = await Running.begin(server)
        work.writer.close()
        await asyncio.to_thread(wait_for_death, work.pid)

    with_server(scenario)


def test_a_killed_process_ends_its_own_socket_and_no_other():
    async def scenario(server):
        killed, alive = await Running.begin(server), await Running.begin(server)
        os.kill(killed.pid, signal.SIGKILL)
        assert await killed.ends()
        assert await alive.repeats(b"alive")
        assert await (await Running.begin(server)).repeats(b"next")

    with_server(scenario)


def test_work_that_raises_ends_its_own_socket_and_says_why(capfd):
    async def scenario(server):
        broken = await Running.begin(server)
        broken.writer.write(b"break")
        assert await broken.ends()
        assert await (await Running.begin(server)).repeats(b"next")

    with_server(scenario)
    assert "RuntimeError: as told" in capfd.readouterr().err


def test_a_killed_fork_server_is_replaced_and_nothing_is_lost():
    async def scenario(server):
        first = server.pid
        running = await Running.begin(server)
        os.kill(first, signal.SIGKILL)
        meanwhile = [await Running.begin(server) for _ in range(3)]
        assert server.pid not in (None, first)
        assert {work.loaded_by for work in meanwhile} == {server.pid}
        assert await running.repeats(b"still here")

    with_server(scenario)


def test_signals_to_the_whole_group_do_not_end_work():
    async def scenario(server):
        work = await Running.begin(server)
        for signal_number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C; a service that is stopped
            os.kill(server.pid, signal_number)
            os.kill(work.pid, signal_number)
        assert await work.repeats(b"not my business")
        assert await (await Running.begin(server)).repeats(b"nor mine")

    with_server(scenario)


def test_everything_dies_with_the_server_however_it_dies():
    program = f"""
        import asyncio, os, signal
        from tests.engines.test_fork_server import ForkServer, Running

        async def main():
            server = ForkServer({WORK!r})
            await server.start()
            works = [await Running.begin(server) for _ in range(2)]
            print(server.pid, *(work.pid for work in works), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 3
    wait_for_death(*pids)


def test_close_ends_the_fork_server():
    async def scenario(server):
        pid = server.pid
        await server.close()
        assert server.pid is None
        wait_for_death(pid)

    with_server(scenario)


def test_a_module_that_does_not_start_is_an_engine_error(capfd):
    async def start() -> None:
        await ForkServer("tests.engines.no_such_module").start()

    with pytest.raises(EngineError, match=r"tests\.engines\.no_such_module did not start"):
        asyncio.run(start())
    assert "No module named" in capfd.readouterr().err
