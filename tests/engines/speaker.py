"""An `Espeak` for tests without `await`."""

import asyncio

import numpy as np
from msgspec import Struct

from tests.engines.speeches import collected, marks_of, pcm_of
from tests.engines.voice_measures import Pcm
from vivavoce.engine_api import Mark
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.parts import Utterance
from vivavoce.engines.tone import NEUTRAL, Tone

SENTENCE = "Well, the weather in Paris is mild today, with some clouds in the afternoon."


class Spoken(Struct, frozen=True):
    pcm: Pcm
    marks: list[Mark]


class Speaker:
    """An `Espeak` that has started, for tests without `await`."""

    def __init__(self, runner: asyncio.Runner, **options: str) -> None:
        self.runner = runner
        self.espeak = Espeak(options)
        runner.run(self.espeak.start())

    def say(self, text: str, *, voice: str = "alloy", speed: float = 1.0, tone: Tone = NEUTRAL) -> Spoken:
        async def collect() -> Spoken:
            utterance = Utterance(text=text, voice=voice, speed=speed, tone=tone)
            speeches = await collected(self.espeak.speak(utterance))
            return Spoken(np.frombuffer(pcm_of(speeches), np.int16), marks_of(speeches))

        return self.runner.run(collect())

    def close(self) -> None:
        self.runner.run(self.espeak.close())
