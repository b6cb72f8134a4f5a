"""espeak-ng as a shared library in this process: its C interface, and the one thread that may call it.

espeak-ng is licensed under the GNU GPL, version 3 or later. Vivavoce does not contain it: the extra `vivavoce[offline]`
installs `espeakng-loader`, which carries the library and its data, and this file loads that at run time. Whoever
distributes both together distributes under the GPL.

The library keeps its state in global variables: one voice, one text at a time, in the whole process. So there is one
`EspeakThread`, shared by everybody who speaks, and nothing else touches the library. ctypes lets go of the GIL while
espeak works (2 to 3 ms for a second of CPU-bound synthesis); our callback takes it for each 60 ms of audio.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vivavoce.protocol.errors import EngineError

# speak_lib.h
_SYNCHRONOUS: Final = 2
_DONT_EXIT: Final = 0x8000
_UTF8: Final = 1
_END_PAUSE: Final = 0x1000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_WORD_EVENT: Final = 1
_SLOWEST_WPM, _FASTEST_WPM = 80, 450
_BUFFER_MS: Final = 60
"""The library's own minimum."""
_STRETCH_SAMPLES: Final = 4_096


class Prosody(Struct, frozen=True, kw_only=True):
    """How a piece of text is to be spoken, in espeak's terms."""

    voice: str
    """espeak's name: a language and perhaps a variant, `en-us+f2`."""
    words_per_minute: float = 175.0
    """Any: below 80 and above 450, which espeak cannot do, the audio is stretched or squeezed."""
    pitch: float = 1.0
    """1 is the voice's own; 0.5 to 1.98."""
    pitch_range: float = 1.0
    """1 is the voice's own, 0 a monotone; at most 1.98."""
    volume: float = 1.0
    """1 is the voice's own; 0 to 2. Loud voices are compressed rather than clipped."""


class Word(Struct, frozen=True):
    """A word begins: at this character of the text, at this sample of its audio."""

    character: int
    samples: int


OnAudio = Callable[[NDArray[np.int16], list[Word]], bool]
"""Gets the next audio and the words that begin in it (or soon after). True stops the synthesis at once."""


class _Event(ctypes.Structure):
    """`espeak_EVENT`."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class EspeakLibrary:
    """The loaded library. All calls come from one thread."""

    def __init__(self) -> None:
        """Load it. Raises `EngineError` where it is not installed or has no data."""
        try:
            import espeakng_loader
        except ImportError as error:
            raise EngineError("engine_unavailable", "espeak-ng is missing: pip install 'vivavoce[offline]'") from error
        self._c: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._c.espeak_Synth.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        )
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate_hz: int = self._c.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, data, _DONT_EXIT)
        if self.sample_rate_hz <= 0:
            raise EngineError("engine_unavailable", "espeak-ng cannot read its data")
        self._callback = _Callback(self._on_buffer)  # kept: C holds no reference
        self._c.espeak_SetSynthCallback(self._callback)
        self._voice = ""
        self._on_audio: OnAudio = lambda pcm, words: True
        self._error: BaseException | None = None

    def select_voice(self, voice: str) -> bool:
        """Take a voice by espeak's name. False where there is none (an unknown variant counts as none given)."""
        if voice != self._voice:
            self._voice = voice if self._c.espeak_SetVoiceByName(voice.encode()) == 0 else ""
        return self._voice == voice

    def synthesize(self, text: str, prosody: Prosody, on_audio: OnAudio, *, end_pause: bool) -> None:
        """Speak; `on_audio` is called from inside until the text is over. First audio after half a millisecond.

        `end_pause` leaves the pause that belongs after the last clause. Raises `EngineError` for an unknown voice, and
        whatever `on_audio` raises.
        """
        if not self.select_voice(prosody.voice):
            raise EngineError("voice_not_found", f"espeak-ng has no voice {prosody.voice!r}")
        wpm = min(_FASTEST_WPM, max(_SLOWEST_WPM, round(prosody.words_per_minute)))
        self._set(_RATE, wpm)
        # `pitch_adjust_tab` in espeak's wavegen.c: 0 halves, 50 keeps, 99 almost doubles.
        self._set(_PITCH, max(0, min(99, round(50 + 49.5 * math.log2(max(0.1, prosody.pitch))))))
        # espeak's range is in Hz: it grows with the pitch, so that the melody keeps its intervals.
        self._set(_RANGE, max(0, min(99, round(50 * prosody.pitch_range * prosody.pitch))))
        self._set(_VOLUME, max(0, min(200, round(100 * prosody.volume))))
        factor = prosody.words_per_minute / wpm
        stretch = _Stretch(self._c, self.sample_rate_hz, factor, on_audio) if abs(factor - 1) > 0.01 else None
        self._on_audio = stretch.push if stretch else on_audio
        self._error = None
        encoded = text.replace("\0", " ").encode(errors="replace") + b"\0"
        flags = _UTF8 | (_END_PAUSE if end_pause else 0)
        self._c.espeak_Synth(encoded, len(encoded), 0, 1, 0, flags, None, None)
        if stretch:
            stretch.close()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Free everything."""
        self._c.espeak_Terminate()

    def _set(self, parameter: int, value: int) -> None:
        self._c.espeak_SetParameter(parameter, value, 0)

    def _on_buffer(self, samples: int | None, count: int, events: Any) -> int:
        """What C calls. An exception must not cross it: it is kept, and stops the synthesis."""
        try:
            words = []
            for event in events:
                if event.type == 0:
                    break
                if event.type == _WORD_EVENT:
                    words.append(Word(event.text_position - 1, event.sample))
            pcm = np.frombuffer(ctypes.string_at(samples, 2 * count), np.int16) if samples else np.zeros(0, np.int16)
            return int(self._on_audio(pcm, words)) if len(pcm) or words else 0
        except BaseException as error:
            self._error = error
            return 1


class _Stretch:
    """Slows audio down (or speeds it up) at the same pitch: Sonic, which espeak-ng is built with, fed as it comes."""

    def __init__(self, c: Any, hz: int, factor: float, on_audio: OnAudio) -> None:
        self._c = c
        self._factor = factor
        self._on_audio = on_audio
        self._out = np.zeros(_STRETCH_SAMPLES, np.int16)
        self._stopped = False
        c.sonicCreateStream.restype = ctypes.c_void_p
        self._stream = ctypes.c_void_p(c.sonicCreateStream(hz, 1))
        c.sonicSetSpeed(self._stream, ctypes.c_float(factor))

    def push(self, pcm: NDArray[np.int16], words: list[Word]) -> bool:
        self._c.sonicWriteShortToStream(self._stream, pcm.ctypes.data_as(ctypes.c_void_p), len(pcm))
        return self._pull([Word(word.character, round(word.samples / self._factor)) for word in words])

    def _pull(self, words: list[Word]) -> bool:
        data = self._out.ctypes.data_as(ctypes.c_void_p)
        while not self._stopped:
            count = self._c.sonicReadShortFromStream(self._stream, data, _STRETCH_SAMPLES)
            if not count and not words:
                break
            self._stopped = self._on_audio(self._out[:count].copy(), words)
            words = []
        return self._stopped

    def close(self) -> None:
        """The rest of the audio."""
        try:
            if not self._stopped:
                self._c.sonicFlushStream(self._stream)
                self._pull([])
        finally:
            self._c.sonicDestroyStream(self._stream)


class EspeakThread:
    """The one thread that calls espeak, and its queue. Shared: `acquire` it, `release` it.

    The queue is fair because jobs are small (a clause: 5 to 10 ms) and everybody queues for each: a long text takes its
    turns like the short ones. A job that somebody waits for in silence (`urgent`) goes before those that only continue.
    """

    _lock: Final = threading.Lock()
    _shared: EspeakThread | None = None

    def __init__(self) -> None:
        self._users = 0
        self._order = itertools.count()
        self._jobs: queue.PriorityQueue[tuple[int, int, Callable[[EspeakLibrary], None] | None]] = queue.PriorityQueue()
        self._ready: Future[EspeakLibrary] = Future()
        self._thread = threading.Thread(target=self._run, name="espeak-ng", daemon=True)

    @classmethod
    def acquire(cls) -> EspeakThread:
        """The process's thread; loads the library if nobody had. Blocks for some milliseconds. Raises `EngineError`."""
        with cls._lock:
            shared = cls._shared or EspeakThread()
            if cls._shared is None:
                shared._thread.start()
                shared._ready.result()
                cls._shared = shared
            shared._users += 1
            return shared

    def release(self) -> None:
        """Call once for each `acquire`. The last one ends the thread and frees the library. Blocks for a moment."""
        with EspeakThread._lock:
            self._users -= 1
            if self._users == 0:
                EspeakThread._shared = None
                self._jobs.put((2, 0, None))
                self._thread.join()

    def submit(self, job: Callable[[EspeakLibrary], None], *, urgent: bool) -> None:
        """Have a job done in the thread. Jobs must not raise."""
        self._jobs.put((0 if urgent else 1, next(self._order), job))

    def _run(self) -> None:
        try:
            library = EspeakLibrary()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(library)
        while (job := self._jobs.get()[2]) is not None:
            job(library)
        library.close()
