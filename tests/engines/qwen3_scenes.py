"""Scenes with a tiny Qwen3-Omni: one engine for many sessions, and counts of what its model did."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest

from tests.engines.probe import Answer, Probe
from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.engine_api import Listen
from vivavoce.engines.qwen_omni.engine import QwenOmni
from vivavoce.protocol.objects import (
    PCM,
    InputAudioPart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
)

OPTIONS = {"device": "cpu", "threads": 1, "temperature": 0, "greedy_speech": True, "hurry": False}
SECOND = 24_000 * 2
"""Bytes of PCM."""
INSTRUCTIONS = "Be kind."


def pcm(start_seconds: float, end_seconds: float) -> bytes:
    """Recorded speech at 24,000 Hz: every second sample thrice. What is said matters, not how it sounds."""
    samples = (tiny.speech(start_seconds, end_seconds) * 32_767).astype("<i2")
    return np.repeat(samples[::2], 3).tobytes()


def spoken(item_id: str, audio: bytes) -> Message:
    return Message(id=item_id, role="user", content=(InputAudioPart(audio=audio),))


def typed(item_id: str, text: str) -> Message:
    return Message(id=item_id, role="user", content=(InputTextPart(text),))


def said(item_id: str, text: str) -> Message:
    return Message(id=item_id, role="assistant", content=(OutputAudioPart(text),))


class Counts:
    """What the model did: frames of mels that were encoded, positions that the thinker and the talker read."""

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.thought: list[int] = []
        self.talked: list[int] = []

    def clear(self) -> None:
        for counts in (self.encoded, self.thought, self.talked):
            counts.clear()


class Scene:
    """One session with an engine that counts."""

    def __init__(self, engine: QwenOmni, counts: Counts) -> None:
        self.engine = engine
        self.counts = counts
        self.probe = Probe(engine)

    async def ask(self, *items: Item, **fields: Any) -> Answer:
        return await self.probe.ask(*items, **fields)

    def listen(self, item_id: str, audio: bytes, *, final: bool = False) -> None:
        for start in range(0, len(audio), 4_800):
            self.probe.session.submit(Listen(item_id, audio[start : start + 4_800], PCM))
        if final:
            self.probe.session.submit(Listen(item_id, b"", PCM, final=True))

    async def heard(self) -> None:
        """Everything that was submitted was taken, and what could be done of it was done."""
        idle = asyncio.Event()
        loop = asyncio.get_running_loop()

        def steps() -> Iterator[float]:
            while len(self.engine._thread._jobs) > 0:
                yield 1_000.0
            loop.call_soon_threadsafe(idle.set)

        self.engine._thread.run(steps(), print)
        await asyncio.wait_for(idle.wait(), 20)


@contextmanager
def counted(engine: QwenOmni) -> Iterator[Counts]:
    counts, parts = Counts(), engine._family._parts
    hooks = [
        parts.audio_tower.register_forward_pre_hook(lambda _, args: counts.encoded.append(args[0].shape[1])),
        parts.thinker.register_forward_pre_hook(_reads(counts.thought), with_kwargs=True),
        parts.talker.model.register_forward_pre_hook(_reads(counts.talked), with_kwargs=True),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for one, made in ((parts.think_one, counts.thought), (parts.talk_one, counts.talked)):
            patch.setattr(one, "step", lambda *given, made=made, step=one.step: (made.append(1), step(*given))[1])
        yield counts
    for hook in hooks:
        hook.remove()


def _reads(counts: list[int]) -> Any:
    return lambda _, args, kwargs: counts.append(kwargs["inputs_embeds"].shape[1])


class Stage:
    """The engine that the scenes share, on one loop: loading it takes longer than a scene."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._engine = QwenOmni({**OPTIONS, "model": str(tiny.folder())})
        self._runner.run(self._engine.start())

    def play(self, act: Callable[[Scene], Awaitable[None]]) -> None:
        """A session of its own for each scene."""

        async def run() -> None:
            with counted(self._engine) as counts:
                scene = Scene(self._engine, counts)
                await act(scene)
                scene.probe.session.close()

        self._runner.run(run())

    def close(self) -> None:
        self._runner.run(self._engine.close())
        self._runner.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


async def alone(scene: Scene, *items: Item, **fields: Any) -> Answer:
    """What a session that knows nothing answers."""
    probe = Probe(scene.engine)
    with closing(probe.session):
        return await probe.ask(*items, **fields)
