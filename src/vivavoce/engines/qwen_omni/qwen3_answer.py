"""An answer of Qwen3-Omni, made a step at a time: what `generate()` makes in one piece.

    step 1   thinker: token 1, from the prompt            talker: user's turns, opening, token 1 ─▶ code 1 ─▶ frame 1
    step 2   thinker: reads token 1 ─▶ token 2            talker: frame 1 + token 2             ─▶ code 2 ─▶ frame 2
    step 3   thinker: reads token 2 ─▶ token 3            talker: frame 2 + token 3             ─▶ code 3 ─▶ frame 3
    step 4   …                                            frame 4 fills the first chunk: the first sound leaves
    …
    step n   thinker: reads token n - 1 ─▶ the end        talker: frame n - 1 + end of text, then padding, until it ends

The first code of a frame is the talker's, the others are the code predictor's. A token is read by the thinker when the next
one is wanted and not before: before the first sound it runs three times, whatever the length of the answer.

The talker reads one token of text for each frame of speech, added to the sum of the frame's codes. What the thinker has said
and the talker has not read yet waits in a queue (`trailing_text_hidden` in transformers); when text and its end are read,
padding follows. The queue is short, as the thinker is never asked for more than a step needs: nothing waits for the whole.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
import torch
from torch import Tensor

from vivavoce.engines.qwen_omni.family import Manner, Step
from vivavoce.engines.qwen_omni.qwen3_parts import CODE_SAMPLING, RESIDUAL_SAMPLING, Parts
from vivavoce.engines.qwen_omni.qwen3_vocoder import Vocoder
from vivavoce.engines.qwen_omni.sampling import Sampling, choose

if TYPE_CHECKING:
    from vivavoce.engines.qwen_omni.qwen3_conversation import Qwen3Conversation, UserTurns

OPENING_PADS: Final = 4
"""Padding in the text row while the codec row says that there is no thinking, and who speaks."""


class Qwen3Answer:
    """One answer."""

    def __init__(self, parts: Parts, conversation: Qwen3Conversation, turns: UserTurns, manner: Manner) -> None:
        self._parts = parts
        self._conversation = conversation
        self._manner = manner
        self._sampling = parts.text_sampling(manner.temperature)
        self._tokens = 0
        self._unread: int | None = None
        """The last token, which the thinker has not read yet."""
        self._text_done = False
        self._at_limit = False
        self._speech = Qwen3Speech(parts, turns, manner) if manner.voice is not None and parts.talker is not None else None

    def step(self, *, hurry: bool = False) -> Step:
        """Make at most one token and one frame."""
        with torch.inference_mode():
            token = None if self._text_done else self._think()
            pcm = b""
            if self._speech is not None and not self._speech.done:
                pcm = self._speech.step(hurry=hurry)
            speaks = self._speech is not None and not self._speech.done
        at_limit = self._at_limit or (self._speech is not None and self._speech.at_limit)
        done = self._text_done and not speaks
        return Step(token, pcm, self._text_done, done, "max_output_tokens" if at_limit else "completed")

    def close(self) -> None:
        """Give the talker's cache back."""
        if self._speech is not None:
            self._speech.close()
            self._speech = None

    def _think(self) -> int | None:
        """The next token, which the talker gets to read. `None` is the end."""
        if self._unread is not None:
            self._conversation.feed(self._unread)
        token = int(choose(self._conversation.scores, self._sampling))
        if token == self._parts.im_end_id:
            self._end_text()
            return None
        self._tokens += 1
        if token == self._parts.tool_call_id and self._speech is not None:
            self._speech.end_text()  # calls are not spoken
        if self._tokens >= self._manner.max_text_tokens:
            # `generate()` does not read its last token either: it is told, and not spoken.
            self._at_limit = True
            self._end_text()
            return token
        self._unread = token
        if self._speech is not None:
            self._speech.read(token)
        return token

    def _end_text(self) -> None:
        self._text_done = True
        if self._speech is not None:
            self._speech.end_text()


class Qwen3Speech:
    """The talker, the code predictor and the vocoder, for one answer."""

    def __init__(self, parts: Parts, turns: UserTurns, manner: Manner) -> None:
        self._parts = parts
        self._turns = turns
        self._speaker = parts.speakers[manner.voice or ""]
        self._max_frames = manner.max_frames
        greedy = {"temperature": 0.0} if manner.greedy_speech else {}
        self._code_sampling: Sampling = msgspec.structs.replace(CODE_SAMPLING, **greedy)
        self._residual_sampling: Sampling = msgspec.structs.replace(RESIDUAL_SAMPLING, **greedy)
        self._vocoder = Vocoder(parts.code2wav)
        self._text: deque[Tensor] = deque()
        """What the talker has not read yet."""
        self._text_ended = False
        self._frame: Tensor | None = None
        """The sum of the last frame's embeddings, once there is one."""
        self._hidden: Tensor
        """The talker's last hidden state."""
        self._code: Tensor
        """The first code of the next frame."""
        self._said = torch.empty((1, 0), dtype=torch.long, device=parts.device)
        """First codes so far: what the repetition penalty falls on."""
        self.done = False
        self.at_limit = False

    def read(self, token: int) -> None:
        """A token to speak."""
        if not self._text_ended:
            self._text.append(self._parts.spoken_text(self._parts.embedded((token,))[1]))

    def end_text(self) -> None:
        """There is no more text to speak."""
        if not self._text_ended:
            self._text_ended = True
            self.done = self.done or (self._frame is None and not self._text)
            self._text.append(self._parts.tts_eos)

    def step(self, *, hurry: bool) -> bytes:
        """One frame. The sound of a chunk, when one is full or the speech is over."""
        if self._frame is None:
            self._begin()
        else:
            self._talk(self._frame + (self._text.popleft() if self._text else self._parts.tts_pad))
        if self.done:
            return self._vocoder.flush()
        codes, self._frame = self._parts.predictor.frame(self._hidden, self._code, self._residual_sampling)
        pcm = self._vocoder.push(codes, hurry=hurry)
        if self._said.shape[1] >= self._max_frames:
            self.done = self.at_limit = True
            pcm += self._vocoder.flush()
        return pcm

    def close(self) -> None:
        """Take the answer out of the talker's cache."""
        self._turns.forget_answer()

    def _begin(self) -> None:
        """The talker's prefill: the user's turns that it has not heard, the opening of the answer, the first token.

        text    <|im_start|> assistant \\n   pad      pad        pad        pad      bos  token 1
        codec        0           0       0   nothink  think_bos  think_eos  speaker  pad  bos
        """
        parts = self._parts
        opening = parts.spoken_text(parts.embedded(parts.opening_ids)[1])
        text = torch.cat((opening, parts.tts_pad.expand(-1, OPENING_PADS, -1), parts.tts_bos, self._text.popleft()), dim=1)
        codec = parts.codes_embedded([*parts.codec_head_ids, self._speaker, *parts.codec_tail_ids])
        text[:, opening.shape[1] :] += codec
        waiting = [piece[None] for piece in self._turns.take_waiting()]
        self._talk(torch.cat((*waiting, text), dim=1))

    def _talk(self, embeddings: Tensor) -> None:
        """The talker's next code; or it is done."""
        parts = self._parts
        self._hidden = parts.talk(embeddings, self._turns.cache)
        scores = parts.talker.codec_head(self._hidden[:, -1])
        self._code = choose(scores, self._code_sampling, self._said, parts.suppressed_codes)
        self._said = torch.cat((self._said, self._code), dim=1)
        self.done = int(self._code) == parts.codec_eos_id
