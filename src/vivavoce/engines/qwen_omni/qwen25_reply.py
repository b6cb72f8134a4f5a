"""An answer of Qwen2.5-Omni's, one step at a time.

    step    thinker                 talker                          token2wav
    1       t1 ─▶ told(t1)          prompt, voice, told(t1) ─▶ c1
    2       t2 ─▶ told(t2)          c1, told(t2)            ─▶ c2
    …
    24      t24 ─▶ told(t24)        c23, told(t24)          ─▶ c24
    25 … 33                                                         the first chunk, a ninth of the work a step
    34      t25 ─▶ told(t25)        c24, told(t25)          ─▶ c25
    …
    n       the end of the turn     c, "the text ends"      ─▶ c
    …                               c, silence              ─▶ c

The first samples leave after 33 steps, however long the answer will be. A token at a limit, which nothing follows, is not
told to the talker, nor is a call of a tool: the speech ends before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from msgspec.structs import replace
from torch import Tensor

from vivavoce.engines.qwen_omni.family import Manner, Step
from vivavoce.engines.qwen_omni.qwen25_parts import TALKER_SAMPLING, Talker
from vivavoce.engines.qwen_omni.qwen25_speech import Speech
from vivavoce.engines.qwen_omni.sampling import Sampling

if TYPE_CHECKING:
    from vivavoce.engines.qwen_omni.qwen25 import Qwen25
    from vivavoce.engines.qwen_omni.qwen25_memory import Memory


class Reply:
    """The answer. `Answer` of `family.py`."""

    def __init__(self, family: Qwen25, memory: Memory, manner: Manner) -> None:
        self._family = family
        self._memory = memory
        self._manner = manner
        self._speaking: Speaking | None = None
        self._tokens = 0
        self._text_done = False
        self._limited = False
        self._muted = manner.voice is None or family.talker is None
        """The talker is not to start, or to hear no more of the text."""

    @torch.inference_mode()
    def step(self, *, hurry: bool = False) -> Step:
        """At most one token and one code; or a part of the work of decoding a chunk."""
        if self._speaking is not None and self._speaking.is_decoding:
            return self._told(None, self._speaking.decode())
        token, told = (None, None) if self._text_done else self._write()
        if self._speaking is None and told is not None:
            self._speaking = self._begin_to_speak()
        if self._speaking is not None and not self._speaking.ended:
            self._speaking.step(told, hurry=hurry)
        return self._told(token, b"")

    def _told(self, token: int | None, pcm: bytes) -> Step:
        """The step that brought this."""
        speaking = self._speaking
        limited = self._limited or (speaking is not None and speaking.limited)
        spoken = speaking is None or (speaking.ended and not speaking.is_decoding)
        done = spoken and (self._text_done or limited)
        reason: Literal["completed", "max_output_tokens"] = "max_output_tokens" if done and limited else "completed"
        return Step(token=token, pcm=pcm, text_done=self._text_done, done=done, reason=reason)

    def close(self) -> None:
        """Free the speech, and let the talker forget its codes."""
        if self._speaking is not None:
            self._speaking = None
            self._memory.unread_codes()
        self._text_done = True

    def _write(self) -> tuple[int | None, Tensor | None]:
        """The next token, and what the talker is told of it."""
        hidden = self._memory.last
        assert hidden is not None, "an answer begins after `extend`"
        token = self._family.thinker.choose(hidden, self._manner.temperature)
        if token in self._family.thinker.ends:
            self._text_done = True
            return None, None
        self._tokens += 1
        if self._tokens >= self._manner.max_text_tokens:
            self._text_done = self._limited = True
            return token, None
        self._muted |= token == self._family.tool_call_token
        if not self._muted and self._speaking is None:
            self._memory.settle()
        told = self._memory.read([token])
        return token, None if self._muted else told

    def _begin_to_speak(self) -> Speaking:
        talker, voice = self._family.talker, self._family.voice(self._manner.voice)
        assert talker is not None
        voice_token = self._family.thinker.embed([voice.text_token])
        sampling = replace(TALKER_SAMPLING, temperature=0.0) if self._manner.greedy_speech else TALKER_SAMPLING
        return Speaking(
            talker,
            self._family.speech(voice),
            voice_token,
            self._memory.talker_cache,
            sampling,
            self._manner.max_frames,
        )


class Speaking:
    """The talker's part of an answer: what it is told becomes codes, codes become samples."""

    def __init__(
        self, talker: Talker, speech: Speech, voice_token: Tensor, cache: object, sampling: Sampling, max_frames: int
    ) -> None:
        """`cache` holds the prompt."""
        self._talker = talker
        self._speech = speech
        self._voice_token = voice_token
        self._cache = cache
        self._sampling = sampling
        self._max_frames = max_frames
        self._text_ended = False
        self.ended = False
        """There will be no more codes; the last chunk may still have to be decoded."""
        self.limited = False
        """There were more codes than `max_frames`."""

    @property
    def is_decoding(self) -> bool:
        """A chunk is full: the next steps decode it."""
        return self._speech.is_decoding

    def decode(self) -> bytes:
        """Go on decoding. The chunk, when it is done."""
        chunk = self._speech.decode()
        if self.ended and not self.is_decoding:
            self._speech.finish()
        return chunk

    def step(self, told: Tensor | None, *, hurry: bool) -> None:
        """One code, of a token of the text or of what follows the text."""
        code = self._next_code(self._after_text() if told is None else told)
        if code in self._talker.ends:
            self.ended = True
        else:
            self._speech.add(code, hurry=hurry)
            self.ended = self.limited = len(self._speech.codes) >= self._max_frames
        if self.ended and not self.is_decoding:
            self._speech.finish()

    def _after_text(self) -> Tensor:
        if self._text_ended:
            return self._talker.silence
        self._text_ended = True
        return self._talker.text_ends

    def _next_code(self, told: Tensor) -> int:
        codes = self._speech.codes
        inputs = self._talker.following(codes[-1], told) if codes else self._talker.opening(self._voice_token, told)
        hidden = self._talker.read(inputs, self._cache)
        return self._talker.choose(hidden, codes, self._sampling)
