"""The memory of one conversation with Qwen3-Omni: the thinker's KV cache, and what the talker has heard of it.

    entries ─▶ embeddings ─▶ thinker ─┬─▶ last hidden state ─▶ scores of the next token
                                      └─▶ where speech was heard: hidden state before layer `accept_hidden_layer` ─┐
               where the user wrote: embeddings ─────────────────────────────────────────────────────────────────┴─▶ talker

The talker hears the user's turns and nothing else (neither instructions nor its own earlier answers), one after the other,
and behind them the answer that it is to speak. `generate()` reads them all again for each answer. Here they stay in a cache
of its own: an answer adds its positions and takes them away again, so that the tenth turn costs what the first did.

Positions are plain 0, 1, 2 …: without pictures the three axes of the rotary embedding agree. They are passed to the decoders
below the level that would read `rope_deltas` from a module that all sessions share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vivavoce.engines.qwen_omni.caches import crop
from vivavoce.engines.qwen_omni.family import Answer, Entry, Manner, positions_of
from vivavoce.engines.qwen_omni.growing_cache import growing_cache
from vivavoce.engines.qwen_omni.qwen3_answer import Qwen3Answer
from vivavoce.engines.qwen_omni.qwen3_parts import Parts


class Qwen3Conversation:
    """One conversation. What it shares with others is in `parts`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cache = growing_cache()
        self._scores: Tensor | None = None
        self._turns = UserTurns(parts)
        self.entries: list[Entry] = []

    def extend(self, entries: Sequence[Entry]) -> None:
        """Read on, in the thinker; what is the user's waits for the talker."""
        tokens, embeddings = self._parts.embedded(entries)
        with torch.inference_mode():
            hidden = self._think(embeddings)
        self._turns.hear(tokens, embeddings[0], hidden[0])
        self.entries += entries

    def crop(self, entries: int) -> None:
        """Forget what comes after the first so many entries."""
        del self.entries[entries:]
        positions = positions_of(self.entries)
        crop(self._cache, positions)
        self._turns.crop(positions)
        self._scores = None

    def settle(self) -> None:
        """Let the talker hear the user's turns."""
        with torch.inference_mode():
            self._turns.prefill()

    def answer(self, manner: Manner) -> Answer:
        """Begin an answer to what was read."""
        return Qwen3Answer(self._parts, self, self._turns, manner)

    @property
    def scores(self) -> Tensor:
        """Of the next token, [1, vocabulary]."""
        if self._scores is None:
            raise ValueError("a conversation answers what it has just read, and after a crop it has to read something")
        return self._scores

    def feed(self, token: int) -> None:
        """A token of the answer comes back in."""
        _, embeddings = self._parts.embedded((token,))
        hidden = self._parts.think_one.step(embeddings, self._cache)
        self._scores = self._parts.lm_head(hidden[:, -1])
        self._turns.hear([token], embeddings[0], embeddings[0])
        self.entries.append(token)

    def close(self) -> None:
        """Free the caches."""
        self.crop(0)
        self._cache = growing_cache()
        self._turns = UserTurns(self._parts)

    def _think(self, embeddings: Tensor) -> Tensor:
        """Run the thinker. Its hidden states at the layer that the talker accepts, [1, positions, hidden size]."""
        start = int(self._cache.get_seq_length())
        positions = torch.arange(start, start + embeddings.shape[1], device=embeddings.device)[None]
        with self._parts.accepted_layer() as hidden:
            output = self._parts.thinker(
                inputs_embeds=embeddings, position_ids=positions, past_key_values=self._cache, use_cache=True
            )
        self._scores = self._parts.lm_head(output.last_hidden_state[:, -1])
        return hidden[0]


class UserTurns:
    """What the talker has heard: the positions of the user's turns, in a cache of its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cache = growing_cache() if parts.talker is not None else None
        self._heard = 0
        """Positions in the cache."""
        self._waiting: list[Tensor] = []
        """What is not in the cache yet, [positions, hidden size] each."""
        self._tokens: list[int] = []
        """All of the conversation's tokens; an audio token for each position of speech."""
        self._is_users: list[bool] = []
        """For each of them. The beginning of a turn waits here for the token that tells whose it is."""

    @property
    def cache(self) -> Any:
        """The talker's cache: the turns, and behind them what an answer adds."""
        return self._cache

    @property
    def positions(self) -> int:
        """How many positions of the cache are the user's."""
        return self._heard

    def hear(self, tokens: Sequence[int], embeddings: Tensor, hidden: Tensor) -> None:
        """More of the conversation: tokens, their embeddings and hidden states [positions, hidden size]."""
        if self._cache is None:
            return
        first, begun = len(self._tokens), len(self._is_users)
        self._tokens += tokens
        self._is_users += self._roles(begun)
        users = [place for place in range(begun, len(self._is_users)) if self._is_users[place]]
        if not users:
            return
        late = [place for place in users if place < first]  # a beginning whose owner is known only now
        with torch.inference_mode():
            if late:
                self._waiting.append(self._parts.spoken_text(self._parts.embedded([self._tokens[at] for at in late])[1][0]))
            places = torch.tensor([place - first for place in users if place >= first], device=embeddings.device)
            speech = torch.tensor([self._tokens[at] == self._parts.audio_id for at in users if at >= first])
            if len(places):
                heard = self._parts.spoken_text(embeddings[places])
                if speech.any():
                    heard[speech] = self._parts.heard_speech(hidden[places][speech])
                self._waiting.append(heard)

    def _roles(self, start: int) -> list[bool]:
        """Whether each position from `start` on is the user's: as far as that can be told."""
        found: list[bool] = []
        for place in range(start, len(self._tokens)):
            if self._tokens[place] == self._parts.im_start_id:
                if place + 1 == len(self._tokens):
                    break
                users = self._tokens[place + 1] == self._parts.user_id
            elif found or self._is_users:
                users = (found or self._is_users)[-1]
            else:
                users = False
            found.append(users)
        return found

    def crop(self, positions: int) -> None:
        """Forget what belongs to the conversation after so many positions."""
        del self._tokens[positions:], self._is_users[positions:]
        left = sum(self._is_users)
        waiting = max(0, left - self._heard)
        self._waiting = [torch.cat(self._waiting)[:waiting]] if waiting and self._waiting else []
        self._heard = min(self._heard, left)
        self.forget_answer()

    def prefill(self) -> None:
        """Take what waits into the cache."""
        if self._waiting:
            self._parts.talk(torch.cat(self._waiting)[None], self._cache)
            self._heard += sum(len(piece) for piece in self._waiting)
            self._waiting.clear()

    def take_waiting(self) -> list[Tensor]:
        """What waits, for an answer that reads it together with its own beginning."""
        waiting, self._waiting = self._waiting, []
        self._heard += sum(len(piece) for piece in waiting)
        return waiting

    def forget_answer(self) -> None:
        """Take away what an answer added to the cache."""
        if self._cache is not None:
            crop(self._cache, self._heard)
