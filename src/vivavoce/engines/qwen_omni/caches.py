"""The KV caches of transformers, cut alike in all releases."""

from __future__ import annotations

from typing import Any

from transformers import DynamicCache


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a decoder of this configuration."""
    return DynamicCache(config=config)


def crop(cache: DynamicCache, positions: int) -> None:
    """Keep the first so many positions.

    `Cache.crop` means "keep so many" up to release 5.17 and "remove so many" from 5.18 on, where a negative number means
    the latter in both. Zero means nothing in either, so a cache that has to be empty is better made anew.
    """
    surplus = int(cache.get_seq_length()) - positions
    if surplus > 0:
        cache.crop(-surplus)
