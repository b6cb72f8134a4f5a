"""An engine of one's own: says back what it was told, in a voice of tones."""

from collections.abc import AsyncIterator

from vivavoce.engine_api import Capabilities, Generate
from vivavoce.engines.history import last_said
from vivavoce.engines.sine_voice import say
from vivavoce.engines.streaming import Output, StreamingEngine


class Parrot(StreamingEngine):
    """The engine."""

    capabilities = Capabilities(voices=("alloy", "verse"))

    async def generate(self, request: Generate) -> AsyncIterator[Output]:
        """Words and their sound, in turn."""
        for word in say(last_said(request.items) or "Squawk!", request.voice, request.speed):
            yield word.text
            if "audio" in request.modalities:
                yield word.pcm
