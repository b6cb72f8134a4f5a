"""Two-stage barge-in over a whole session: recorded speech, Silero, the runner, the scripted engine; a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import numpy as np

from benchmarks.serving import RECORDINGS
from benchmarks.turns import InstantSilero
from tests.engines.fake_clock import run_on_fake_clock
from vivavoce.audio import Samples, ms_to_samples
from vivavoce.client.recording import read_recording
from vivavoce.engines.scripted import Scripted
from vivavoce.protocol.client_events import InputAudioBufferAppend
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.server_events import (
    InputAudioBufferSpeechStarted,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerEvent,
)
from vivavoce.registry import Ensemble
from vivavoce.runner import Runner
from vivavoce.server.metrics import Metrics, SessionMeter
from vivavoce.session.boundary import Setup

CHUNK_MS = 20
CHUNK_SAMPLES = ms_to_samples(CHUNK_MS)
STORY = "Once upon a time there was a server that told long stories to whoever asked, and it liked to finish them. " * 2
SCRIPT: dict[str, Any] = {
    "turns": [{"say": STORY}],
    "transcripts": ["Tell me a story.", "Mm-hmm.", "Hold on, I have a question."],
}


class Talk:
    """A session, and what the client saw when."""

    def __init__(self, confirm_ms: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.seen: list[tuple[float, ServerEvent]] = []
        self.metrics = Metrics()
        engine = Ensemble(Scripted({"script": SCRIPT}), InstantSilero())
        setup = Setup(
            seed="",
            config=SessionConfig(),
            capabilities=engine.capabilities,
            expires_at=0,
            confirm_barge_in_ms=confirm_ms,
        )
        self._runner = Runner(
            setup,
            engine,
            send=lambda event: self.seen.append((self._loop.time(), event)),
            close=lambda code, reason: None,
            observers=[SessionMeter(self.metrics)],
            clock=self._loop.time,
        )
        self._runner.start()

    async def hear(self, samples: Samples) -> None:
        """What the microphone hears, as it hears it."""
        for start in range(0, samples.size - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
            await asyncio.sleep(CHUNK_MS / 1000)
            chunk = samples[start : start + CHUNK_SAMPLES].astype("<i2").tobytes()
            self._runner.feed(InputAudioBufferAppend(audio=chunk))

    def times(self, kind: type) -> list[float]:
        return [at for at, event in self.seen if isinstance(event, kind)]

    def end(self) -> None:
        self._runner.disconnected()


def quiet(seconds: float) -> Samples:
    return np.zeros(int(seconds * 24_000), np.int16)


def said(name: str, start_seconds: float = 0.0, end_seconds: float | None = None) -> Samples:
    samples = read_recording(str(RECORDINGS / f"{name}.wav")).samples
    return samples[int(start_seconds * 24_000) : None if end_seconds is None else int(end_seconds * 24_000)]


async def _conversation(confirm_ms: int | None) -> tuple[Talk, dict[str, float]]:
    """A question; a murmur two seconds into the answer; a real interruption two seconds later."""
    talk, marks = Talk(confirm_ms), {}
    loop = asyncio.get_running_loop()
    await talk.hear(np.concatenate([quiet(0.5), said("weather-question"), quiet(2.0)]))
    marks["murmur"] = loop.time()
    await talk.hear(np.concatenate([said("goforward", 0.5, 0.75), quiet(1.75)]))
    marks["objection"] = loop.time()
    await talk.hear(np.concatenate([said("goforward"), quiet(1.0)]))
    talk.end()
    return talk, marks


def test_a_murmur_pauses_a_story_and_a_question_ends_it() -> None:
    async def scene() -> None:
        talk, marks = await _conversation(600)
        started = talk.times(InputAudioBufferSpeechStarted)
        assert len(started) == 2
        assert started[1] > marks["objection"]
        done = next(event for _, event in talk.seen if isinstance(event, ResponseDone))
        assert done.response.status == "cancelled"
        assert done.response.status_details is not None
        assert done.response.status_details.reason == "turn_detected"
        deltas = talk.times(ResponseOutputAudioDelta)
        pauses = [later - sooner for sooner, later in itertools.pairwise(deltas) if later < marks["objection"]]
        assert 0.2 < max(pauses) < 1.0
        assert sum(pause > 0.15 for pause in pauses) == 1

    run_on_fake_clock(scene())


def test_without_the_option_the_murmur_ends_it() -> None:
    async def scene() -> None:
        talk, marks = await _conversation(None)
        started = talk.times(InputAudioBufferSpeechStarted)
        assert len(started) == 3
        assert marks["murmur"] < started[1] < marks["objection"]

    run_on_fake_clock(scene())
