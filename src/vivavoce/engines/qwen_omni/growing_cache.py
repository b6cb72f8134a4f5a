"""A KV cache that does not copy a conversation at each step.

The `DynamicCache` of transformers joins old and new keys into a new tensor for each token and layer: after ten minutes of
speech that is a gigabyte a step, and as much for the allocator to find. Here a layer's keys stand in a tensor with room
behind them; what is added is written there, and what the model sees is a view. Room grows by half when it is used up, so a
token costs the same at the end of a conversation as at its beginning.
"""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

LEAST_POSITIONS: Final = 512
GROWTH: Final = 1.5


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values, [batch, heads, positions, head size] each. Cropping leaves the room where it is."""

    _room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Add positions; all there are."""
        known = int(self.get_seq_length())
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = known + key_states.shape[-2]
        keys, values = self._with_room(key_states, value_states, known, end)
        keys[..., known:end, :] = key_states
        values[..., known:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _with_room(self, key_states: Tensor, value_states: Tensor, known: int, end: int) -> tuple[Tensor, Tensor]:
        """Tensors with room for `end` positions, that hold the first `known`."""
        if self._room is not None and self._room[0].shape[-2] >= end:
            return self._room
        positions = max(LEAST_POSITIONS, end, int(known * GROWTH))
        keys, values = (like.new_empty((*like.shape[:-2], positions, like.shape[-1])) for like in (key_states, value_states))
        for room, held in ((keys, self.keys), (values, self.values)):
            if known and held is not None:
                room[..., :known, :] = held
        self._room = keys, values
        return self._room


def growing_cache() -> Cache:
    """An empty cache for any decoder without sliding windows."""
    return Cache(layer_class_to_replicate=GrowingLayer)
