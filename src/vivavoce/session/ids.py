"""Names for things, from a seed: the session draws no random number, so a replay gives the same names."""

from __future__ import annotations

from collections import Counter


class Ids:
    """`ids.new("item")` is `item_SEED0`, then `item_SEED1`. The seed makes them unique between sessions."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count: Counter[str] = Counter()

    def new(self, kind: str) -> str:
        """The next id of this kind, such as `item`, `resp` or `event`."""
        number = self._count[kind]
        self._count[kind] = number + 1
        return f"{kind}_{self._seed}{number}"
