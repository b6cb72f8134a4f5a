"""A Whisper model in memory, for the worker threads of `faster_whisper`: a stretch of sound in, segments of text out.

One model serves all sessions. CTranslate2 lets go of the GIL while it computes, and computes for as many threads at once as
it was loaded with workers; all of them share the weights.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from vivavoce.audio import Samples
from vivavoce.engines.loudness import RATE_HZ, sounding
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.whisper_doubts import Heard, Verdict, has_speech, verdict
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import LogProb

WINDOW_SECONDS: Final = 30
"""What Whisper hears at once."""
TEMPERATURES: Final = (0.0, 0.3, 0.6)
"""If the most likely text is improbable or repeats itself, it is asked anew with some chance in it, at most twice."""
PROMPT_TOKENS: Final = 120
PHRASE_TOKENS: Final = 100
"""Together less than the 224 that a prompt may have, half of what the model reads."""
_FILES: Final = ("model.bin", "config.json", "tokenizer.json")


class Loading(Struct, frozen=True, kw_only=True):
    """How to load a model, in CTranslate2's words."""

    folder: Path
    device: str
    compute_type: str
    threads: int
    workers: int


class Request(Struct, frozen=True, kw_only=True):
    """How to decode a stretch."""

    hints: Hints
    before: str = ""
    """What was said in the same turn before this stretch."""
    beam_size: int = 1
    logprobs: bool = False


class WhisperModel:
    """Loaded weights. Threads may share one."""

    def __init__(self, loading: Loading, subject: str) -> None:
        """Load and decode once: seconds. Raises `EngineError`, in one line that begins with `subject`."""
        _check(loading.folder, subject)
        import faster_whisper

        try:
            self._model = faster_whisper.WhisperModel(
                str(loading.folder),
                device=loading.device,
                compute_type=loading.compute_type,
                cpu_threads=loading.threads,
                num_workers=loading.workers,
            )
            self._languages = frozenset(self._model.supported_languages)
            self._warm()
        except Exception as error:
            reason = str(error).strip() or type(error).__name__
            raise EngineError("engine_start_failed", f"{subject} cannot use {loading.folder}: {reason}") from error

    def _warm(self) -> None:
        """The first decode allocates and, on a GPU, finds out whether its libraries are there."""
        hiss = np.random.default_rng(0).normal(0, 0.01, RATE_HZ).astype(np.float32)
        list(self._model.transcribe(hiss, language="en", beam_size=1, temperature=0.0, max_new_tokens=1)[0])

    def speaks(self, language: str) -> bool:
        """Does the model know the language, by its ISO-639-1 code?"""
        return language in self._languages

    def segments(self, samples: Samples, request: Request) -> Iterator[Transcript]:
        """What is said in the samples, at 16,000 Hz, as it is decoded: a segment's text brings its own leading space.

        Silence is nothing, and costs nothing; what Whisper invents is left out.
        """
        samples = sounding(samples)
        if samples.size == 0:
            return
        segments, _ = self._model.transcribe(samples.astype(np.float32) / 32768, **self._how(samples, request))
        for segment in segments:
            window = _window(samples, segment)
            heard = Heard(
                text=segment.text,
                seconds=window.size / RATE_HZ,
                no_speech_prob=segment.no_speech_prob,
                avg_logprob=segment.avg_logprob,
                compression_ratio=segment.compression_ratio,
            )
            if is_said(heard, window):
                yield Transcript(segment.text, _logprobs(segment.words or ()))

    def _how(self, samples: Samples, request: Request) -> dict[str, Any]:
        """The options of `faster_whisper.WhisperModel.transcribe`."""
        hints = request.hints
        guess = not self.speaks(hints.language)
        return {
            # Asked to guess, it would run its encoder twice; told that the language may change, it looks once, in passing.
            "language": "en" if guess else hints.language,
            "multilingual": guess and self._model.model.is_multilingual,
            "beam_size": request.beam_size,
            "best_of": request.beam_size,
            "temperature": TEMPERATURES,
            "condition_on_previous_text": False,
            "initial_prompt": self._prompt(f"{hints.prompt} {request.before}"),
            "hotwords": self._phrases(hints.phrases),
            # Times within a window only serve to find where the next one begins.
            "without_timestamps": samples.size < WINDOW_SECONDS * RATE_HZ,
            "word_timestamps": request.logprobs,
            "vad_filter": False,
        }

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self._model.hf_tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids
        return ids

    def _prompt(self, text: str) -> list[int] | None:
        """The end of it is nearest to what comes."""
        return self._tokens(text)[-PROMPT_TOKENS:] if text.strip() else None

    def _phrases(self, phrases: tuple[str, ...]) -> str | None:
        """As many of the phrases, the first ones, as there is room for."""
        taken, room = [], PHRASE_TOKENS
        for phrase in phrases:
            room -= len(self._tokens(phrase)) + 1
            if room < 0:
                break
            taken.append(phrase)
        return ", ".join(taken) or None


def _window(samples: Samples, segment: Any) -> Samples:
    """The sound that a segment is about, by its own times. Those are rough, hence half a second more on both sides."""
    start, end = (int(seconds * RATE_HZ) for seconds in (segment.start - 0.5, segment.end + 0.5))
    return samples[max(0, start) : end]


def is_said(heard: Heard, samples: Samples) -> bool:
    """Is the text of a segment what somebody said in these samples?"""
    match verdict(heard):
        case Verdict.SAID:
            return True
        case Verdict.DOUBTFUL:
            return has_speech(samples)
        case Verdict.INVENTED:
            return False


def _logprobs(words: Any) -> tuple[LogProb, ...]:
    """Whisper's alignment tells the probability of each word; the words, joined, are the text."""
    return tuple(LogProb(w.word, math.log(max(w.probability, 1e-10)), tuple(w.word.encode())) for w in words)


def _check(folder: Path, subject: str) -> None:
    """What the library would not say clearly, or would fetch from the network."""
    if importlib.util.find_spec("faster_whisper") is None:
        raise EngineError("engine_unavailable", f"{subject} needs its library. Run: pip install 'vivavoce[faster-whisper]'")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise EngineError(
            "engine_start_failed",
            f"{subject}: {folder} is no Whisper model of CTranslate2: it has no {', '.join(missing)}. "
            "Name a known model, or convert one: "
            "ct2-transformers-converter --model … --copy_files tokenizer.json preprocessor_config.json --output_dir …",
        )
