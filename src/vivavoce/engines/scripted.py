"""The engine that says what a script says: for tests, for docs, for the CI of people who write clients.

The same script and the same requests give the same events. Time is the event loop's, so a loop with a clock of its own plays
a long script at once. Option: `script`, the path of a YAML file, or the script itself as a table.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, bytes_to_samples, ms_to_samples
from vivavoce.engine_api import (
    Capabilities,
    Emit,
    EngineSession,
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
    Transcribe,
)
from vivavoce.engines import sine_voice
from vivavoce.engines.history import newest, said_by_assistant, words_of
from vivavoce.engines.script import DEMO, Heard, Script, Step, Turn, read_script, read_wav
from vivavoce.engines.sine_voice import Word
from vivavoce.engines.streaming import GenerationEvent, StreamingSession, Words
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import PCM, AudioFormat, FunctionCallOutput, InputAudioPart, Item, Message
from vivavoce.registry import read_options

CHUNK_BYTES: Final = ms_to_samples(100) * PCM_SAMPLE_BYTES
"""A WAV file leaves in chunks of this size."""
ARGUMENTS_CHARACTERS: Final = 12
"""A call's arguments leave in pieces of this size."""


class ScriptedOptions(Struct, frozen=True):
    """The operator's options."""

    script: str | dict[str, Any] = msgspec.field(default_factory=lambda: DEMO)


class Scripted:
    """The engine."""

    capabilities = Capabilities(speaks=True, transcribes=True, voices=sine_voice.VOICES)

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        source = read_options(options or {}, ScriptedOptions, "scripted").script
        self._folder = Path(source).parent if isinstance(source, str) else Path()
        self._script = read_script(source)
        self._recordings: dict[str, bytes] = {}

    async def start(self) -> None:
        """Read the WAV files that the script names."""
        for name in self._script.audio_files():
            self._recordings[name] = await asyncio.to_thread(read_wav, self._folder / name)

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session: the script begins at its first turn."""
        play = _Play(self._script, self._recordings)
        return StreamingSession(emit, play.generate, play.transcribe)

    async def close(self) -> None:
        """Forget the recordings."""
        self._recordings.clear()


class _Play:
    """The script in one session, and how far it has got."""

    def __init__(self, script: Script, recordings: Mapping[str, bytes]) -> None:
        self._script = script
        self._recordings = recordings
        self._next_turn = 0
        self._heard: dict[str, Heard] = {}
        """What was heard in each item, in the order in which they were first mentioned."""

    async def generate(self, request: Generate) -> AsyncIterator[GenerationEvent]:
        """Play one turn."""
        item = newest([self._with_words(item) for item in request.items])
        said = words_of(item) if item else ""
        turn = self._choose(said, is_output=isinstance(item, FunctionCallOutput))
        performance = _Performance(request, said, self._recordings)
        for step in turn.do:
            async for event in performance.play(step):
                yield event

    async def transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        """Hear what the script says, word by word."""
        heard = self._hear(request.item_id, request.audio, request.format)
        await asyncio.sleep(heard.after_ms / 1000)
        if heard.fail:
            raise EngineError(heard.fail, heard.message)
        for word in sine_voice.say(heard.text):
            yield word.text

    def _choose(self, said: str, *, is_output: bool) -> Turn:
        """The first turn that is for these words, else the next of those that are for any."""
        if turn := self._script.matching(said, is_output=is_output):
            return turn
        plain = self._script.plain()
        if not plain:
            raise EngineError("script_has_no_turn", f"The script has no turn for {said!r}.")
        self._next_turn += 1
        return plain[(self._next_turn - 1) % len(plain)]

    def _with_words(self, item: Item) -> Item:
        """A message of the user whose audio nobody has written down gets the script's words."""
        if not isinstance(item, Message) or item.role != "user":
            return item
        item_id = "" if item.id is UNSET else item.id
        parts = []
        for part in item.content:
            if isinstance(part, InputAudioPart) and part.transcript is None and part.audio is not UNSET:
                heard = self._hear(item_id, part.audio, PCM if part.format is UNSET else part.format)
                part = msgspec.structs.replace(part, transcript="" if heard.fail else heard.text)
            parts.append(part)
        return msgspec.structs.replace(item, content=tuple(parts))

    def _hear(self, item_id: str, audio: bytes, format: AudioFormat) -> Heard:
        """The same for the same item, however often it is asked for."""
        if item_id not in self._heard:
            scripted = self._script.transcripts
            seconds = bytes_to_samples(len(audio), format.type) / SAMPLE_HZ
            untold = Heard(text=f"({seconds:.1f} seconds of audio)")
            self._heard[item_id] = scripted[len(self._heard) % len(scripted)] if scripted else untold
        return self._heard[item_id]


class _Performance:
    """One turn being played."""

    def __init__(self, request: Generate, said: str, recordings: Mapping[str, bytes]) -> None:
        self._request = request
        self._said = said
        self._recordings = recordings
        self._characters = 0
        self._samples = 0
        self._calls = 0

    async def play(self, step: Step) -> AsyncIterator[GenerationEvent]:
        """Play one step."""
        await asyncio.sleep(step.after_ms / 1000)
        text = step.say.replace("{said}", self._said).replace("{so_far}", said_by_assistant(self._request.items))
        spoken = "audio" in self._request.modalities
        async for event in self._speak(step, text) if spoken else self._write(text):
            yield event
        if step.call:
            for event in self._call(step):
                yield event
        if step.fail:
            raise EngineError(step.fail, step.message)
        if step.stop:
            yield GenerationDone(self._request.response_id, step.stop)
        if step.hang:
            await asyncio.get_running_loop().create_future()

    async def _write(self, text: str) -> AsyncIterator[GenerationEvent]:
        for word in sine_voice.say(text):
            yield OutputText(self._request.response_id, word.text)

    async def _speak(self, step: Step, text: str) -> AsyncIterator[GenerationEvent]:
        """Words, each with its sound and then its mark. In a recording nobody knows where they are: they come before it."""
        loop = asyncio.get_running_loop()
        response_id = self._request.response_id
        sound: Iterable[Word] = sine_voice.say(text, self._request.voice, self._request.speed)
        mark = None
        if step.audio:
            yield OutputTranscript(response_id, text)
            self._characters += len(text)
            sound = _chunks(self._recordings[step.audio])
        begins_at: float | None = None
        first_sample = self._samples
        for word in sound:
            yield OutputTranscript(response_id, word.text)
            if begins_at is None:
                await asyncio.sleep(step.first_audio_ms / 1000)
                begins_at = loop.time()
            yield OutputAudio(response_id, word.pcm)
            self._samples += len(word.pcm) // PCM_SAMPLE_BYTES
            if word.characters:
                mark = Mark(self._characters + word.characters, self._samples)
                yield OutputTranscript(response_id, "", (mark,))
            self._characters += len(word.text)
            if step.pace:
                due = begins_at + (self._samples - first_sample) / SAMPLE_HZ / step.pace
                await asyncio.sleep(due - loop.time())
        end = Mark(self._characters, self._samples)
        if self._characters and end != mark:
            yield OutputTranscript(response_id, "", (end,))

    def _call(self, step: Step) -> Iterator[GenerationEvent]:
        """A call; what is said after it is a new item."""
        self._calls += 1
        self._characters = self._samples = 0
        call_id = f"call_{self._request.response_id}_{self._calls}"
        yield FunctionCallStarted(self._request.response_id, call_id, step.call)
        text = step.arguments if isinstance(step.arguments, str) else json.dumps(step.arguments, ensure_ascii=False)
        for start in range(0, len(text), ARGUMENTS_CHARACTERS):
            yield FunctionCallArguments(self._request.response_id, call_id, text[start : start + ARGUMENTS_CHARACTERS])


def _chunks(recording: bytes) -> Iterator[Word]:
    """A recording in pieces, without words."""
    for start in range(0, len(recording), CHUNK_BYTES):
        yield Word("", 0, recording[start : start + CHUNK_BYTES])
