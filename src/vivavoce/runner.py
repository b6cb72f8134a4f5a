"""One live session: the only place where the session meets the clock, the engine and the client.

    transport ── feed, rejected, disconnected ──▶ inbox ─▶ Session.handle(input, now) ─┬─▶ send(ServerEvent)
    engine ───── emit, from any thread ─────────▶   ▲                                  ├─▶ EngineSession.submit
    the timer, for `Session.deadline()` ────────▶   │                                  ├─▶ close(code, reason)
                        Admitted, Refused ──────────┴── account ◀── Admit, Spend ◀─────┘

One inbox, one consumer, no locks: everything but `emit` happens on the event loop. `emit` puts the event on a deque (atomic)
and wakes the loop once for however many events follow.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Final, Protocol

from msgspec import Struct

from vivavoce.engine_api import (
    Engine,
    EngineCommand,
    EngineEvent,
    EngineSession,
    Generate,
    GenerationFailed,
    Transcribe,
    TranscriptFailed,
)
from vivavoce.protocol.client_events import ClientEvent
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import ErrorDetails, RateLimit
from vivavoce.protocol.server_events import Error, ServerEvent, ServerEventBase
from vivavoce.session.boundary import (
    Admit,
    Admitted,
    Close,
    Disconnected,
    Drain,
    Input,
    Output,
    Refused,
    Rejected,
    Setup,
    Spend,
    Tick,
)
from vivavoce.session.session import Session

_logger = logging.getLogger("vivavoce.session")

_SLICE_SECONDS: Final = 0.0005
"""How long engine events may hold the event loop before other sessions get their turn."""


class Admission(Struct, frozen=True):
    """What an account says to a response."""

    refusal: str | None
    """Why not; `None` lets it start."""
    limits: tuple[RateLimit, ...] = ()


class Account(Protocol):
    """Who pays. Both calls happen on the event loop and return within microseconds."""

    def admit(self, tokens: int, now: float) -> Admission:
        """May a response start that will read about `tokens`?"""

    def spend(self, tokens: int, now: float) -> None:
        """A response cost this much more (or, below 0, less) than `admit` was told."""


class Observer(Protocol):
    """Who looks on: traces and metrics. May not change anything, and may not block."""

    def step(self, now: float, input: Input | None, outputs: Sequence[Output]) -> None:
        """The session answered `input` (`None`: it was opened) with `outputs`."""

    def end(self) -> None:
        """The session is over. Called once."""


class Loop(Protocol):
    """The part of an event loop that a runner needs."""

    def call_soon(self, callback: Callable[[], object]) -> object:
        """After what is ready now."""

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> object:
        """The same, from any thread. Raises `RuntimeError` once the loop is closed."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """In `delay` seconds."""


class Runner:
    """Drives one session. `send` and `close` are the transport's: neither blocks, and after `close` nothing is sent."""

    def __init__(
        self,
        setup: Setup,
        engine: Engine,
        *,
        send: Callable[[ServerEvent], None],
        close: Callable[[int, str], None],
        account: Account | None = None,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
        loop: Loop | None = None,
    ) -> None:
        self.session_id: Final = f"sess_{setup.seed}"
        self._seed: Final = setup.seed
        self._session: Final = Session(setup)
        self._engine: Final = engine
        self._send: Final = send
        self._close: Final = close
        self._account: Final = account
        self._observers: Final = observers
        self._clock: Final = clock
        self._loop: Final[Any] = loop or asyncio.get_running_loop()
        self._thread: Final = get_ident()
        self._inbox: Final[deque[Input | None]] = deque()
        self._emitted: Final[deque[EngineEvent]] = deque()
        self._awake = False
        self._stepping = False
        self._engine_session: EngineSession | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._farewell: tuple[int, str] | None = None
        self._gone = False
        self.closed = False

    # --- what the transport and the server call ---

    def start(self) -> None:
        """Begin: the client gets `session.created`."""
        try:
            self._engine_session = self._engine.open(self._emit)
        except Exception:
            self.fail("the engine's opening")
        self._put(None)

    def feed(self, event: ClientEvent) -> None:
        """The client said something."""
        self._put(event)

    def rejected(self, error: RequestError) -> None:
        """The client said something that never became an event."""
        self._put(Rejected(error.code, error.message, error.param, error.event_id))

    def drain(self) -> None:
        """The server is going away: finish what runs, then close with 1001."""
        self._put(Drain())

    def disconnected(self) -> None:
        """The client is gone: nothing more is sent."""
        self._gone = True
        self._put(Disconnected())

    def fail(self, where: str) -> None:
        """Our own bug, to be called while the exception is handled. The client learns that it was not its fault."""
        _logger.exception("%s: broke on %s", self.session_id, where)
        if not self.closed:
            self._break()

    def stop(self, code: int, reason: str) -> None:
        """Close now, whatever runs: the client still hears that it was cancelled."""
        self._farewell = (code, reason)
        self._put(Disconnected())

    # --- what the engine calls ---

    def _emit(self, event: EngineEvent) -> None:
        """Callable from any thread. The flag needs no lock: `_gather` lowers it before it reads the deque."""
        if self.closed:
            return
        self._emitted.append(event)
        if not self._awake:
            self._awake = True
            try:
                # To wake a loop takes a system call or two. A loop that runs us is awake.
                wake = self._loop.call_soon if get_ident() == self._thread else self._loop.call_soon_threadsafe
                wake(self._gather)
            except RuntimeError:  # The loop is closed: so are all sessions.
                self.closed = True

    def _gather(self) -> None:
        """Take in what the engine emitted; give way to other sessions after a slice of time."""
        self._awake = False
        emitted = self._emitted
        if len(emitted) == 1:
            self._put(emitted.popleft())
            return
        until = self._clock() + _SLICE_SECONDS
        while emitted and not self.closed:
            self._put(emitted.popleft())
            if emitted and self._clock() > until:
                if not self._awake:
                    self._awake = True
                    self._loop.call_soon(self._gather)
                return

    # --- the funnel ---

    def _put(self, input: Input | None) -> None:
        """Handle an input and all that follows, then set the timer. What comes meanwhile waits in the inbox."""
        if self.closed:
            return
        self._inbox.append(input)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._inbox and not self.closed:
                input = self._inbox.popleft()
                try:
                    self._step(input)
                except Exception:
                    self.fail(type(input).__name__ if input else "open")
        finally:
            self._stepping = False
        if not self.closed and self._session.deadline() != self._deadline:
            self._set_timer()

    def _step(self, input: Input | None) -> None:
        now = self._clock()
        outputs = self._session.open(now) if input is None else self._session.handle(input, now)
        for observer in self._observers:
            observer.step(now, input, outputs)
        answers: list[Input] = []
        for output in outputs:
            if isinstance(output, ServerEventBase):
                if not self._gone:
                    self._send(output)
            elif isinstance(output, Admit | Spend | Close):
                self._perform(output, now, answers)
            else:
                self._submit(output, answers)
        if answers:
            self._inbox.extendleft(reversed(answers))
        if isinstance(input, Disconnected):
            if self._farewell is not None and not self._gone:
                self._close(*self._farewell)
            self._end()

    def _perform(self, output: Admit | Spend | Close, now: float, answers: list[Input]) -> None:
        """What is for the runner itself."""
        if isinstance(output, Admit):
            answers.append(self._admission(output, now))
        elif isinstance(output, Spend):
            if self._account is not None:
                self._account.spend(output.tokens, now)
        else:
            self._close(output.code, output.reason)
            self._end()

    def _submit(self, command: EngineCommand, answers: list[Input]) -> None:
        """An engine that raises where it may not has failed at this command, and at nothing else."""
        assert self._engine_session is not None
        try:
            self._engine_session.submit(command)
        except Exception:
            _logger.exception("%s: the engine raised on %s", self.session_id, type(command).__name__)
            message = "The engine failed."
            if isinstance(command, Generate):
                answers.append(GenerationFailed(command.response_id, "engine_error", message))
            elif isinstance(command, Transcribe):
                answers.append(TranscriptFailed(command.item_id, "engine_error", message))

    def _admission(self, request: Admit, now: float) -> Admitted | Refused:
        admission = self._account.admit(request.tokens, now) if self._account else Admission(None)
        if admission.refusal is None:
            return Admitted(request.response_id, admission.limits)
        return Refused(request.response_id, admission.refusal, admission.limits)

    # --- the timer ---

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline = self._session.deadline()
        self._timer = None if deadline is None else self._loop.call_later(max(0.0, deadline - self._clock()), self._tick)

    def _tick(self) -> None:
        self._timer = self._deadline = None
        self._put(Tick())

    # --- the end ---

    def _break(self) -> None:
        """The log knows more under the session's id."""
        message = f"The server had an error while processing your request. Its log knows more under {self.session_id}."
        details = ErrorDetails(type="server_error", code="server_error", message=message)
        try:
            self._send(Error(event_id=f"event_{self._seed}_broken", error=details))
            self._close(1011, "The server had an error.")
        finally:
            self._end()

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._inbox.clear()
        self._emitted.clear()
        if self._engine_session is not None:
            self._engine_session.close()
        for observer in self._observers:
            observer.end()
        del self._session  # Its audio goes now, and not when the garbage is collected.
