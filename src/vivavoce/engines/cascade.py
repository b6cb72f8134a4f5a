"""A transcriber, a chat model and a synthesizer as one engine.

    Listen, Transcribe ─▶ Hearing ─┬─▶ TranscriptDelta, TranscriptDone
                                   └─▶ Generate ─▶ chat model ─▶ clauses ─▶ synthesizer ─▶ Output…

Each item of the user's speech is recognised once, whoever mentions it first: the client reads the very words that the model
answers. An item that was never listened to (the client made it) is recognised from its bytes. A draft's item grows under its
id until the turn is over, by silence: it stays recognised.

What was not understood: a turn whose transcript is empty is not answered. The response ends without an output, and the chat
model is not asked, unless the response is `unprompted`. In later requests it is an empty transcript. A transcriber that
fails gives `TranscriptFailed`, and the `Generate` that answers this very item fails with the same code; later ones treat
the item as not understood, so that one bad turn does not end the conversation.

Options: `transcriber`, `chat_model` and `synthesizer` name the parts; a table with a part's name holds its own options.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET

from vivavoce.engine_api import (
    Capabilities,
    Emit,
    EngineCommand,
    EngineSession,
    Generate,
    Listen,
    StopListening,
    Transcribe,
    WordsHeard,
)
from vivavoce.engines import directions
from vivavoce.engines.hearing import Hearing
from vivavoce.engines.history import heard_nothing
from vivavoce.engines.parts import ChatModel, Hints, Synthesizer, Transcriber
from vivavoce.engines.speaking import speak, write
from vivavoce.engines.streaming import GenerationEvent, StreamingSession, Words, closing
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import PCM, AudioFormat, FunctionTool, InputAudioPart, Item, Message
from vivavoce.registry import CHAT_MODELS, SYNTHESIZERS, TRANSCRIBERS, find

PARTS: Final = {
    "transcriber": (TRANSCRIBERS, "pocketsphinx"),
    "chat_model": (CHAT_MODELS, "assistant"),
    "synthesizer": (SYNTHESIZERS, "espeak"),
}
"""Each part's option, where its names are, and the default."""
REMEMBERED_ITEMS: Final = 10_000
"""Transcripts kept for a session: as many as a conversation has items. Older ones are recognised anew."""
MOST_PHRASES: Final = 100


class Cascade:
    """The engine. Its parts may be anything that keeps the protocols of `parts.py`."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        transcriber, chat_model, synthesizer = _find_parts(options or {})
        self._set_parts(transcriber, chat_model, synthesizer)

    @classmethod
    def of(cls, transcriber: Transcriber, chat_model: ChatModel, synthesizer: Synthesizer) -> Cascade:
        """A cascade of parts that are at hand."""
        cascade = cls.__new__(cls)
        cascade._set_parts(transcriber, chat_model, synthesizer)
        return cascade

    def _set_parts(self, transcriber: Transcriber, chat_model: ChatModel, synthesizer: Synthesizer) -> None:
        self._transcriber = transcriber
        self._chat_model = chat_model
        self._synthesizer = synthesizer
        self.capabilities = self._capabilities()

    @property
    def synthesizer(self) -> Synthesizer:
        """Its voice, for speech outside of any conversation."""
        return self._synthesizer

    def _capabilities(self) -> Capabilities:
        return Capabilities(
            speaks=True,
            listens=True,
            transcribes=True,
            drafts=getattr(self._transcriber, "drafts", True),
            voices=tuple(self._synthesizer.voices),
            context_tokens=self._chat_model.context_tokens,
        )

    async def start(self) -> None:
        """Start the parts, all at once. If one fails, close the others and raise its error."""
        parts = (self._transcriber, self._chat_model, self._synthesizer)
        starts = [part.start() for part in parts]
        *outcomes, _ = await asyncio.gather(*starts, asyncio.to_thread(directions.patterns), return_exceptions=True)
        for part, outcome in zip(parts, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                await asyncio.gather(self.close(), return_exceptions=True)
                if isinstance(outcome, EngineError):
                    named = outcome.message.startswith(("The ", type(part).__name__))
                    line = outcome.message if named else f"{type(part).__name__}: {outcome.message}"
                    raise EngineError(outcome.code, line) from outcome
                raise outcome
        self.capabilities = self._capabilities()

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session."""
        return CascadeSession(emit, self._transcriber, self._chat_model, self._synthesizer)

    async def close(self) -> None:
        """Close the parts, all of them even if one fails."""
        parts = (self._transcriber, self._chat_model, self._synthesizer)
        outcomes = await asyncio.gather(*(part.close() for part in parts), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


class CascadeSession:
    """One conversation: what was heard in it, and the generations that run."""

    def __init__(self, emit: Emit, transcriber: Transcriber, chat_model: ChatModel, synthesizer: Synthesizer) -> None:
        self._transcriber = transcriber
        self._chat_model = chat_model
        self._synthesizer = synthesizer
        self._emit = emit
        self._streaming = StreamingSession(emit, self._generate, self._transcribe)
        self._hearings: dict[tuple[str, int], Hearing] = {}
        """By item and number of the audio part in it: nearly always 0."""
        self._hints = Hints()
        """As of the last `Transcribe` and `Generate`: `Listen` brings none."""

    def submit(self, command: EngineCommand) -> None:
        """Take a command."""
        match command:
            case Listen():
                self._listen(command)
            case StopListening(item_id):
                self._streaming.submit(command)
                self._forget(item_id)
            case _:
                self._streaming.submit(command)

    def close(self) -> None:
        """Stop everything."""
        self._streaming.close()
        for hearing in self._hearings.values():
            hearing.cancel()
        self._hearings.clear()

    # --- hearing ---

    def _listen(self, command: Listen) -> None:
        hearing = self._hearings.get((command.item_id, 0)) or self._begin((command.item_id, 0))
        if command.words and hearing.on_words is None:
            hearing.on_words = lambda words: self._emit(WordsHeard(command.item_id, words))
        hearing.feed(command.audio, command.format)
        if command.final:
            hearing.complete()

    def _heard(self, key: tuple[str, int], audio: bytes, format: AudioFormat) -> Hearing:
        """The one hearing of this audio, complete: begun, or fed the rest, where need be."""
        hearing = self._hearings.get(key)
        if hearing is not None and not hearing.is_of(audio):
            self._hearings.pop(key).cancel()
            hearing = None
        hearing = hearing or self._begin(key)
        hearing.complete(audio, format)
        return hearing

    def _begin(self, key: tuple[str, int]) -> Hearing:
        if len(self._hearings) >= REMEMBERED_ITEMS:
            self._hearings.pop(next(iter(self._hearings))).cancel()
        hearing = self._hearings[key] = Hearing(self._transcriber, self._hints)
        return hearing

    def _forget(self, item_id: str) -> None:
        for key in [key for key in self._hearings if key[0] == item_id]:
            self._hearings.pop(key).cancel()

    async def _transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        self._hints = msgspec.structs.replace(self._hints, language=request.language, prompt=request.prompt)
        hearing = self._heard((request.item_id, 0), request.audio, request.format)
        async with closing(hearing.told(request)) as words:
            async for more in words:
                yield more

    # --- answering ---

    async def _generate(self, request: Generate) -> AsyncIterator[GenerationEvent]:
        self._hints = msgspec.structs.replace(self._hints, phrases=tuple(phrases_of(request.tools, request.instructions)))
        request = msgspec.structs.replace(request, items=await self._with_transcripts(request.items))
        if heard_nothing(request.items) and not request.unprompted:
            return
        reply = self._chat_model.reply(request)
        spoken = "audio" in request.modalities
        async with closing(speak(reply, request, self._synthesizer) if spoken else write(reply, request)) as outputs:
            async for output in outputs:
                yield output

    async def _with_transcripts(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """The items, each audio part of the user's with its words. All that must be recognised runs at the same time."""
        users = [item for item in items if isinstance(item, Message) and item.role == "user"]
        for user in users:
            self._hearings_of(user)
        told = {id(user): await self._with_transcript(user, is_newest=user is users[-1]) for user in users}
        return tuple(told.get(id(item), item) for item in items)

    async def _with_transcript(self, message: Message, *, is_newest: bool) -> Message:
        """The message with its words. Raises `EngineError` if they cannot be had and it is the one to answer."""
        content = list(message.content)
        for index, hearing in self._hearings_of(message).items():
            try:
                words = (await hearing.transcript()).text
            except EngineError:
                if is_newest:
                    raise
                words = ""
            content[index] = msgspec.structs.replace(content[index], transcript=words)
        return msgspec.structs.replace(message, content=tuple(content))

    def _hearings_of(self, message: Message) -> dict[int, Hearing]:
        """By index in its content, what has to be heard because nobody has written it down."""
        hearings = {}
        spoken = [(index, part) for index, part in enumerate(message.content) if isinstance(part, InputAudioPart)]
        for number, (index, part) in enumerate(spoken):
            if part.audio is not UNSET and part.transcript is None:
                item_id = "" if message.id is UNSET else message.id
                hearings[index] = self._heard((item_id, number), part.audio, PCM if part.format is UNSET else part.format)
        return hearings


def phrases_of(tools: Iterable[FunctionTool], instructions: str) -> list[str]:
    """Words that are likely to be said: tools' names, what their parameters may be, what the instructions quote."""
    found = re.findall(r"[\"“]([^\"“”]{2,60})[\"”]", instructions)
    for tool in tools:
        found.append(re.sub(r"[_-]+", " ", tool.name))
        found += [] if tool.parameters is UNSET else _choices(tool.parameters)
    return list(dict.fromkeys(found))[:MOST_PHRASES]


def _choices(schema: Any) -> Iterator[str]:
    """Every text in an `enum` or `const` of a JSON schema."""
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield from (word for word in (*_listed(part.get("enum")), part.get("const")) if isinstance(word, str))
            left += part.values()
        else:
            left += _listed(part)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _find_parts(options: Mapping[str, Any]) -> tuple[Transcriber, ChatModel, Synthesizer]:
    """The parts that the options name, each made with its own options."""
    for name, value in options.items():
        if name in PARTS and not isinstance(value, str):
            raise SettingsError(f"engines.cascade.{name}: write a name or module:Class.")
        if name not in PARTS and not isinstance(value, Mapping):
            known = ", ".join(PARTS)
            raise SettingsError(f"engines.cascade: unknown option {name!r}. Known: {known}, and a table for each part.")
    parts = []
    for option, (group, default) in PARTS.items():
        name = options.get(option, default)
        parts.append(find(group, name)(options.get(name, {})))
    return cast(tuple[Transcriber, ChatModel, Synthesizer], tuple(parts))
