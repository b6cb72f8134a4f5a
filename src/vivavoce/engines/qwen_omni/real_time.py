"""How often a listener had to wait: counted once for each answer whose sound came later than it was played."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

REGISTRY: Final = CollectorRegistry()
"""What engines count. `/metrics` shows it beside the server's own figures."""

behind_real_time: Final = Counter(
    "vivavoce_answers_behind_real_time",
    "Spoken answers that were made more slowly than they were heard.",
    registry=REGISTRY,
)
