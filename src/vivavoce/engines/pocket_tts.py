"""Pocket TTS by Kyutai, 100 million parameters: a natural voice in this process that begins before it knows how it ends.

    utterance ─ speakable ─ pieces ─▶ ┊ StepThreads ┊ think ─ decode ─ stretch, 80 ms at a time ─▶ ┊ event loop ┊ Speech, …

The sound leaves frame by frame, while the rest is being made. Each frame queues again: sessions take turns, and an utterance
that nobody wants any more costs one frame. Install it with `pip install 'vivavoce[pocket-tts]'`; it runs on the
processor, in PyTorch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ
from vivavoce.engines.amounts import in_words
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.engines.pieces import Piece, pieces
from vivavoce.engines.pocket_tts_model import Generation, PocketModel
from vivavoce.engines.pocket_tts_voices import API_VOICES, DEFAULT_VOICE
from vivavoce.engines.speakable import speakable
from vivavoce.engines.spoken_marks import Anchor, SpokenMarks
from vivavoce.engines.step_threads import StepThreads
from vivavoce.engines.streaming import closing
from vivavoce.engines.stretch import Stretch
from vivavoce.engines.volume import to_pcm16
from vivavoce.engines.weights import Weights, find_weights
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import read_options

_ENOUGH_CHARACTERS: Final = 80
_LONGEST_CHARACTERS: Final = 160
"""The model was trained on single sentences: the package itself cuts after 50 tokens, about 160 characters of English."""
_NAME: Final = "pocket-tts-"


def _weights(language: str) -> Weights:
    """One language of the repository. It is pinned to the commit that the package's version 4.0 takes its voices from."""
    return Weights(
        repository="kyutai/pocket-tts-without-voice-cloning",
        files=(
            f"languages/{language}/model.safetensors",
            f"languages/{language}/tokenizer.json",
            f"languages/{language}/embeddings/*.safetensors",
        ),
        revision="a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
        size_bytes=385_000_000,
        licence="CC-BY-4.0",
    )


class Options(Struct, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.pocket_tts]`."""

    model: str = "pocket-tts-english"
    """A name of `PocketTTS.weights`, `owner/name` on the hub, or a folder."""
    language: str = ""
    """Which of the package's languages a folder or a repository holds. Empty: what the model's name says, else English."""
    voice: str = ""
    """The voice for names that nobody knows. Empty: `alba`, or else the first."""
    voices: dict[str, str] = msgspec.field(default_factory=dict)
    """More names, and changes: `{alloy = "vera"}`."""
    quantize: bool = False
    """8-bit weights in the transformer: less memory, and faster on most processors."""
    at_once: int = 2
    """Steps that are made at the same time, each on one core. A single voice keeps two of them busy."""


class PocketTTS:
    """A `Synthesizer`. Voices are those of the folder and the API's; an unknown name gets the default voice.

    The model has one pace: for another, its sound is stretched (`stretch`), and half to double is as far as it goes.
    """

    weights: ClassVar[Mapping[str, Weights]] = {
        _NAME + language: _weights(language)
        for language in ("english", "french", "german", "italian", "portuguese", "spanish", "dutch")
    }
    voices: tuple[str, ...] = tuple(API_VOICES)

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        self._options = read_options(options or {}, Options, "cascade.pocket_tts")
        if self._options.at_once < 1:
            raise SettingsError("engines.cascade.pocket_tts: at_once is 1 or more.")
        named = self._options.model.removeprefix(_NAME) if self._options.model in self.weights else "english"
        self._language = self._options.language or named
        self._model: PocketModel | None = None
        self._threads: StepThreads | None = None

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError`; `SettingsError` for a voice that the folder lacks."""
        options = self._options
        folder = await find_weights(options.model, self.weights, "The synthesizer 'pocket_tts'")
        model = await asyncio.to_thread(PocketModel, folder, self._language, quantize=options.quantize)
        self._default = options.voice or (DEFAULT_VOICE if DEFAULT_VOICE in model.voices else model.voices[0])
        self._check_voices(model)
        self._names = {**API_VOICES, **options.voices}
        mapped = tuple(name for name, voice in self._names.items() if voice in model.voices)
        self.voices = tuple(dict.fromkeys((*mapped, *model.voices)))
        self._model = model
        self._threads = StepThreads("pocket-tts", options.at_once)
        generation = await self._threads.do(partial(model.begin, "Ready.", self._default))
        latent = await self._threads.do(generation.think)
        await self._threads.do(partial(generation.decode, latent))

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        """Speak. The last mark is at the end of text and sound, those inside are estimates. Raises `EngineError`.

        Closing the iterator stops the synthesis within a frame.
        """
        threads, model = self._threads, self._model
        if threads is None or model is None:
            raise EngineError("engine_unavailable", "Pocket TTS is not started.")
        loop = asyncio.get_running_loop()
        voice = self._voice_for(utterance, model)
        english = self._language.startswith("english")
        reading = speakable(utterance.text, english=english)
        reading = in_words(reading) if english else reading
        marks = SpokenMarks(utterance.text, reading)
        samples, began_at = 0, 0.0
        for piece in [] if reading.is_silent() else _cut(reading.text):
            begin = partial(model.begin, piece.text, voice)
            async with closing(_frames(threads, begin, utterance, first=not samples)) as frames:
                async for pcm in frames:
                    began_at = began_at or loop.time()
                    samples += len(pcm) // PCM_SAMPLE_BYTES
                    # Nobody hears faster than time passes, nor more than there is.
                    heard = min(samples, round((loop.time() - began_at) * SAMPLE_HZ))
                    yield Speech(pcm, tuple(marks.guess(heard, piece.end)))
            yield Speech(b"", tuple(marks.until((Anchor(piece.last, samples), Anchor(piece.end, samples)))))
        yield Speech(b"", tuple(marks.end(samples)))

    async def close(self) -> None:
        """End the threads and let the model go."""
        threads, self._threads, self._model = self._threads, None, None
        if threads:
            await asyncio.to_thread(threads.close)

    def _voice_for(self, utterance: Utterance, model: PocketModel) -> str:
        """The model's voice for what a client asks for."""
        name = utterance.voice
        voice = self._names.get(name.lower(), name)
        return voice if voice in model.voices else self._default

    def _check_voices(self, model: PocketModel) -> None:
        """Raise `SettingsError` for an option that names no voice."""
        chosen = {"voice": self._default, **{f"voices.{name}": voice for name, voice in self._options.voices.items()}}
        for option, voice in chosen.items():
            if voice not in model.voices:
                there = ", ".join(model.voices)
                raise SettingsError(f"engines.cascade.pocket_tts.{option}: no voice {voice!r}. There are: {there}.")


async def _frames(
    threads: StepThreads, begin: Callable[[], Generation], utterance: Utterance, *, first: bool
) -> AsyncIterator[bytes]:
    """The PCM of a piece, some 80 ms at a time, none empty. While a frame is decoded, the next is thought of."""
    generation = await threads.do(begin, first=first)
    sound = _Sound(generation, utterance)
    latent = await threads.do(generation.think, first=first)
    while latent is not None:
        decoding = threads.begin(partial(sound.decode, latent), first=first)
        thinking = threads.begin(generation.think)
        try:
            if pcm := await decoding:
                yield pcm
            latent = await thinking
        finally:
            decoding.cancel()
            thinking.cancel()
        first = False
    if pcm := await threads.do(sound.rest):
        yield pcm


class _Sound:
    """Latents → PCM at the utterance's pace and volume. On worker threads, one call at a time."""

    def __init__(self, generation: Generation, utterance: Utterance) -> None:
        self._generation = generation
        self._stretch = Stretch(utterance.speed * utterance.tone.pace)
        self._gain = utterance.tone.volume

    def decode(self, latent: Any) -> bytes:
        """The next 80 ms, or what is certain of them."""
        return self._pcm(self._stretch.feed(self._generation.decode(latent)))

    def rest(self) -> bytes:
        """What was not certain."""
        return self._pcm(self._stretch.flush())

    def _pcm(self, samples: NDArray[np.float32]) -> bytes:
        return to_pcm16(samples, self._gain).astype("<i2").tobytes()


def _cut(text: str) -> list[Piece]:
    return list(pieces(text, enough=_ENOUGH_CHARACTERS, whole=_LONGEST_CHARACTERS, longest=_LONGEST_CHARACTERS))
