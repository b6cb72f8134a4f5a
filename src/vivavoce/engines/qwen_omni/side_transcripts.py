"""The user's words for a client that wants to read them: a side job that the answer neither waits for nor sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from vivavoce.engine_api import Listen, Transcribe, TranscriptDelta, TranscriptDone
from vivavoce.engines.hearing import Hearing
from vivavoce.engines.parts import Hints, Transcriber
from vivavoce.engines.streaming import Words, closing
from vivavoce.protocol.errors import SettingsError
from vivavoce.registry import TRANSCRIBERS, find


def transcriber_of(name: str, options: Any) -> Transcriber | None:
    """The transcriber of this name, with its own options; none, where there is no name. Raises `SettingsError`."""
    if not name:
        return None
    if not isinstance(options, Mapping):
        raise SettingsError(f"engines.qwen_omni.{name}: a table of the transcriber's options is wanted.")
    return cast(Transcriber, find(TRANSCRIBERS, name)(options))


class SideTranscripts:
    """The transcripts of one session. Lives on the event loop."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._hearings: dict[str, Hearing] = {}
        self._hints = Hints()

    def listen(self, command: Listen) -> None:
        """The next audio of a turn."""
        hearing = self._hearings.get(command.item_id) or self._begin(command.item_id)
        hearing.feed(command.audio, command.format)
        if command.final:
            hearing.complete()

    async def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        """The words of an item: an async generator."""
        self._hints = Hints(language=request.language, prompt=request.prompt)
        hearing = self._hearings.pop(request.item_id, None)
        if hearing is None or not hearing.is_of(request.audio):
            hearing = Hearing(self._transcriber, self._hints)
        hearing.complete(request.audio, request.format)
        sent = ""
        try:
            async with closing(hearing.deltas()) as deltas:
                async for delta in deltas:
                    sent += delta.text
                    yield TranscriptDelta(request.item_id, delta.text, delta.logprobs if request.logprobs else ())
            whole = await hearing.transcript()
        finally:
            hearing.cancel()
        if whole.text.startswith(sent) and len(whole.text) > len(sent):
            yield TranscriptDelta(request.item_id, whole.text[len(sent) :])
        yield TranscriptDone(request.item_id, whole.text, whole.logprobs if request.logprobs else ())

    def forget(self, item_id: str) -> None:
        """Nothing came of the turn."""
        if hearing := self._hearings.pop(item_id, None):
            hearing.cancel()

    def close(self) -> None:
        """The session is over."""
        for item_id in list(self._hearings):
            self.forget(item_id)

    def _begin(self, item_id: str) -> Hearing:
        hearing = self._hearings[item_id] = Hearing(self._transcriber, self._hints)
        return hearing
