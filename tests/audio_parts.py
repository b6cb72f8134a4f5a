"""Parts of a cascade that a server under test finds by their path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from tests.engines.fakes import FakeSynthesizer, FakeTranscriber
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.protocol.errors import EngineError


class Ears(FakeTranscriber):
    """Hears what `speech` says."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()


class Voice(FakeSynthesizer):
    """Hums; breaks where it shall say BREAK, and hangs at WAIT."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        voices.append(self)

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        async with aclosing(super().speak(utterance)) as pieces:
            async for piece in pieces:
                yield piece
                if "BREAK" in utterance.text:
                    raise EngineError("hoarse", "The voice broke.")
                if "WAIT" in utterance.text:
                    await asyncio.Event().wait()


voices: list[Voice] = []
"""All that were made."""
