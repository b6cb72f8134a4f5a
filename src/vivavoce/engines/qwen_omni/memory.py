"""What one session remembers, on the inference thread: speech that was encoded, answers as they were said, KV caches.

A session's responses come one after the other, and each prompt begins as the one before it: its cache is cut to the longest
common prefix and read on. A response that runs beside another, or whose prompt has little to do with what is cached (an
out-of-band question, say), gets a second cache, so that the conversation keeps the first.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from vivavoce.engine_api import Generate
from vivavoce.engines.qwen_omni.family import AudioBlock, Conversation, Entry, Family, common_prefix, positions_of
from vivavoce.engines.qwen_omni.heard import Heard
from vivavoce.engines.qwen_omni.inference_thread import Steps
from vivavoce.engines.qwen_omni.prompt import Speech, draft, entries, opening
from vivavoce.engines.qwen_omni.said import Sayings
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat, InputAudioPart, Item, Message, OutputTextPart

SLICE_POSITIONS: Final = 512
"""How much is prefilled in one step, so that other sessions get their turn."""
KEPT_CACHES: Final = 2


class Precedent:
    """How the last session began: the next one probably has the same instructions and tools."""

    def __init__(self) -> None:
        self.request: Generate | None = None
        """Without items."""


class Memory:
    """One session's. Every method runs on the inference thread."""

    def __init__(self, family: Family, precedent: Precedent) -> None:
        self._family = family
        self._precedent = precedent
        self._asked = False
        """There was a request."""
        self._heard: dict[tuple[str, int], Heard] = {}
        """By item and number of the audio part in it."""
        self._idle: list[Conversation] = []
        """Caches that no answer uses, the last used one last."""
        self._busy: list[Conversation] = []
        self._closed = False
        self._expected: Generate | None = None
        """The conversation as the next prompt will probably begin: what was read last, and the answer to it."""
        self._before: tuple[str, Generate | None] | None = None
        """The newest item of the last request, and what was expected before it."""
        self._reading_ahead: object | None = None
        self.sayings = Sayings()

    # --- hearing ---

    def listen(self, item_id: str, audio: bytes, format: AudioFormat, *, final: bool) -> Heard:
        """More of a turn that is being spoken."""
        heard = self._heard.get((item_id, 0)) or self._begin((item_id, 0), format)
        heard.feed(audio, final=final)
        return heard

    def forget(self, item_id: str) -> None:
        """Nothing came of the turn, its item is gone, or it goes on after a draft, which then was never heard."""
        if self._before is not None and self._before[0] == item_id:
            self._expected, self._before = self._before[1], None
        for key in [key for key in self._heard if key[0] == item_id]:
            del self._heard[key]

    def hear_ahead(self, item_id: str, heard: Heard) -> Steps:
        """While the user speaks: encode the blocks that are closed, then let the model read them.

        When the turn begins there is something to read too: how the last answer ended, or the instructions of a first turn.
        """
        before = len(heard.blocks) if heard.begun else -1
        heard.begun = True
        while heard.encode():
            yield 0.0
        if len(heard.blocks) > before and heard is self._heard.get((item_id, 0)):
            yield 0.0
            yield from self._read_ahead(item_id)

    def _read_ahead(self, item_id: str) -> Steps:
        """Prefill the conversation so far and the turn as far as it is encoded, unless an answer is being made."""
        expected = self._expected if self._asked else self._precedent.request
        if expected is None or self._busy or self._closed:
            return
        turn = Message(id=item_id, role="user", content=(InputAudioPart(audio=b""),))
        so_far = draft(msgspec.structs.replace(expected, items=(*expected.items, turn)))
        prompt = entries(self._family, so_far, self._known_blocks, self.sayings, answer=False)
        if positions_of(prompt) >= self._family.context_positions:
            return
        conversation = self._take(prompt)
        self._give_back(conversation)
        mine = self._reading_ahead = object()
        try:
            for piece in self._to_read(conversation, prompt):
                if self._reading_ahead is not mine or self._closed:
                    return
                conversation.extend(piece)
                yield 0.0
            if self._reading_ahead is mine and not self._closed and "audio" in expected.modalities:
                conversation.settle()
        except Exception:
            self.discard(conversation)
            raise

    def _known_blocks(self, speech: Speech) -> Sequence[AudioBlock]:
        heard = self._heard.get((speech.item_id, speech.number))
        return heard.blocks if heard is not None else ()

    # --- reading ---

    def read(self, request: Generate) -> Generator[float, None, Conversation]:
        """Encode what of the prompt was not heard yet and prefill what is not cached. Returns the `Conversation`."""
        self._asked = True
        self._precedent.request = msgspec.structs.replace(request, items=())
        asked = draft(request)
        heard = [self._complete(speech) for speech in asked.speech]
        for one in heard:
            while one.encode():
                yield 0.0
        blocks = {id(speech): one.blocks for speech, one in zip(asked.speech, heard, strict=True)}
        prompt = entries(self._family, asked, lambda speech: blocks[id(speech)], self.sayings, answer=True)
        prompt += self._family.encode(opening(request))
        if positions_of(prompt) >= self._family.context_positions:
            raise EngineError("context_length_exceeded", "The conversation is longer than the model's context.")
        self._forget_surplus(request)
        self._reading_ahead = None
        conversation = self._take(prompt)
        whole = False
        try:
            for piece in self._to_read(conversation, prompt):
                conversation.extend(piece)
                yield 0.0
            whole = True
        except Exception:
            self.discard(conversation)
            raise
        finally:
            if not whole:
                self.done(conversation)
        return conversation

    def done(self, conversation: Conversation) -> None:
        """The answer is over, one way or another."""
        if conversation not in self._busy:
            return
        self._busy.remove(conversation)
        if self._closed:
            conversation.close()
        else:
            self._give_back(conversation)

    def discard(self, conversation: Conversation) -> None:
        """Something failed in the middle of a step: nobody knows what is in the cache."""
        for known in (self._busy, self._idle):
            if conversation in known:
                known.remove(conversation)
        conversation.close()

    def expect(self, request: Generate, answer: str | None) -> None:
        """The next prompt will probably begin like this one, with this answer. `None`: who knows what of it was heard."""
        self._before = _id(request.items[-1]) if request.items else "", self._expected
        if answer is None:
            self._expected = None
            return
        said = Message(role="assistant", content=(OutputTextPart(answer),))
        self._expected = msgspec.structs.replace(request, items=(*request.items, said) if answer else request.items)

    def _forget_surplus(self, request: Generate) -> None:
        """Forget the oldest speech where there is more than a prompt could hold: it has left the conversation long ago."""
        mentioned = {_id(item) for item in request.items}
        held = sum(positions_of(heard.blocks) for heard in self._heard.values())
        for key, heard in list(self._heard.items()):
            if held <= self._family.context_positions:
                return
            if heard.is_item and key[0] not in mentioned:
                held -= positions_of(heard.blocks)
                del self._heard[key]

    def close(self) -> None:
        """The session is over: free everything. An answer that still runs frees its cache when it ends."""
        self._closed = True
        self._heard.clear()
        for conversation in self._idle:
            conversation.close()
        self._idle.clear()

    # --- steps ---

    def _begin(self, key: tuple[str, int], format: AudioFormat) -> Heard:
        heard = self._heard[key] = Heard(self._family.ear(), format)
        return heard

    def _complete(self, speech: Speech) -> Heard:
        """The hearing of speech that the prompt mentions, whole: begun, or fed the rest, where need be."""
        key = speech.item_id, speech.number
        heard = self._heard.get(key)
        if heard is None or not heard.is_of(speech.audio):
            heard = self._begin(key, speech.format)
        heard.complete(speech.audio)
        return heard

    def _take(self, prompt: Sequence[Entry]) -> Conversation:
        """The cache that knows most of this prompt, or a new one where none knows enough of it."""
        best = max(self._idle, key=lambda one: common_prefix(one.entries, prompt), default=None)
        if best is None or self._is_another(best, prompt):
            best = self._family.open()
        else:
            self._idle.remove(best)
        self._busy.append(best)
        return best

    def _is_another(self, conversation: Conversation, prompt: Sequence[Entry]) -> bool:
        """The prompt is so different that the cache is better kept for what it holds."""
        known = common_prefix(conversation.entries, prompt)
        return known * 2 < len(conversation.entries) and len(self._idle) + len(self._busy) < KEPT_CACHES

    def _give_back(self, conversation: Conversation) -> None:
        if conversation in self._busy:
            self._busy.remove(conversation)
        self._idle.append(conversation)
        for surplus in self._idle[:-KEPT_CACHES]:
            surplus.close()
        del self._idle[:-KEPT_CACHES]

    def _to_read(self, conversation: Conversation, prompt: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
        """Cut the cache to what it shares with the prompt; the rest of that, in slices. The last entry is always read."""
        known = min(common_prefix(conversation.entries, prompt), len(prompt) - 1)
        conversation.crop(known)
        piece: list[Entry] = []
        left = SLICE_POSITIONS
        for entry in prompt[known:]:
            needed = positions_of((entry,))
            if piece and needed > left:
                yield piece
                piece, left = [], SLICE_POSITIONS
            piece.append(entry)
            left -= needed
        yield piece


def _id(item: Item) -> str:
    return "" if item.id is UNSET else item.id
