"""The user's words beside an engine that needs none, for the client to read. The answer neither awaits nor sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from vivavoce.engine_api import Listen, Transcribe
from vivavoce.engines.hearing import Hearing
from vivavoce.engines.parts import Hints, Transcriber
from vivavoce.engines.streaming import Words, closing
from vivavoce.protocol.errors import SettingsError
from vivavoce.registry import TRANSCRIBERS, find


def transcriber_of(engine: str, name: str, options: Any) -> Transcriber | None:
    """The transcriber of this name, with its own options; `None` for no name. Raises `SettingsError`."""
    if not name:
        return None
    if not isinstance(options, Mapping):
        raise SettingsError(f"engines.{engine}.{name}: a table of the transcriber's options is wanted.")
    return cast(Transcriber, find(TRANSCRIBERS, name)(options))


class SideTranscripts:
    """The transcripts of one session. Lives on the event loop."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._hearings: dict[str, Hearing] = {}
        """Of the turns that are listened to."""
        self._hints = Hints()
        """As of the last `Transcribe`: `Listen` brings none."""

    def listen(self, command: Listen) -> None:
        """The next audio of a turn. An engine that gets no `Listen` need not call it."""
        hearing = self._hearings.get(command.item_id)
        if hearing is None:
            hearing = self._hearings[command.item_id] = Hearing(self._transcriber, self._hints)
        hearing.feed(command.audio, command.format)
        if command.final:
            hearing.complete()

    async def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        """The words of an item: an async generator. Raises `EngineError`."""
        self._hints = Hints(language=request.language, prompt=request.prompt)
        hearing = self._hearings.pop(request.item_id, None)
        if hearing is not None and not hearing.is_of(request.audio):
            hearing.cancel()
            hearing = None
        hearing = hearing or Hearing(self._transcriber, self._hints)
        try:
            hearing.complete(request.audio, request.format)
            async with closing(hearing.told(request)) as words:
                async for more in words:
                    yield more
        finally:
            hearing.cancel()

    def forget(self, item_id: str) -> None:
        """Nothing came of the turn."""
        if hearing := self._hearings.pop(item_id, None):
            hearing.cancel()

    def close(self) -> None:
        """The session is over."""
        for item_id in list(self._hearings):
            self.forget(item_id)
