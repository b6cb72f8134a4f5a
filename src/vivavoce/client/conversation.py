"""A conversation from a plan: recordings spoken and messages typed, one after the other, each until it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from msgspec import Struct

from vivavoce.audio import SAMPLES_PER_MS, samples_to_bytes, samples_to_ms
from vivavoce.client.connection import CLOSED, Connection
from vivavoce.client.dialogue import Dialogue, Show, Turn
from vivavoce.client.errors import ClientError
from vivavoce.client.microphone import Microphone
from vivavoce.client.playout import SimulatedLoudspeaker
from vivavoce.client.received import silence_ms
from vivavoce.client.recording import Recording
from vivavoce.client.session_options import SessionOptions

UNHEARD_SECONDS: Final = 5.0
"""How long after a recording (and the silence that ends a turn) the server may still notice that somebody spoke."""
LATE_TRANSCRIPT_SECONDS: Final = 10.0
"""How long after the answer a transcript is waited for."""
QUIET_SECONDS: Final = 0.3
"""Unpaced, a recording may hold another turn that the server has not come to: so long nothing must happen."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be said, and how."""

    inputs: tuple[Recording | str, ...]
    """Recordings to speak and messages to type."""
    session: SessionOptions = SessionOptions()
    paced: bool = True
    """At the speed of speech."""
    interrupt_after_seconds: float | None = None
    """Speak the next recording so long after the answer began to play; `None` lets answers play to their end."""
    timeout_seconds: float = 60.0
    """How long to wait for the end of an answer."""


class Exchange:
    """One input and what came of it: usually one turn, more where a recording has long pauses."""

    def __init__(self, input: Recording | str) -> None:
        self.input: Final = input
        self.turns: list[Turn] = []
        self.start_ms = 0
        """Where in the session's input audio the recording begins."""
        self.interrupted = False

    @property
    def answered(self) -> bool:
        """It ended well: in an answer, or interrupted in the middle of one."""
        if not self.turns or any(turn.problem for turn in self.turns):
            return False
        return self.interrupted or self.turns[-1].answered


class ProgressShow(Show, Protocol):
    """A `Show` that also shows how far a recording is."""

    def progress(self, text: str) -> None:
        """Replaced by the next output."""


class Conversation:
    """Carries a `Plan` out over a connection."""

    def __init__(self, connection: Connection, plan: Plan, show: ProgressShow) -> None:
        self._connection: Final = connection
        self._plan: Final = plan
        self._show: Final = show
        self._clock: Final = time.perf_counter
        encoding = plan.session.encoding
        bytes_per_ms = samples_to_bytes(SAMPLES_PER_MS, encoding)
        plays = plan.paced or plan.interrupt_after_seconds is not None
        self._loudspeaker: Final = SimulatedLoudspeaker(bytes_per_ms) if plays else None
        self._microphone: Final = Microphone(connection.send, encoding, plan.paced)
        self._dialogue: Final = Dialogue(
            show, plan.session.tools, self._loudspeaker, self._microphone.audio_clock.moment, bytes_per_ms
        )
        self._happened: Final = asyncio.Event()
        self._last_event = 0.0
        self._reader: asyncio.Task[None] | None = None

    async def hold(self, beta: bool) -> AsyncIterator[Exchange]:
        """All of it; each exchange as it is over. Raises `ClientError` where it cannot go on."""
        self._reader = asyncio.create_task(self._read())
        try:
            await self._connection.send(self._plan.session.update(beta))
            await self._wait(lambda: self._dialogue.configured, "the session")
            interrupted = []
            for at in range(len(self._plan.inputs)):
                exchange = await self._exchange(at)
                if exchange.interrupted:  # How much of its answer is heard, the next one decides.
                    interrupted.append(exchange)
                    continue
                for over in (*interrupted, exchange):
                    yield over
                interrupted.clear()
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    # --- exchanges ---

    async def _exchange(self, at: int) -> Exchange:
        exchange = Exchange(self._plan.inputs[at])
        first = len(self._dialogue.turns)
        if isinstance(exchange.input, str):
            await self._type(exchange.input)
        else:
            await self._speak(exchange, exchange.input)
            await self._wait_for_turn(exchange.input, first)
        is_last = at + 1 == len(self._plan.inputs)
        if not is_last and self._plan.interrupt_after_seconds is not None:
            exchange.interrupted = await self._wait_to_interrupt(self._plan.interrupt_after_seconds)
        if not exchange.interrupted:
            await self._wait_for_answer()
        if is_last:
            await self._microphone.hush()
        elif not exchange.interrupted:
            await self._listen_to_the_end()
        exchange.turns = self._dialogue.turns[first:]
        return exchange

    async def _type(self, text: str) -> None:
        self._dialogue.name = text
        self._show.line("typed", text)
        for event in self._dialogue.type(text, self._clock()):
            await self._connection.send(event)

    async def _speak(self, exchange: Exchange, recording: Recording) -> None:
        self._dialogue.name = recording.name
        channels = {1: "mono", 2: "stereo"}.get(recording.channels, f"{recording.channels} channels")
        self._show.line("speaking", f"{recording.name}: {recording.seconds:.1f} s, {recording.source_hz} Hz {channels}")
        await self._microphone.hush()
        exchange.start_ms = samples_to_ms(self._microphone.audio_clock.position_samples)
        await self._microphone.play(recording.samples, self._show_progress)
        if self._plan.session.push_to_talk:
            for event in self._dialogue.commit(self._clock()):
                await self._connection.send(event)
            return
        if not self._plan.paced:
            await self._microphone.play_silence(self._silence_ms() + 500)
        self._microphone.leave_open()

    def _show_progress(self, spoken: float, total: float) -> None:
        self._show.progress(f"{spoken:5.1f} of {total:.1f} s")

    # --- waits ---

    async def _wait_for_turn(self, recording: Recording, first: int) -> None:
        """The server must notice that somebody spoke."""
        seconds = min(self._silence_ms() / 1000 + UNHEARD_SECONDS, self._plan.timeout_seconds)
        try:
            await self._wait(lambda: len(self._dialogue.turns) > first, "a turn", seconds)
        except _TooLong:
            raise ClientError(f"The server heard no speech in {recording.name}.") from None

    async def _wait_for_answer(self) -> None:
        """Until the last turn so far is finished; its transcript may come after its answer."""
        turns = self._dialogue.turns
        await self._wait(lambda: not (turns[-1].speaking or turns[-1].awaits_answer), "an answer")
        try:
            await self._wait(lambda: turns[-1].finished, "the transcript", LATE_TRANSCRIPT_SECONDS)
        except _TooLong:
            self._show.line("transcript", "none came")
        if not self._plan.paced:
            await self._wait_for_quiet()
            if not turns[-1].finished:
                await self._wait_for_answer()

    async def _wait_for_quiet(self) -> None:
        """Until nothing has come for a while."""
        while True:
            seen = self._last_event
            await asyncio.sleep(seen + QUIET_SECONDS - self._clock())
            if self._last_event == seen:
                return

    async def _wait_to_interrupt(self, seconds: float) -> bool:
        """Until the answer has played so long; False if it is no spoken one."""
        turn = self._dialogue.turns[-1]
        await self._wait(lambda: turn.times.first_audio is not None or turn.finished, "an answer")
        if turn.times.first_audio is None:
            return False
        await asyncio.sleep(max(0.0, turn.times.first_audio + seconds - self._clock()))
        return True

    async def _listen_to_the_end(self) -> None:
        """A polite speaker lets the answer play out before the next turn."""
        if self._loudspeaker is not None:
            now = self._clock()
            await asyncio.sleep(self._loudspeaker.ends_at(now) - now)

    def _silence_ms(self) -> int:
        return silence_ms(self._dialogue.session) or 2000

    # --- the socket ---

    async def _read(self) -> None:
        async for event in self._connection:
            self._last_event = self._clock()
            for answer in self._dialogue.handle(event, self._last_event):
                await self._connection.send(answer)
            self._happened.set()
        raise ClientError(CLOSED)

    async def _wait(self, until: Callable[[], bool], what: str, seconds: float | None = None) -> None:
        """Until something holds, tested after each event. Raises `_TooLong`, or what broke the connection."""
        assert self._reader is not None
        deadline = self._clock() + (self._plan.timeout_seconds if seconds is None else seconds)
        while not until():
            self._happened.clear()
            happened = asyncio.ensure_future(self._happened.wait())
            await asyncio.wait(
                [happened, self._reader], timeout=deadline - self._clock(), return_when=asyncio.FIRST_COMPLETED
            )
            happened.cancel()
            if self._dialogue.problem:
                raise ClientError(f"The server refuses: {self._dialogue.problem}")
            if self._reader.done() and not until():
                self._reader.result()
            if self._clock() >= deadline and not until():
                raise _TooLong(f"The server did not send {what} within {self._plan.timeout_seconds:.0f} s.")


class _TooLong(ClientError):
    """Waited in vain."""
