"""How often a listener had to wait: counted once for each answer whose sound came later than it was played."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

from vivavoce.engines.figures import ENGINE_FIGURES

behind_real_time: Final = Counter(
    "vivavoce_answers_behind_real_time",
    "Spoken answers that were made more slowly than they are heard.",
    registry=ENGINE_FIGURES,
)
