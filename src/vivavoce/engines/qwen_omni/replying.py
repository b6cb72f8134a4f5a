"""One response, from its request to its last event: steps for the inference thread.

request ─▶ Memory.read ─▶ Conversation ─▶ Answer.step ─┬─ token ─▶ Words ─▶ OutputText | OutputTranscript, marks
                                                      │        └▶ CallText ─▶ FunctionCall…
                                                      └─ pcm ─▶ OutputAudio
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ
from vivavoce.engine_api import (
    Generate,
    GenerationDone,
    OutputAudio,
    OutputText,
    OutputTranscript,
)
from vivavoce.engines.qwen_omni.family import Conversation, Family, Manner, Step
from vivavoce.engines.qwen_omni.inference_thread import Steps
from vivavoce.engines.qwen_omni.marks import GrowingMarks
from vivavoce.engines.qwen_omni.memory import Memory
from vivavoce.engines.qwen_omni.prompt import opening
from vivavoce.engines.qwen_omni.real_time import behind_real_time
from vivavoce.engines.qwen_omni.said import Said
from vivavoce.engines.qwen_omni.tool_calls import Call
from vivavoce.engines.qwen_omni.words import Words
from vivavoce.engines.streaming import GenerationEvent

HURRY_SECONDS: Final = 0.16
"""With less than two frames left to play, what waits for its chunk leaves now."""

Put = Callable[[GenerationEvent], None]


class Limits(Struct, frozen=True, kw_only=True):
    """What the operator allows, and prefers."""

    voice: str = ""
    """Where the client names none that the model knows."""
    temperature: float | None = None
    """Where the client names none."""
    greedy_speech: bool = False
    hurry: bool = True
    """Frames may leave before their chunk is full, where the listener would run dry."""
    max_text_tokens: int = 2_048
    max_seconds: float = 300.0


def reply(family: Family, memory: Memory, limits: Limits, request: Generate, put: Put) -> Steps:
    """Answer. `put` is called with each event, the last of them `GenerationDone`. Raises `EngineError`."""
    conversation = yield from memory.read(request)
    telling = Telling(family, request)
    answer: str | None = None
    try:
        yield from _answer(family, conversation, limits, request, telling, put)
        answer = telling.said.text
    except Exception:
        memory.discard(conversation)
        raise
    finally:
        if telling.words_said:
            memory.sayings.remember(telling.said)
        memory.expect(request, answer)
        memory.done(conversation)


def _answer(
    family: Family, conversation: Conversation, limits: Limits, request: Generate, telling: Telling, put: Put
) -> Steps:
    """The steps of the answer itself."""
    answer = conversation.answer(_manner(family, limits, request))
    listener = Listener()
    try:
        while True:
            step = answer.step(hurry=limits.hurry and listener.runs_dry)
            if step.pcm:
                listener.hear(len(step.pcm) // PCM_SAMPLE_BYTES)
            for event in telling.events(step):
                put(event)
            if step.done or telling.is_over:
                break
            yield listener.lead_seconds
        for event in telling.end(step):
            put(event)
    finally:
        answer.close()


def _manner(family: Family, limits: Limits, request: Generate) -> Manner:
    """How to answer. A call that the client asked for is not spoken."""
    spoken = "audio" in request.modalities and bool(family.voices) and not opening(request)
    wanted = [request.voice.lower(), limits.voice.lower(), *family.voices]
    return Manner(
        voice=next(voice for voice in wanted if voice in family.voices) if spoken else None,
        temperature=limits.temperature if request.temperature is None else request.temperature,
        greedy_speech=limits.greedy_speech,
        max_text_tokens=limits.max_text_tokens,
        max_frames=max(1, round(limits.max_seconds * SAMPLE_HZ / family.frame_samples)) if spoken else 1,
    )


class Listener:
    """Who hears the answer as it comes: how far ahead of their ear it is."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began_at: float | None = None
        self._seconds = 0.0
        self._waited = False

    @property
    def lead_seconds(self) -> float:
        """How long they can still hear what is made. 0 before the first sound: they wait."""
        if self._began_at is None:
            return 0.0
        return max(0.0, self._seconds - (self._now() - self._began_at))

    @property
    def runs_dry(self) -> bool:
        """They began to listen, and have next to nothing left."""
        return self._began_at is not None and self.lead_seconds < HURRY_SECONDS

    def hear(self, samples: int) -> None:
        """More sound leaves. Counts an answer whose listener had to wait for it, once."""
        now = self._now()
        if self._began_at is None:
            self._began_at = now
        elif now - self._began_at > self._seconds:
            self._began_at = now - self._seconds  # they waited: what comes now begins to sound now
            if not self._waited:
                self._waited = True
                behind_real_time.inc()
        self._seconds += samples / SAMPLE_HZ


class Telling:
    """Steps → events."""

    def __init__(self, family: Family, request: Generate) -> None:
        self._family = family
        self._id = request.response_id
        self._spoken = "audio" in request.modalities
        self._one_call = not request.parallel_tool_calls
        self._words = Words(family.decode)
        self._marks = GrowingMarks()
        self._samples = 0
        self._call: Call | None = None
        if begun := opening(request):
            self._call = Call(self._id, family.decode, begun.partition("\n")[2])
        self.is_over = False
        """One call was wanted, and it is whole."""
        self.words_said = False

    @property
    def said(self) -> Said:
        """The words of the answer, without its calls."""
        return self._words.said()

    def events(self, step: Step) -> Iterator[GenerationEvent]:
        """What a step brought."""
        if step.pcm:
            self._samples += len(step.pcm) // PCM_SAMPLE_BYTES
            yield OutputAudio(self._id, step.pcm)
        if step.token is None:
            text = ""
        elif step.token == self._family.tool_call_token:
            yield from self._begin_call()
            text = ""
        elif self._call is not None:
            yield from self._call.push(step.token)
            self.is_over = self._one_call and self._call.done
            text = ""
        else:
            text = self._words.push(step.token)
        yield from self._say(text, sounded=bool(step.pcm))

    def end(self, step: Step) -> Iterator[GenerationEvent]:
        """The answer is whole."""
        if self._call is not None:
            yield from self._call.finish()
        if self._spoken and self.words_said and (marks := self._marks.end(self._samples)):
            yield OutputTranscript(self._id, "", marks)
        yield GenerationDone(self._id, "max_output_tokens" if step.done and step.reason != "completed" else "completed")

    def _say(self, text: str, *, sounded: bool) -> Iterator[GenerationEvent]:
        self.words_said = self.words_said or bool(text)
        if not self._spoken:
            if text:
                yield OutputText(self._id, text)
            return
        if text:
            self._marks.add(text)
        marks = self._marks.heard(self._samples) if text or sounded else ()
        if text or marks:
            yield OutputTranscript(self._id, text, marks)

    def _begin_call(self) -> Iterator[GenerationEvent]:
        if self._call is not None:
            yield from self._call.finish()
        self._call = Call(self._id, self._family.decode)
