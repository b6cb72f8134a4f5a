"""Kokoro, 82 million parameters: a natural voice in this process, on a laptop's processor or a GPU.

    utterance ─ speakable ─ pieces ─▶ ┊ StepThreads ┊ phonemes ─ Kokoro ─ 24,000 Hz ─▶ ┊ event loop ┊ Speech, Speech, …

The model answers when a whole piece is ready, so a long clause is cut at its pauses and the first piece leaves early. Each
piece queues again: sessions take turns, and one that nobody wants any more is not synthesized further. Install it with
`pip install 'vivavoce[kokoro]'`; see `kokoro_model` for what that brings (GPL).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar, Final

import msgspec
import numpy as np
from msgspec import Struct

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engines.amounts import in_words
from vivavoce.engines.kokoro_model import FASTEST, SLOWEST, KokoroModel
from vivavoce.engines.kokoro_voices import API_VOICES, DEFAULT_VOICE, language_of
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.engines.pieces import Piece, pause_seconds, pieces
from vivavoce.engines.speakable import Speakable, speakable
from vivavoce.engines.spoken_marks import Anchor, SpokenMarks, word_ends
from vivavoce.engines.step_threads import StepThreads
from vivavoce.engines.volume import to_pcm16
from vivavoce.engines.weights import Weights, find_weights
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import read_options

_ENOUGH_CHARACTERS: Final = 40
_WHOLE_CHARACTERS: Final = 80
_LONGEST_CHARACTERS: Final = 160
"""How a clause is cut: see `pieces`. 80 characters are 5 s of speech. With each piece the melody begins anew."""
_CHUNK_SAMPLES: Final = SAMPLE_HZ // 5


class Options(Struct, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.kokoro]`."""

    model: str = "kokoro-82m"
    """A name of `Kokoro.weights`, `owner/name` on the hub, or a folder."""
    file: str = ""
    """Which ONNX file of a folder that holds several: `onnx/model_fp16.onnx`."""
    voice: str = DEFAULT_VOICE
    """The voice for names that nobody knows."""
    voices: dict[str, str] = msgspec.field(default_factory=dict)
    """More names, and changes: `{alloy = "bf_emma"}`."""
    language: str = ""
    """espeak-ng's name of what is spoken (`en-gb`, `pt-br`). Empty: what the voice was trained on."""
    whisper_voice: str = ""
    """The voice for whispered words. Empty: they are spoken in the session's voice."""
    at_once: int = 1
    """Pieces that are synthesized at the same time."""
    cores: int = 0
    """For each of them; 0 is all that there are."""


class Kokoro:
    """A `Synthesizer`. Voices are the model's (`af_heart`) and the API's; an unknown name gets the default voice."""

    weights: ClassVar[Mapping[str, Weights]] = {
        "kokoro-82m": Weights(
            repository="fastrtc/kokoro-onnx",
            files=("kokoro-v1.0.onnx", "voices-v1.0.bin"),
            size_bytes=325_532_387 + 28_214_398,
            licence="Apache-2.0",
        ),
        "kokoro-82m-fp16": Weights(
            repository="onnx-community/Kokoro-82M-v1.0-ONNX",
            files=("onnx/model_fp16.onnx", "voices/*.bin"),
            size_bytes=163_234_740 + 54 * 522_240,
            licence="Apache-2.0",
        ),
        "kokoro-82m-q8": Weights(
            repository="onnx-community/Kokoro-82M-v1.0-ONNX",
            files=("onnx/model_quantized.onnx", "voices/*.bin"),
            size_bytes=92_361_116 + 54 * 522_240,
            licence="Apache-2.0",
        ),
    }
    voices: tuple[str, ...] = tuple(API_VOICES)

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        self._options = read_options(options or {}, Options, "cascade.kokoro")
        if self._options.at_once < 1 or self._options.cores < 0:
            raise SettingsError("engines.cascade.kokoro: at_once is 1 or more, cores is 0 or more.")
        self._model: KokoroModel | None = None
        self._threads: StepThreads | None = None

    async def start(self) -> None:
        """Load and warm up. Raises `EngineError`; `SettingsError` for a voice that the model lacks."""
        options = self._options
        folder = await find_weights(options.model, self.weights, "The synthesizer 'kokoro'")
        known = self.weights.get(options.model)
        patterns = known.files if known else ()
        model = await asyncio.to_thread(KokoroModel, folder, patterns, options.file, options.cores)
        self._names = {**API_VOICES, **options.voices}
        self._model = model
        self._check_voices(model)
        await asyncio.to_thread(self._check_language, model)
        spoken = tuple(name for name in model.voices if self._language(name))
        mapped = tuple(name for name, voice in self._names.items() if voice in model.voices)
        self.voices = tuple(dict.fromkeys((*mapped, *spoken)))
        self._threads = StepThreads("kokoro", options.at_once)
        warm_up = self._line(model, Utterance(text="Ready."))
        await self._threads.do(warm_up.next)

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        """Speak. The last mark is at the end of text and sound. Closing the iterator stops before the next piece."""
        threads, model = self._threads, self._model
        if threads is None or model is None:
            raise EngineError("engine_unavailable", "Kokoro is not started.")
        line = self._line(model, utterance)
        first = True
        while not line.is_over:
            for speech in await threads.do(line.next, first=first):
                yield speech
            first = False
        yield line.end()

    async def close(self) -> None:
        """End the threads and let the model go."""
        threads, self._threads, self._model = self._threads, None, None
        if threads:
            await asyncio.to_thread(threads.close)

    def _line(self, model: KokoroModel, utterance: Utterance) -> _Line:
        """The utterance with the model's voice for it, and the language of that voice."""
        names = [utterance.voice, self._options.voice]
        if utterance.tone.whisper:
            names.insert(0, self._options.whisper_voice)
        for name in names:
            voice = self._names.get(name.lower(), name)
            language = self._language(voice)
            if voice in model.voices and language:
                return _Line(model, utterance, voice, language)
        raise EngineError("voice_not_found", f"Kokoro has no voice {self._options.voice!r}.")

    def _language(self, voice: str) -> str | None:
        return self._options.language or language_of(voice)

    def _check_voices(self, model: KokoroModel) -> None:
        """Raise `SettingsError` for an option that names no voice."""
        options = self._options
        chosen = {"voice": options.voice, **{f"voices.{name}": voice for name, voice in options.voices.items()}}
        if options.whisper_voice:
            chosen["whisper_voice"] = options.whisper_voice
        for option, voice in chosen.items():
            if voice not in model.voices or not self._language(voice):
                there = ", ".join(name for name in model.voices if self._language(name))
                raise SettingsError(f"engines.cascade.kokoro.{option}: no voice {voice!r}. There are: {there}.")

    def _check_language(self, model: KokoroModel) -> None:
        """Raise `SettingsError` for an option that names no language. Reads espeak-ng's files: some tens of milliseconds."""
        language = self._options.language
        try:
            model.phonemes("a", language or "en-us")
        except EngineError:
            line = f"engines.cascade.kokoro.language: espeak-ng has no {language!r}. Try 'en-gb' or 'fr-fr'."
            raise SettingsError(line) from None


class _Line:
    """One utterance on its way. `next` runs on a worker thread, one call at a time."""

    def __init__(self, model: KokoroModel, utterance: Utterance, voice: str, language: str) -> None:
        self.is_over = False
        self._model = model
        self._utterance = utterance
        self._voice = voice
        self._language = language
        self._speed = min(FASTEST, max(SLOWEST, utterance.speed * utterance.tone.pace))
        self._samples = 0
        self._pieces: list[Piece] | None = None
        self._marks: SpokenMarks

    def next(self) -> list[Speech]:
        """Speak the next piece."""
        if self._pieces is None:
            text = self._utterance.text
            english = self._language.startswith("en")
            reading = speakable(text, english=english)
            reading = in_words(reading) if english else reading
            self._marks = SpokenMarks(text, reading)
            self._pieces = [] if reading.is_silent() else _cut(reading)
        speeches = list(self._speak(self._pieces.pop(0))) if self._pieces else []
        self.is_over = not self._pieces
        return speeches

    def end(self) -> Speech:
        """The last marks."""
        return Speech(b"", tuple(self._marks.end(self._samples)))

    def _speak(self, piece: Piece) -> Iterator[Speech]:
        """A piece, the rest after it, and the marks of its words, in chunks: a client that interrupts gets no more of it."""
        phonemes = self._model.phonemes(piece.text, self._language)
        if not phonemes:
            return
        sound = self._model.say(phonemes, self._voice, self._speed)
        start, spoken = self._samples, self._samples + len(sound.samples)
        rest = np.zeros(round(pause_seconds(piece.text) / self._speed * SAMPLE_HZ), np.int16)
        pcm = np.concatenate((to_pcm16(sound.samples, self._utterance.tone.volume), rest))
        marks = self._marks.until(
            (*word_ends(piece, sound.words, start), Anchor(piece.last, spoken), Anchor(piece.end, start + len(pcm)))
        )
        for at in range(0, len(pcm), _CHUNK_SAMPLES):
            chunk = pcm[at : at + _CHUNK_SAMPLES]
            self._samples += len(chunk)
            due = [mark for mark in marks if mark.samples <= self._samples]
            marks = marks[len(due) :]
            yield Speech(chunk.astype("<i2").tobytes(), tuple(due))


def _cut(reading: Speakable) -> list[Piece]:
    text = reading.text
    return list(pieces(text, enough=_ENOUGH_CHARACTERS, whole=_WHOLE_CHARACTERS, longest=_LONGEST_CHARACTERS))
