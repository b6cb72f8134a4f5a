"""An answer of a voice that does not say which word is when → an engine's events. Pure.

Words and sound come as they come: words first, sound first, or only one of them. While the answer runs, a word gets its mark
when it may have been heard, by the pace of speech; at the end of an item what is left of its sound is shared out over the
words that have none. The last mark stands at the end of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
)
from vivavoce.engines.proportional_marks import CHARACTERS_PER_SECOND
from vivavoce.engines.speakable import Words
from vivavoce.engines.streaming import GenerationEvent
from vivavoce.protocol.objects import Usage

PIECE_BYTES: Final = SAMPLE_HZ * PCM_SAMPLE_BYTES
"""A server that sends minutes of sound at once is passed on second by second."""


class SpokenItem:
    """Words and sound of one item: the transcript to pass on, and its marks. Positions in samples at 24,000 Hz."""

    def __init__(self, speed: float = 1.0) -> None:
        self.transcript = ""
        self.samples = 0
        self._blank = ""
        """Space that belongs to the transcript only if words follow."""
        self._ends: list[int] = []
        """Where words end that have no mark yet; the last word may still grow and is not among them."""
        self._marked = Mark(0, 0)
        self._samples_per_character = SAMPLE_HZ / (CHARACTERS_PER_SECOND * speed)
        self._last_word = 0
        self._began_at = 0.0

    def say(self, text: str) -> str:
        """More words. Returns what to pass on: space at the beginning is dropped, space at the end waits for words."""
        text = self._blank + text if self.transcript else text.lstrip()
        words = text.rstrip()
        self._blank = text[len(words) :]
        self.transcript += words
        tail = Words(self.transcript[self._last_word :])
        for word in range(len(tail) - 1):
            self._ends.append(self._last_word + tail.end(word))
        if len(tail) > 1:
            self._last_word = self._ends[-1]
        return words

    def sound(self, samples: int, now: float) -> tuple[Mark, ...]:
        """More sound. Returns the marks of words that may have been heard: nobody hears faster than time passes."""
        if not self.samples:
            self._began_at = now
        self.samples += samples
        heard = min(self.samples, round((now - self._began_at) * SAMPLE_HZ))
        marks = []
        while self._ends:
            at = self._marked.samples + round((self._ends[0] - self._marked.characters) * self._samples_per_character)
            if at > heard:
                break
            self._marked = Mark(self._ends.pop(0), at)
            marks.append(self._marked)
        return tuple(marks)

    def end(self) -> tuple[Mark, ...]:
        """The item is whole: the marks of all words that have none."""
        if not self.transcript or not self.samples:
            return ()
        first, characters = self._marked, len(self.transcript)
        per_character = (self.samples - first.samples) / max(1, characters - first.characters)
        marks = [Mark(end, first.samples + round((end - first.characters) * per_character)) for end in self._ends]
        return (*marks, Mark(characters, self.samples))


class SpokenAnswer:
    """One answer. Each method returns the events to emit; `now` is the event loop's time, in seconds."""

    def __init__(self, request: Generate) -> None:
        self._request = request
        self._response_id = request.response_id
        self._spoken = "audio" in request.modalities
        self.item = SpokenItem(request.speed)
        """The item that is being spoken."""
        self.said_something = False

    def words(self, text: str) -> Iterator[GenerationEvent]:
        """More words: of the speech, or of a written answer."""
        if not self._spoken:
            yield from self.text(text)
        elif words := self.item.say(text):
            self.said_something = True
            yield OutputTranscript(self._response_id, words)

    def text(self, text: str) -> Iterator[GenerationEvent]:
        """More text that is not spoken."""
        if text:
            self.said_something = True
            yield OutputText(self._response_id, text)

    def sound(self, pcm: bytes, now: float) -> Iterator[GenerationEvent]:
        """More speech, PCM16 at 24,000 Hz. None leaves where text was asked for."""
        if not self._spoken:
            return
        for start in range(0, len(pcm), PIECE_BYTES):
            piece = pcm[start : start + PIECE_BYTES]
            self.said_something = True
            yield OutputAudio(self._response_id, piece)
            if marks := self.item.sound(len(piece) // PCM_SAMPLE_BYTES, now):
                yield OutputTranscript(self._response_id, "", marks)

    def call(self, call_id: str, name: str) -> Iterator[GenerationEvent]:
        """A call begins: it ends the item that is being spoken. Words after it are a new one."""
        yield from self.end_item()
        self.said_something = True
        yield FunctionCallStarted(self._response_id, call_id, name)

    def arguments(self, call_id: str, delta: str) -> Iterator[GenerationEvent]:
        """More of a call's arguments."""
        if delta:
            yield FunctionCallArguments(self._response_id, call_id, delta)

    def end_item(self) -> Iterator[GenerationEvent]:
        """The item that is being spoken is whole."""
        if marks := self.item.end():
            yield OutputTranscript(self._response_id, "", marks)
        self.item = SpokenItem(self._request.speed)

    def end(
        self, reason: Literal["completed", "max_output_tokens", "content_filter"], usage: Usage | None
    ) -> Iterator[GenerationEvent]:
        """The answer is whole."""
        yield from self.end_item()
        yield GenerationDone(self._response_id, reason, usage)
