"""The WebSocket endpoint: who knocks, which dialect, which engine, and then a session."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from vivavoce.engine_api import Engine
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.codec import GA, Dialect
from vivavoce.protocol.config import Config, SessionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import ServerEvent
from vivavoce.runner import Observer, Runner
from vivavoce.server.auth import Caller, origin_allowed
from vivavoce.server.client_secrets import ClientSecret
from vivavoce.server.errors import HttpError
from vivavoce.server.logs import line
from vivavoce.server.metrics import SessionMeter
from vivavoce.server.starting import starting_config
from vivavoce.server.state import ServerState
from vivavoce.session.boundary import Setup
from vivavoce.transports.connection import Connection
from vivavoce.transports.handshake import Request
from vivavoce.transports.websocket import WebSocket

_logger = logging.getLogger("vivavoce.session")

DRAFT_AFTER_MS: Final = 150
"""The silence after which an answer is drafted: five of Silero's windows, shorter than most pauses that end a turn."""
BETA_PATHS: Final = ("/openai/realtime",)
GA_PATHS: Final = ("/openai/v1/realtime",)
PATHS: Final = ("/v1/realtime", "/realtime", *BETA_PATHS, *GA_PATHS)


def dialect_of(request: Request, secret: ClientSecret | None) -> Dialect:
    """Which dialect a connection speaks: the contract's table, first match."""
    if "realtime=v1" in request.headers.get("openai-beta", "").replace(" ", ""):
        return BETA
    path = request.path.rstrip("/")
    if "openai-beta.realtime-v1" in request.subprotocols or path in BETA_PATHS:
        return BETA
    if path in GA_PATHS:
        return GA
    return BETA if secret is not None and secret.dialect == "beta" else GA


class Realtime:
    """Answers handshakes. Everything happens at once, so nothing can change between a check and what it allows."""

    def __init__(self, state: ServerState) -> None:
        self._state: Final = state

    def __call__(self, connection: Connection) -> None:
        """Open a session, or refuse with HTTP. Nothing escapes."""
        try:
            self._open(connection)
        except HttpError as error:
            self._refuse(connection, error)
        except RequestError as error:
            self._refuse(connection, HttpError(400, error.code, error.message, error.param))
        except Exception:
            _logger.exception("a handshake broke")
            self._refuse(connection, HttpError(500, "server_error", "The server had an error."))

    def _refuse(self, connection: Connection, error: HttpError) -> None:
        self._state.metrics.refused.labels(error.code).inc()
        connection.refuse(error.status, error.body(), error.headers)

    def _open(self, connection: Connection) -> None:
        state, request = self._state, connection.request
        caller = self._admit(request)
        dialect = dialect_of(request, caller.secret)
        config = starting_config(request.query, caller.secret, state.settings.session)
        model = config.model if isinstance(config, SessionConfig) else request.query.get("model", "")
        engine_name, engine = state.engines.named(model)
        setup = self._setup(config, engine)
        record = _Record(state, connection, setup.seed)

        def open_runner(send: Callable[[ServerEvent], None], close: Callable[[int, str], None]) -> Runner:
            account = state.accounts.of(caller.key_id)
            observers = self._observers(setup, record)
            return state.front_ends.runner(setup, engine, send=send, close=close, account=account, observers=observers)

        web_socket = WebSocket(connection, dialect, open_runner)
        record.open(web_socket.runner, engine_name, dialect, model, caller.key_id)
        web_socket.start()

    def _admit(self, request: Request) -> Caller:
        """Raise `HttpError` unless this handshake may open a session."""
        state = self._state
        if request.path.rstrip("/") not in PATHS:
            raise HttpError(404, "not_found", f"Unknown request URL: GET {request.path}. WebSockets are at /v1/realtime.")
        origin = request.headers.get("origin")
        if not origin_allowed(origin, state.settings.allowed_origins, state.gate.open):
            raise HttpError(403, "origin_not_allowed", "Pages from this origin may not connect: see allowed_origins.")
        caller = state.gate.caller(request.headers, request.subprotocols, time.time())
        if "call_id" in request.query:
            raise HttpError(
                404, "call_id_not_found", "There is no such call: this server does not take calls yet.", "call_id"
            )
        state.sessions.check_room()
        return caller

    def _setup(self, config: Config, engine: Engine) -> Setup:
        limits, turns = self._state.settings.limits, self._state.settings.turns
        seconds = limits.session_minutes * 60
        return Setup(
            seed=secrets.token_hex(8),
            config=config,
            capabilities=engine.capabilities,
            opened_at=time.monotonic(),
            expires_at=int(time.time() + seconds),
            duration_seconds=seconds,
            max_items=limits.items,
            max_buffered_bytes=limits.buffered_audio_bytes,
            engine_silence_seconds=limits.engine_silence_seconds,
            rate_limited=self._state.accounts.limited,
            draft_after_ms=DRAFT_AFTER_MS if turns.drafts else None,
            speak_late_outputs=turns.speak_late_outputs,
            confirm_barge_in_ms=turns.confirm_barge_in_ms or None,
        )

    def _observers(self, setup: Setup, record: _Record) -> list[Observer]:
        traces = self._state.traces
        return [traces.begin(f"sess_{setup.seed}", setup), record] if traces else [record]


class _Record(SessionMeter):
    """A session's place on the list, its figures, and its two lines in the log. An observer of its `Runner`."""

    def __init__(self, state: ServerState, connection: Connection, seed: str) -> None:
        super().__init__(state.metrics)
        self._state: Final = state
        self._connection: Final = connection
        self._session_id: Final = f"sess_{seed}"
        self._opened_at: Final = time.monotonic()
        self._runner: Runner | None = None

    def open(self, runner: Runner, engine: str, dialect: Dialect, model: str, key_id: str) -> None:
        """The session opens."""
        self._runner = runner
        self._state.sessions.add(runner)
        self.begin()
        self._state.metrics.opened.labels(engine, dialect.name).inc()
        address, session_id = self._connection.address, self._session_id
        line(
            _logger,
            f"{session_id} opened: engine {engine}, model {model or 'not named'}, {dialect.name}, from {address}",
            session=session_id,
            engine=engine,
            model=model,
            dialect=dialect.name,
            address=address,
            key=key_id,
        )

    def end(self) -> None:
        """The session is over."""
        super().end()
        if self._runner is not None:
            self._state.sessions.remove(self._runner)
        seconds = time.monotonic() - self._opened_at
        connection = self._connection
        line(
            _logger,
            f"{self._session_id} closed after {seconds:.1f} s: turns {self.turns}, responses {self.responses}, "
            f"errors {self.errors}, {connection.bytes_in // 1000} kB in, {connection.bytes_out // 1000} kB out",
            session=self._session_id,
            seconds=round(seconds, 3),
            turns=self.turns,
            responses=self.responses,
            errors=self.errors,
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
        )
