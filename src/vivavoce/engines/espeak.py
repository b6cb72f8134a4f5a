"""The voice that needs no download: espeak-ng, in this process.

It sounds like what it is, a formant synthesizer of 1995, and it is fast: the first samples leave a millisecond after the
text came, and a second of speech takes two or three milliseconds of one core. espeak-ng is under the GNU GPL: see
`espeak_library`. Install it with `pip install 'vivavoce[offline]'`.

    utterance ─ speakable ─ pieces ─▶ ┊ EspeakThread ┊ espeak ─ 22,050 → 24,000 Hz ─▶ ┊ event loop ┊ Speech, Speech, …

An utterance is spoken a piece (a clause or two) at a time, and every piece queues again. So sessions take turns, a long
utterance delays another's first sound by one piece at most, and one that nobody wants any more is not synthesized further.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ, Resampler
from vivavoce.engine_api import Mark
from vivavoce.engines.espeak_library import EspeakLibrary, EspeakThread, Prosody, Word
from vivavoce.engines.espeak_voices import (
    DEFAULT_VOICE,
    ESPEAK_NAME,
    LAUGH,
    VOICES,
    is_english,
    language_of,
    laughing,
    own_prosody,
    prosody_of,
)
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.engines.speakable import Words, speakable
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import read_options

_PIECE_CHARACTERS: Final = 24
"""A piece ends at the first end of a clause after so many characters: 4 to 10 ms of work."""
_LONGEST_PIECE_CHARACTERS: Final = 240
"""Text without punctuation is cut at a space here."""
_CHUNK_SAMPLES: Final = SAMPLE_HZ // 5
"""The first chunk leaves as soon as it is there, later ones in this size: fewer events, none of them late."""
_SENTENCE_PAUSE_SECONDS: Final = 0.2
_CLAUSE_PAUSE_SECONDS: Final = 0.12
"""After an utterance, at speed 1, by how its text ends. espeak's own pauses (0.3 s, 0.15 s) stay inside of it."""


class Options(Struct, frozen=True):
    """What the operator can choose: `[engines.cascade.espeak]`."""

    language: str = "en-us"
    """Any of espeak's: `en-gb-x-rp`, `de`, `pt-br`. The API's voices speak it."""
    voice: str = DEFAULT_VOICE
    """The voice for names that are neither the API's nor espeak's."""


class Espeak:
    """Text to speech by espeak-ng.

    A voice is one of the API's names or one of espeak's own (`fr`, `de+f2`); an unknown name gets the default voice. Text in
    another script than the language's (Cyrillic, Han, …) is read in the most spoken language of that script.
    """

    voices: tuple[str, ...] = tuple(VOICES)

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is loaded yet."""
        self._options = read_options(options or {}, Options, "cascade.espeak")
        self._thread: EspeakThread | None = None

    async def start(self) -> None:
        """Load the library and warm it up. Raises `EngineError`; `SettingsError` where espeak-ng lacks language or voice."""
        self._thread = await asyncio.to_thread(EspeakThread.acquire)
        ready: Future[None] = Future()
        self._thread.submit(lambda library: _settle(ready, lambda: self._warm_up(library)), urgent=True)
        try:
            await asyncio.wrap_future(ready)
        except SettingsError:
            await self.close()
            raise

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        """Speak. Marks stand at the ends of words; the last is at the end of text and audio, after the closing pause.

        An empty text is fine where the tone laughs. Closing the iterator stops the synthesis within 60 ms of audio, 0.2 ms
        of work. Raises `EngineError`.
        """
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[Speech | BaseException | None] = asyncio.Queue()

        def deliver(result: Speech | BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens any more
                loop.call_soon_threadsafe(inbox.put_nowait, result)

        line = _Line(utterance, self._choose, deliver)
        try:
            while not line.over:
                if self._thread is None:
                    raise EngineError("engine_unavailable", "espeak-ng is not started")
                self._thread.submit(line.speak_piece, urgent=line.is_fresh)
                while (result := await inbox.get()) is not None:
                    if isinstance(result, BaseException):
                        raise result
                    yield result
        finally:
            line.stopped = True

    async def close(self) -> None:
        """Free the library, unless another `Espeak` of this process still uses it."""
        thread, self._thread = self._thread, None
        if thread:
            await asyncio.to_thread(thread.release)

    def _warm_up(self, library: EspeakLibrary) -> None:
        """Read the files that the first utterance would wait for. Raise `SettingsError` for an option that names nothing."""
        language, voice = self._options.language, self._options.voice
        if not _has(library, language):
            raise SettingsError(f"engines.cascade.espeak.language: espeak-ng has no {language!r}. Try 'en-us' or 'de'.")
        if voice.lower() not in VOICES and not _has(library, voice):
            raise SettingsError(f"engines.cascade.espeak.voice: no voice {voice!r}. There are: {', '.join(VOICES)}.")
        library.select_voice("a-name-that-makes-espeak-list-its-voices")
        line = _Line(Utterance(text="Ready.", voice=voice), self._choose, lambda _: None)
        line.speak_piece(library)

    def _choose(self, library: EspeakLibrary, utterance: Utterance) -> tuple[Prosody, str]:
        """The voice for an utterance, and the language that it speaks."""
        for name in (utterance.voice, self._options.voice):
            voice = VOICES.get(name.lower())
            if voice:
                language = language_of(utterance.text, self._options.language)
                return prosody_of(voice, language, utterance.speed, utterance.tone), language
            if _has(library, name):
                return own_prosody(name, utterance.speed, utterance.tone), name
        raise EngineError("voice_not_found", f"espeak-ng has no voice {self._options.voice!r}")


def _has(library: EspeakLibrary, name: str) -> bool:
    return bool(ESPEAK_NAME.fullmatch(name)) and library.select_voice(name)


def _settle(future: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
        future.set_result(None)
    except BaseException as error:
        future.set_exception(error)


class _Piece(Struct, frozen=True):
    """What espeak gets at once."""

    text: str
    start: int
    """Where it begins in the text to read."""
    end_pause: bool
    """More follows after a comma or a full stop."""


class _Line:
    """One utterance on its way. Made on the event loop, then worked on in espeak's thread, a piece for each call."""

    def __init__(
        self,
        utterance: Utterance,
        choose: Callable[[EspeakLibrary, Utterance], tuple[Prosody, str]],
        deliver: Callable[[Speech | BaseException | None], None],
    ) -> None:
        self.stopped = False
        """Set from outside: nobody wants the rest."""
        self.over = False
        self.is_fresh = True
        """Nothing has been heard of it yet."""
        self._utterance = utterance
        self._choose = choose
        self._deliver = deliver
        self._words = Words(utterance.text)
        self._word = 0
        """The word being spoken; those before it have a mark."""
        self._samples_in = 0
        self._samples_out = 0
        self._chunk: list[NDArray[np.int16]] = []
        self._marks: list[Mark] = []
        self._pieces: list[_Piece] | None = None

    def speak_piece(self, library: EspeakLibrary) -> None:
        """Speak the next piece, deliver its audio, then `None`; or what went wrong. Runs in espeak's thread."""
        try:
            if self._pieces is None:
                self._begin(library)
            elif not self.stopped:
                self._speak(library, self._pieces.pop(0))
            if not self._pieces and not self.stopped:
                self._end()
            self.over = not self._pieces or self.stopped
        except BaseException as error:
            self.over = True
            self._deliver(error)
        else:
            self._deliver(None)

    def _begin(self, library: EspeakLibrary) -> None:
        """Choose the voice, cut the text, laugh if asked to, and speak the first piece."""
        self._prosody, language = self._choose(library, self._utterance)
        self._reading = speakable(self._utterance.text, english=is_english(language))
        self._resampler = Resampler(library.sample_rate_hz, SAMPLE_HZ)
        self._ratio = SAMPLE_HZ / library.sample_rate_hz
        self._pieces = [] if self._reading.is_silent() else list(_pieces(self._reading.text))
        if self._utterance.tone.laugh and not self.stopped:
            prosody = laughing(self._prosody)
            library.synthesize(LAUGH, prosody, lambda pcm, words: self._hear(pcm, []), end_pause=bool(self._pieces))
        elif self._pieces and not self.stopped:
            self._speak(library, self._pieces.pop(0))

    def _speak(self, library: EspeakLibrary, piece: _Piece) -> None:
        start_samples = self._samples_in

        def on_audio(pcm: NDArray[np.int16], words: list[Word]) -> bool:
            marks = [
                mark for word in words for mark in self._mark(piece.start + word.character, start_samples + word.samples)
            ]
            return self._hear(pcm, marks)

        library.synthesize(piece.text, self._prosody, on_audio, end_pause=piece.end_pause)

    def _mark(self, character: int, samples_in: int) -> list[Mark]:
        """A word begins: the ones before it are spoken. espeak also reports parts of words, and some words twice."""
        origins = self._reading.origins
        word = self._words.at(origins[max(0, min(character, len(origins) - 1))])
        if word <= self._word:
            return []
        self._word = word
        return [Mark(self._words.end(word - 1), round(samples_in * self._ratio))]

    def _hear(self, pcm: NDArray[np.int16], marks: list[Mark]) -> bool:
        """Audio came: let it go as soon as a chunk is full, the first at once. True to stop."""
        self._samples_in += len(pcm)
        self._marks.extend(marks)
        self._chunk.append(self._resampler.feed(pcm))
        if self.is_fresh or sum(map(len, self._chunk)) >= _CHUNK_SAMPLES:
            self._let_go()
        return self.stopped

    def _let_go(self) -> None:
        pcm = np.concatenate(self._chunk) if self._chunk else np.zeros(0, np.int16)
        if len(pcm) or self._marks:
            self._samples_out += len(pcm)
            self.is_fresh = False
            self._deliver(Speech(pcm.tobytes(), tuple(self._marks)))
        self._chunk, self._marks = [], []

    def _end(self) -> None:
        """The rest of the audio, the closing pause, the last marks."""
        text, tone = self._utterance.text, self._utterance.tone
        self._chunk.append(self._resampler.flush())
        spoken = self._samples_out + sum(map(len, self._chunk))
        pause = 0.0 if self._reading.is_silent() else _pause_seconds(text) / (self._utterance.speed * tone.pace)
        self._chunk.append(np.zeros(round(pause * SAMPLE_HZ), np.int16))
        if len(self._words) and pause:
            self._marks.append(Mark(self._words.end(len(self._words) - 1), spoken))
        self._marks.append(Mark(len(text), spoken + len(self._chunk[-1])))
        self._let_go()


_CLAUSE_END: Final = re.compile(r"[.!?;:,…][\"')\]”’]*\s+|[。！？，、；：]")
_ABBREVIATION: Final = re.compile(r"\b[^\W\d_]{1,4}\.\s+$")


def _pieces(text: str) -> Iterator[_Piece]:
    """Cut a text at ends of clauses, where espeak pauses and begins a new melody anyway: the sound stays the same."""
    start = 0
    while start < len(text):
        last = start + _LONGEST_PIECE_CHARACTERS
        ends = (match.end() for match in _CLAUSE_END.finditer(text, start + _PIECE_CHARACTERS, last))
        end = next((end for end in ends if not _ABBREVIATION.search(text, start, end)), None)
        if len(text) - start <= _PIECE_CHARACTERS or (end is None and len(text) <= last):
            end = len(text)
        cut = end if end is not None else (text.rfind(" ", start, last) + 1 or last)
        yield _Piece(text[start:cut], start, end_pause=end is not None and cut < len(text))
        start = cut


def _pause_seconds(text: str) -> float:
    """How long to rest after a text, at speed 1. Nothing where it breaks off in the middle of a clause."""
    end = text.rstrip().rstrip("\"'”’)]*_`")[-1:]
    if end and end in ".!?…。！？":
        return _SENTENCE_PAUSE_SECONDS
    return _CLAUSE_PAUSE_SECONDS if end and end in ",;:—–，、；：" else 0.0
