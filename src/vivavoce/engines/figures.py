"""What engines count, for `/metrics`: the server shows it beside its own figures.

An engine makes its counters in this registry when it is imported; one that is not used shows nothing.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

ENGINE_FIGURES: Final = CollectorRegistry()
