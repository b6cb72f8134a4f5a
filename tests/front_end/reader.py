"""An engine that reads a recorded sentence aloud, whatever it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.front_end.acoustics import voice
from vivavoce.engine_api import Generate
from vivavoce.engines.streaming import Output, StreamingEngine


class Reader(StreamingEngine):
    """All of it at once, as an engine does that is faster than speech."""

    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        yield "Unless to be rather cold hearted and rather selfish is to be ill disposed."
        yield voice("austen-0890.wav").astype("<i2").tobytes()
