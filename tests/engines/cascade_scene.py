"""A cascade whose parts are fakes, and one session of it. Audio is text: a sample is a character."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from tests.engines.fakes import FakeChatModel, FakeSynthesizer, FakeTranscriber, speech
from tests.engines.probe import Answer, Probe, with_speech
from vivavoce.engine_api import (
    EngineEvent,
    Generate,
    GenerationDone,
    Listen,
    Transcribe,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.parts import ChatEvent
from vivavoce.protocol.objects import PCM, InputAudioPart, Item, Message


class Scene:
    """A cascade of fakes with one open session."""

    def __init__(self) -> None:
        self.transcriber = FakeTranscriber()
        self.chat_model = FakeChatModel()
        self.synthesizer = FakeSynthesizer()
        self.probe = Probe(Cascade.of(self.transcriber, self.chat_model, self.synthesizer))
        self.submit = self.probe.session.submit

    def replies(self, *events: ChatEvent | Exception) -> None:
        """From now on the chat model answers with these events."""

        async def reply(request: Generate) -> AsyncIterator[ChatEvent]:
            self.chat_model.requests.append(request)
            for event in events:
                await asyncio.sleep(0)
                if isinstance(event, Exception):
                    raise event
                yield event

        self.chat_model.reply = reply

    def listen(self, words: str, *, final: bool = False) -> None:
        self.submit(Listen("item_user", speech(words), PCM, final))

    def generate(self, response_id: str, words: str) -> None:
        self.submit(Generate(response_id=response_id, items=(user_audio(words),)))

    async def done(self, response_id: str) -> None:
        await self.probe.until(lambda event: event == GenerationDone(response_id))

    async def answer(self, *items: Item, **fields: Any) -> Answer:
        self.probe.events.clear()
        return await self.probe.answer(Generate(response_id="r", items=items, **fields))

    async def transcript(self, item_id: str = "item_user", words: str = "hello", **fields: Any) -> EngineEvent:
        self.submit(Transcribe(item_id=item_id, audio=speech(words), format=PCM, **fields))
        return await self.probe.until(lambda event: isinstance(event, TranscriptDone | TranscriptFailed))

    @property
    def recognised(self) -> list[str]:
        return list(self.transcriber.finished)

    def heard_by_the_model(self) -> list[str | None]:
        """The transcripts of the user's audio in the last request."""
        items = [item for item in self.chat_model.requests[-1].items if isinstance(item, Message)]
        return [part.transcript for item in items for part in item.content if isinstance(part, InputAudioPart)]


def play(scene: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """Run it with a session of its own."""

    async def run() -> None:
        await scene(Scene())

    asyncio.run(run())


def user_audio(words: str, item_id: str = "item_user") -> Message:
    """A user's message of audio that the fake transcriber hears as these words."""
    return with_speech(speech(words), item_id)
