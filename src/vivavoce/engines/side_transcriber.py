"""The user's words beside an engine that needs none: for the client to read. Nothing waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from vivavoce.engine_api import Transcribe, TranscriptDelta, TranscriptDone
from vivavoce.engines.hearing import Hearing
from vivavoce.engines.parts import Hints, Transcriber
from vivavoce.engines.streaming import Words, closing
from vivavoce.registry import TRANSCRIBERS, find


def found(name: str, options: Mapping[str, Any]) -> Transcriber | None:
    """The transcriber of this name, with its own options; `None` for no name. Raises `SettingsError`."""
    return find(TRANSCRIBERS, name)(options) if name else None


async def transcribed(transcriber: Transcriber, request: Transcribe) -> AsyncIterator[Words]:
    """What was said, word by word. Raises `EngineError`."""
    hearing = Hearing(transcriber, Hints(request.language, request.prompt))
    try:
        hearing.complete(request.audio, request.format)
        sent = ""
        async with closing(hearing.deltas()) as deltas:
            async for delta in deltas:
                sent += delta.text
                yield TranscriptDelta(request.item_id, delta.text, delta.logprobs if request.logprobs else ())
        whole = await hearing.transcript()
        logprobs = whole.logprobs if request.logprobs else ()
        if whole.text.startswith(sent) and len(whole.text) > len(sent):
            yield TranscriptDelta(request.item_id, whole.text[len(sent) :], () if sent else logprobs)
        yield TranscriptDone(request.item_id, whole.text, logprobs)
    finally:
        hearing.cancel()
