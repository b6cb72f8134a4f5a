"""Kokoro through the package `kokoro-onnx`: loading, phonemes, inference. Everything here blocks; it runs on worker threads.

The package phonemizes with espeak-ng through `phonemizer`, both under the GNU GPL, version 3 or later. Vivavoce contains
neither: the extra `vivavoce[kokoro]` installs them. `phonemizer` loads a copy of the library of its own: `espeak` may
run beside it.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engines.spoken_marks import HeardWord
from vivavoce.protocol.errors import EngineError

_ONNX: Final = ("*.onnx", "onnx/*.onnx")
_STYLES: Final = 256
"""Numbers in a style; a voice has one for each count of phonemes."""
SLOWEST, FASTEST = 0.5, 2.0
"""What the package lets `speed` be."""
_LANGUAGE_FLAG: Final = re.compile(r"\([a-z]{2,8}\)")
"""espeak-ng marks a word of another language with `(fr)`. The vocabulary has these letters: they would be spoken."""


class Sound(Struct, frozen=True):
    """A piece, spoken, without the silence around it."""

    samples: NDArray[np.float32]
    words: list[HeardWord]
    """Empty where the model does not report durations."""


class KokoroModel:
    """A loaded model with its voices. `say` may be called from several threads at once."""

    def __init__(self, folder: Path, patterns: tuple[str, ...], file: str, cores: int) -> None:
        """Load from a folder with an ONNX file and voices (`voices*.bin`, `*.npz`, or `voices/*.bin`). Raises `EngineError`.

        `patterns` tell the ONNX file where there are several, `file` names it. `cores` is for each inference, 0 is all.
        """
        try:
            import kokoro_onnx
            import onnxruntime
            from kokoro_onnx.session import resolve_providers
        except ImportError as error:
            message = f"kokoro-onnx cannot be loaded ({error}). Run: pip install 'vivavoce[kokoro]'"
            raise EngineError("engine_unavailable", message) from error
        # It counts words and complains that "of the" becomes one: for every other clause, on the server's log.
        logging.getLogger("phonemizer").setLevel(logging.ERROR)
        path = _onnx_file(folder, patterns, file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=resolve_providers())
        except Exception as error:
            raise _no_model(path, str(error).splitlines()[0]) from error
        inputs = {given.name for given in session.get_inputs()}
        if not inputs >= {"style", "speed"} or not inputs & {"tokens", "input_ids"}:
            raise _no_model(path, f"its inputs are {', '.join(sorted(inputs))}")
        self._styles = _styles(folder)
        self._kokoro: Any = _kokoro(kokoro_onnx.Kokoro, session)
        self.voices: tuple[str, ...] = tuple(sorted(self._styles))

    def phonemes(self, text: str, language: str) -> str:
        """What is to be pronounced; empty if nothing of it is. Raises `EngineError` for a language that espeak-ng lacks."""
        try:
            written = self._kokoro.tokenizer.phonemize(text, language)
        except RuntimeError as error:
            raise EngineError("synthesis_failed", f"Kokoro: espeak-ng cannot phonemize {language!r}: {error}") from error
        if "(" not in text:
            written = _LANGUAGE_FLAG.sub("", written)
        phonemes = " ".join(written.split())
        return phonemes if any(character.isalpha() for character in phonemes) else ""

    def say(self, phonemes: str, voice: str, speed: float) -> Sound:
        """Speak, at a speed within the limits. Raises `EngineError`."""
        try:
            samples, _, timings = self._kokoro.create_timed(
                phonemes, self._styles[voice], speed, is_phonemes=True, sentence_pause=0.0, clause_pause=0.0
            )
        except Exception as error:
            raise EngineError("synthesis_failed", f"Kokoro failed: {str(error).partition(chr(10))[0]}") from error
        return Sound(np.asarray(samples, np.float32), _words(timings))


def _words(timings: list[Any]) -> list[HeardWord]:
    """Phonemes with their times, joined to words."""
    words: list[HeardWord] = []
    phonemes = ""
    for n, timing in enumerate(timings):
        if timing.phoneme != " ":
            phonemes += timing.phoneme
        if phonemes and (timing.phoneme == " " or n == len(timings) - 1):
            end = timing.start if timing.phoneme == " " else timing.end
            words.append(HeardWord(phonemes, round(end * SAMPLE_HZ)))
            phonemes = ""
    return words


def _onnx_file(folder: Path, patterns: tuple[str, ...], file: str) -> Path:
    """The one model in a folder. Raises `EngineError` if there is none, or more than one."""
    wanted = (file,) if file else tuple(pattern for pattern in patterns if pattern.endswith(".onnx")) or _ONNX
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx"))
    found = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in wanted)]
    if len(found) == 1:
        return folder / found[0]
    if not found:
        raise EngineError("weights_missing", f"Kokoro: the folder {folder} holds no {' or '.join(wanted)}.")
    line = f"Kokoro: the folder {folder} holds several models: {', '.join(found)}."
    raise EngineError("weights_missing", f"{line} Choose one with engines.cascade.kokoro.file.")


def _styles(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Every voice of a folder, each `(phonemes, 1, 256)`."""
    try:
        if archive := _first(folder, "voices*.bin", "voices*.npz", "*.npz"):
            with np.load(archive) as voices:
                styles = {name: np.asarray(voices[name], np.float32).reshape(-1, 1, _STYLES) for name in voices}
        else:
            styles = {
                path.stem: np.fromfile(path, "<f4").astype(np.float32).reshape(-1, 1, _STYLES)
                for path in sorted((folder / "voices").glob("*.bin"))
            }
    except (ValueError, OSError, AttributeError, TypeError) as error:
        raise EngineError("weights_missing", f"Kokoro: the voices in {folder} cannot be read: {error}") from error
    if not styles:
        message = f"Kokoro: the folder {folder} holds no voices: neither voices-v1.0.bin nor voices/NAME.bin."
        raise EngineError("weights_missing", message)
    return styles


def _first(folder: Path, *patterns: str) -> Path | None:
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()), None)


def _kokoro(kind: Any, session: Any) -> Any:
    """The package's object. It wants a file of voices; ours are at hand already, so it gets an empty one."""
    descriptor, name = tempfile.mkstemp(suffix=".npz")
    os.close(descriptor)
    try:
        np.savez(name)
        kokoro = kind.from_session(session, name)
        kokoro.voices.close()
    finally:
        os.unlink(name)
    return kokoro


def _no_model(path: Path, why: str) -> EngineError:
    return EngineError("weights_missing", f"Kokoro: {path} is no Kokoro model for kokoro-onnx: {why}.")
