"""Another Realtime server as the engine: the hosted API, llama.cpp's, vLLM-Omni's. `docs/how-to/upstream-speech.md`.

    Listen ─▶ input_audio_buffer.append …, commit         Generate ─ mirror ─▶ items, response.create
    audio, words, calls, usage ◀─ response.…              StopGenerating ─▶ response.cancel

Its turn detection is off, ours rules. Each session has a connection of its own, made when it is first wanted; one that died
is made anew for the next turn, and the conversation is told again. One answer at a time is given in the server's own
conversation; what is asked beside it, or about something else, is answered out of band.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from vivavoce.engine_api import Capabilities, Emit, EngineSession
from vivavoce.engines.realtime_line import Target
from vivavoce.engines.realtime_session import RealtimeSession
from vivavoce.engines.realtime_wire import Dialect
from vivavoce.engines.upstream_options import UpstreamOptions, address_of, key_of
from vivavoce.engines.wav import is_usual
from vivavoce.protocol.errors import SettingsError
from vivavoce.registry import read_options

_NAME: Final = "realtime"
_SCHEMES: Final = ("http", "https", "ws", "wss")


class Options(UpstreamOptions, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.realtime]`."""

    dialect: Dialect = "ga"
    """`beta` for servers that still speak the protocol of 2024."""
    query: dict[str, str] = msgspec.field(default_factory=dict)
    """More of the address: `{duplex = "1"}` for vLLM-Omni."""
    voice: str = ""
    """The voice for names that `voices` does not hold. Empty: the name that the client gave, as it is."""
    voices: dict[str, str] = msgspec.field(default_factory=dict)
    """Clients' names for voices, and the server's."""
    transcription: str = ""
    """The server's model that writes down what the user says, for clients that ask. Empty: it is not asked to."""
    input_rate_hz: int = 24_000
    """Of the sound that is sent while the user speaks. The API wants 24,000; vLLM-Omni hears at 16,000."""
    out_of_band: bool = True
    """Whether the server can answer beside its conversation (`conversation: "none"`). If not, answers come one by one."""
    context_tokens: int = 0
    """How much context the server holds. 0: 128,000; what no longer fits, the server forgets by itself."""
    extra_response: dict[str, Any] = msgspec.field(default_factory=dict)
    """More fields for every `response.create`, as the server's manual has them."""


class Realtime:
    """The engine."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is contacted yet."""
        self.options: Final = read_options(options or {}, Options, _NAME)
        if not is_usual(self.options.input_rate_hz):
            raise SettingsError(f"engines.{_NAME}.input_rate_hz: {self.options.input_rate_hz} is no rate of recordings.")
        self._target = Target(
            name=_NAME,
            subject="The Realtime server",
            base_url=address_of(_NAME, self.options.base_url, _SCHEMES),
            model=self.options.model,
            key=key_of(_NAME, self.options),
            query=self.options.query,
            headers={"OpenAI-Beta": "realtime=v1"} if self.options.dialect == "beta" else {},
            connect_seconds=self.options.connect_seconds,
        )
        self.capabilities = Capabilities(
            native_audio=True,
            listens=True,
            transcribes=bool(self.options.transcription),
            voices=tuple(self.options.voices),
            context_tokens=self.options.context_tokens or 128_000,
        )

    async def start(self) -> None:
        """Get ready. Nobody is contacted: a connection is a session, and costs."""
        if self._target.address.startswith("wss:"):
            # To read all certificates takes a while: not for the event loop, and not for each session.
            tls = await asyncio.to_thread(ssl.create_default_context)
            self._target = msgspec.structs.replace(self._target, tls=tls)

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session. It connects when it has something to say."""
        return RealtimeSession(emit, self._target, self.options)

    async def close(self) -> None:
        """Nothing is left: each session closes its own connection."""
