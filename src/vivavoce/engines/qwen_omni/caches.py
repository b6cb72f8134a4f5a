"""The KV caches of transformers, cut alike in all releases."""

from __future__ import annotations

from transformers import Cache


def crop(cache: Cache, positions: int) -> None:
    """Keep the first so many positions.

    `Cache.crop` means "keep so many" up to release 5.17 and "remove so many" from 5.18 on, where a negative number means
    the latter in both. Zero means nothing in either, so a cache that has to be empty is better made anew.
    """
    surplus = int(cache.get_seq_length()) - positions
    if surplus > 0:
        cache.crop(-surplus)
