"""`vivavoce talk`: a conversation by microphone and loudspeaker, from a terminal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

import numpy as np

from vivavoce.audio import SAMPLES_PER_MS, Samples
from vivavoce.client.connection import CLOSED, Connection, Server, connected
from vivavoce.client.devices import DeviceLoudspeaker, Devices, load_sounddevice
from vivavoce.client.dialogue import Dialogue
from vivavoce.client.errors import ClientError
from vivavoce.client.local_server import found_or_started
from vivavoce.client.meter import bar, level_db
from vivavoce.client.playout import Playout
from vivavoce.client.screen import Screen
from vivavoce.client.session_options import SessionOptions, session_options
from vivavoce.client.timeline import AudioClock

METER_FRAMES: Final = 5
"""Microphone frames between two looks at the meter."""
METER_COLUMNS: Final = 30


def run(args: argparse.Namespace) -> int:
    """Carry `talk` out until Ctrl-C; the exit code. Raises `ClientError` and `UsageError`."""
    screen = Screen(sys.stdout)
    sounddevice = load_sounddevice()
    options = session_options(args)
    with found_or_started(args, lambda text: screen.line("server", text)) as server:
        try:
            asyncio.run(_talk(server, options, args.half_duplex, screen, sounddevice))
        finally:
            screen.end()
    return 0


async def _talk(server: Server, options: SessionOptions, half_duplex: bool, screen: Screen, sounddevice: Any) -> None:
    async with connected(server) as connection:
        talk = Talk(connection, options, screen, half_duplex=half_duplex)
        with _interrupts(talk.stop), Devices(sounddevice, talk.hear, talk.playout):
            if sys.stdin.isatty():
                read_lines(sys.stdin, talk.enter)
            await talk.hold(server.beta)


class Talk:
    """One conversation. `hear` and `enter` may be called from any thread; the rest happens on the event loop."""

    def __init__(
        self, connection: Connection, options: SessionOptions, screen: Screen, *, half_duplex: bool = False
    ) -> None:
        self._connection: Final = connection
        self._options: Final = options
        self._screen: Final = screen
        self._half_duplex: Final = half_duplex
        self._loop: Final = asyncio.get_running_loop()
        self._inbox: Final[asyncio.Queue[Samples | str | None]] = asyncio.Queue()
        self._audio_clock: Final = AudioClock()
        self._listening = not options.push_to_talk
        self._frames = 0
        self._timed = 0
        self.playout: Final = Playout(bytes_per_ms=2 * SAMPLES_PER_MS)
        self.dialogue: Final = Dialogue(
            screen, options.tools, DeviceLoudspeaker(self.playout), self._audio_clock.moment, keeps_audio=False
        )

    def hear(self, samples: Samples) -> None:
        """The microphone heard something: 24,000 Hz, mono."""
        self._put(samples)

    def enter(self, line: str) -> None:
        """A line was typed."""
        self._put(line)

    def stop(self) -> None:
        """End the conversation."""
        self._put(None)

    async def hold(self, beta: bool) -> None:
        """Talk until `stop`. Raises `ClientError` where the server breaks off."""
        reader = asyncio.create_task(self._read())
        reader.add_done_callback(lambda _: self._inbox.put_nowait(None))
        try:
            await self._connection.send(self._options.update(beta))
            while (heard := await self._inbox.get()) is not None:
                if isinstance(heard, str):
                    await self._typed(heard.strip())
                else:
                    await self._send_audio(heard)
            if reader.done():
                reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def _put(self, heard: Samples | str | None) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: the conversation is over.
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, heard)

    async def _read(self) -> None:
        async for event in self._connection:
            now = time.perf_counter()
            for answer in self.dialogue.handle(event, now):
                await self._connection.send(answer)
            if event.type == "response.done":
                self._show_timing()
            elif event.type == "session.updated":
                self._screen.line("ready", "speak" if self._listening else "Enter to speak, Enter again to send")
        raise ClientError(CLOSED)

    async def _send_audio(self, samples: Samples) -> None:
        self._show_level(samples)
        if self._half_duplex and self.playout.waiting_ms:
            samples = np.zeros_like(samples)
        if self._listening and self.dialogue.configured:
            self._audio_clock.add(samples.size, time.perf_counter(), live=True)
            audio = samples.astype("<i2", copy=False).tobytes()
            await self._connection.send({"type": "input_audio_buffer.append", "audio": audio})

    async def _typed(self, line: str) -> None:
        """A message; or, an empty line and without turn detection, the button of push-to-talk."""
        now = time.perf_counter()
        events = self.dialogue.type(line, now) if line else []
        if not line and self._options.push_to_talk:
            self._listening = not self._listening
            events = self.dialogue.press(now) if self._listening else self.dialogue.commit(now)
        for event in events:
            await self._connection.send(event)

    def _show_level(self, samples: Samples) -> None:
        self._frames += 1
        if self._frames % METER_FRAMES == 0:
            db = level_db(samples)
            self._screen.progress(f"{'mic' if self._listening else 'shut':<11}{bar(db, METER_COLUMNS)} {db:4.0f} dB")

    def _show_timing(self) -> None:
        """How long the answer took: once for each turn that was answered in sound."""
        after_ms = self.dialogue.turns[-1].times.after_ms()
        if after_ms["first_audio"] is not None and len(self.dialogue.turns) > self._timed:
            self._timed = len(self.dialogue.turns)
            self._screen.line("", f"(first sound after {after_ms['first_audio']} ms)")


def read_lines(source: TextIO, on_line: Callable[[str], None]) -> None:
    """Hand over lines from a file, in a thread that dies with the process: reading a terminal cannot be interrupted."""

    def read() -> None:
        for line in source:
            on_line(line)

    threading.Thread(target=read, name="vivavoce-keyboard", daemon=True).start()


@contextlib.contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls `stop` instead of breaking into whatever runs."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows, where Ctrl-C stays `KeyboardInterrupt`
        loop.add_signal_handler(signal.SIGINT, stop)  # and not `signal.signal`: a sleeping loop must wake for it
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
