"""How loud it is."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from vivavoce.audio import Samples

SILENCE_DB: Final = -96.0
"""What digital silence counts as: the quietest that 16 bits can say."""
QUIET_DB: Final = -60.0
"""Where the bar begins."""
_BLOCKS: Final = "▏▎▍▌▋▊▉█"


def level_db(samples: Samples) -> float:
    """The loudness of some samples in dB below full scale: 0 is a full square wave, `SILENCE_DB` is nothing."""
    power = float((samples.astype(np.float64) ** 2).mean()) if samples.size else 0.0
    return max(SILENCE_DB, 10 * math.log10(power / 2**30)) if power else SILENCE_DB


def bar(db: float, columns: int) -> str:
    """A bar of so many columns, from `QUIET_DB` on the left to full scale on the right."""
    filled = min(max((db - QUIET_DB) / -QUIET_DB, 0.0), 1.0) * columns
    whole = int(filled)
    part = int((filled - whole) * len(_BLOCKS))
    return ("█" * whole + (_BLOCKS[part - 1] if part else "")).ljust(columns)
