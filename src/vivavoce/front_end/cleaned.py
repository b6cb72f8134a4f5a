"""A runner whose session hears a cleaned microphone.

    transport ── feed ──▶ queue ──▶ a thread: Microphone.clean ──▶ Runner.feed
                            │ everything else, in its turn ─────────▲
    transport ◀── send ── a look: formats, what is played ◀── Runner

Events of the client stay in their order: what comes while audio is being cleaned waits behind it. Where there is nothing to
clean and nothing waits, an event goes straight through. A disconnect overtakes everything, because nothing matters after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final

import msgspec

from vivavoce.audio import Encoding
from vivavoce.engine_api import Engine
from vivavoce.front_end.microphone import Microphone, Wish
from vivavoce.protocol.client_events import ClientEvent, InputAudioBufferAppend
from vivavoce.protocol.config import AudioInput, SessionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import (
    ConversationItemTruncated,
    InputAudioBufferSpeechStarted,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from vivavoce.runner import Runner
from vivavoce.session.boundary import Setup

SLICE_BYTES: Final = 48_000
"""Audio of one session that is cleaned at a stretch, one event at least: a second of PCM. Then others get their turn."""

Wishes = Callable[[AudioInput], Wish | None]
"""What is to be done with a session's microphone; `None`: nothing."""
Listen = Callable[[Wish], Microphone]


class CleanedRunner(Runner):
    """Drives one session, as `Runner` does, whose arguments it takes too."""

    def __init__(
        self,
        setup: Setup,
        engine: Engine,
        *,
        send: Callable[[ServerEvent], None],
        wishes: Wishes,
        listen: Listen,
        threads: Executor,
        **others: Any,
    ) -> None:
        super().__init__(setup, engine, send=self._see, **others)
        self._pass_on: Final = send
        self._wishes: Final = wishes
        self._listen: Final = listen
        self._threads: Final = threads
        self._event_loop: Final = asyncio.get_running_loop()
        self._most_bytes: Final = setup.max_buffered_bytes
        self._queue: Final[deque[ClientEvent | RequestError]] = deque()
        self._queued_bytes = 0
        self._cleaning = False
        self._microphone: Microphone | None = None
        self._interrupts = False
        """The client stops playing when speech starts."""
        self._output: Encoding = "audio/pcm"
        self._encodings: Final[dict[str, Encoding]] = {}
        """Of responses that have a format of their own, or that began under another one."""

    # --- the client's side ---

    def feed(self, event: ClientEvent) -> None:
        """The client said something."""
        if self._microphone is None and not self._queue:
            self._put(event)
            return
        if isinstance(event, InputAudioBufferAppend):
            if self._queued_bytes + len(event.audio) > self._most_bytes:
                message = f"The input audio buffer is full: {self._queued_bytes} bytes wait to be cleaned."
                super().rejected(RequestError("input_audio_buffer_full", message, "audio", event.event_id or None))
                return
            self._queued_bytes += len(event.audio)
            if self._microphone is not None:
                self._microphone.receive(len(event.audio))
        self._queue.append(event)
        self._advance()

    def rejected(self, error: RequestError) -> None:
        """The client said something that never became an event."""
        if not self._queue:
            super().rejected(error)
            return
        self._queue.append(error)

    def _advance(self) -> None:
        """Deliver what needs no cleaning; at the first that does, start it."""
        while self._queue and not self._cleaning and not self.closed:
            microphone, first = self._microphone, self._queue[0]
            if microphone is None:
                self._deliver(self._queue.popleft())
            elif isinstance(first, InputAudioBufferAppend):
                self._start(microphone, self._next_appends())
            elif microphone.has_rest:
                self._start(microphone, [])
            else:
                self._deliver(self._queue.popleft())

    def _deliver(self, event: ClientEvent | RequestError) -> None:
        if isinstance(event, RequestError):
            super().rejected(event)
            return
        if isinstance(event, InputAudioBufferAppend):
            self._queued_bytes -= len(event.audio)
        super().feed(event)

    def _next_appends(self) -> list[InputAudioBufferAppend]:
        """The appends at the head of the queue, a slice of them. They stay there until they are cleaned."""
        appends: list[InputAudioBufferAppend] = []
        n_bytes = 0
        for event in self._queue:
            if not isinstance(event, InputAudioBufferAppend) or n_bytes > SLICE_BYTES:
                break
            appends.append(event)
            n_bytes += len(event.audio)
        return appends

    def _start(self, microphone: Microphone, appends: list[InputAudioBufferAppend]) -> None:
        """Clean these in a thread; none at all: flush what waits for more."""
        self._cleaning = True
        try:
            self._threads.submit(self._clean, microphone, appends)
        except RuntimeError:  # The threads are gone, and so are all sessions, soon.
            self._microphone = None
            self._cleaning = False

    def _clean(self, microphone: Microphone, appends: list[InputAudioBufferAppend]) -> None:
        """On a thread."""
        audio = [microphone.clean(append.audio) for append in appends] or [microphone.flush()]
        with suppress(RuntimeError):  # The loop is closed: so are all sessions.
            self._event_loop.call_soon_threadsafe(self._cleaned, appends, audio)

    def _cleaned(self, appends: list[InputAudioBufferAppend], audio: list[bytes]) -> None:
        if self.closed:
            return
        self._cleaning = False
        for append in appends:
            self._queue.popleft()
            self._queued_bytes -= len(append.audio)
        for event, cleaned in zip(appends or [InputAudioBufferAppend(audio=b"")], audio, strict=True):
            if cleaned or not event.audio:  # Less than a frame comes with the next append.
                super().feed(msgspec.structs.replace(event, audio=cleaned))
        self._advance()

    # --- the server's side ---

    def _see(self, event: ServerEvent) -> None:
        """Learn what the front end must know, and pass the event on."""
        if (look := _LOOKS.get(type(event))) is not None:
            look(self, event)
        self._pass_on(event)

    def _configure(self, event: SessionCreated | SessionUpdated) -> None:
        audio = event.session.audio
        vad = audio.input.turn_detection
        self._interrupts = vad is not None and vad.interrupt_response
        if isinstance(event.session, SessionConfig):
            self._output = event.session.audio.output.format.type
        wish = self._wishes(audio.input)
        if wish != (self._microphone.wish if self._microphone is not None else None):
            self._microphone = None if wish is None else self._listen(wish)
            if self._microphone is not None:
                self._microphone.receive(self._queued_bytes)

    def _begin_response(self, event: ResponseCreated) -> None:
        self._encodings[event.response.id] = event.response.audio.output.format.type

    def _play(self, event: ResponseOutputAudioDelta) -> None:
        if self._microphone is not None:
            self._microphone.play(event.delta, self._encodings.get(event.response_id, self._output))

    def _end_response(self, event: ResponseDone) -> None:
        self._encodings.pop(event.response.id, None)
        if event.response.status == "cancelled":
            self._stop(event)

    def _start_speech(self, event: InputAudioBufferSpeechStarted) -> None:
        if self._interrupts:
            self._stop(event)

    def _stop(self, _: ServerEvent) -> None:
        if self._microphone is not None:
            self._microphone.stop()


_LOOKS: Final[dict[type[Any], Callable[[CleanedRunner, Any], None]]] = {
    SessionCreated: CleanedRunner._configure,
    SessionUpdated: CleanedRunner._configure,
    ResponseCreated: CleanedRunner._begin_response,
    ResponseOutputAudioDelta: CleanedRunner._play,
    ResponseDone: CleanedRunner._end_response,
    InputAudioBufferSpeechStarted: CleanedRunner._start_speech,
    ConversationItemTruncated: CleanedRunner._stop,
}
