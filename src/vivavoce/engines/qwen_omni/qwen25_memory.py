"""One conversation with Qwen2.5-Omni: what its thinker has read, and what its talker has been told of it.

    entries    system … user  [speech][speech]  assistant  the reply …
    thinker    ███████████████████████████████████████████████████████   its cache, every turn
    talker     ███████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░               its cache ░ told, not read yet

The talker reads only what an answer in speech needs, and only when one begins or there is time (`settle`). The codes that it
makes of an answer never stay in its cache: in the next turn it reads the reply as the thinker has read it, as it would if
the whole conversation were given to `generate()` at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from vivavoce.engines.qwen_omni.caches import crop
from vivavoce.engines.qwen_omni.family import Answer, Entry, Manner, positions_of
from vivavoce.engines.qwen_omni.qwen25_reply import Reply

if TYPE_CHECKING:
    from vivavoce.engines.qwen_omni.qwen25 import Qwen25

SETTLE_POSITIONS: Final = 512
"""The talker reads so much at a time, so that a long prompt needs no more memory at once than a short one."""


class Memory:
    """A conversation's caches."""

    def __init__(self, family: Qwen25) -> None:
        """An empty one."""
        self._family = family
        self._thinker = family.thinker
        self._entries: list[Entry] = []
        self.entries: Sequence[Entry] = self._entries
        self._cache: Any = self._thinker.new_cache()
        self.talker_cache: Any = family.talker.new_cache() if family.talker is not None else None
        """Of the talker: the first part of the conversation, and the codes of the answer that is being spoken."""
        self._talker_positions = 0
        """How much of the conversation the talker has read."""
        self._told: list[Tensor] = []
        """What it will have to read next, `[1, positions, hidden]` each."""
        self.last: Tensor | None = None
        """The thinker's hidden state at the last position, `[1, 1, hidden]`."""

    @torch.inference_mode()
    def extend(self, entries: Sequence[Entry]) -> None:
        """Read on."""
        self.read(entries)

    def read(self, entries: Sequence[Entry]) -> Tensor:
        """Read on; returns what the talker will be told of it, `[1, positions, hidden]`."""
        given, told = self._thinker.embed_entries(entries)
        hidden = self._thinker.read(given, self._cache)
        told = told + hidden
        self._entries += entries
        self.last = hidden[:, -1:]
        if self._family.talker is not None:
            self._told.append(told)
        return told

    @torch.inference_mode()
    def crop(self, entries: int) -> None:
        """Forget all but the first so many entries."""
        kept = positions_of(self.entries[:entries])
        crop(self._cache, kept)
        del self._entries[entries:]
        self.last = None
        self._forget_told(kept)

    def _forget_told(self, kept: int) -> None:
        if kept <= self._talker_positions:
            crop(self.talker_cache, kept)
            self._talker_positions = kept
            self._told = []
        elif self._told:
            self._told = [torch.cat(self._told, dim=1)[:, : kept - self._talker_positions].clone()]

    @torch.inference_mode()
    def settle(self) -> None:
        """Let the talker read what it was told."""
        if self._family.talker is None or not self._told:
            return
        told = torch.cat(self._told, dim=1)
        for start in range(0, told.shape[1], SETTLE_POSITIONS):
            self._family.talker.read(told[:, start : start + SETTLE_POSITIONS], self.talker_cache)
        self._talker_positions += told.shape[1]
        self._told = []

    def unread_codes(self) -> None:
        """An answer in speech is over: the talker forgets its codes and remembers the prompt before them."""
        if self.talker_cache is not None:
            crop(self.talker_cache, self._talker_positions)

    def answer(self, manner: Manner) -> Answer:
        """Begin an answer."""
        return Reply(self._family, self, manner)

    def close(self) -> None:
        """Free the caches."""
        self._cache = self.talker_cache = None
        self._entries.clear()
        self._told, self.last = [], None
