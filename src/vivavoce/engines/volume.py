"""Float samples → PCM16, louder or softer without breaking. Pure."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_KNEE: Final = 0.8
"""Of full scale. Where a voice is raised, what lies above is bent rather than clipped, so that it does not crackle."""


def to_pcm16(samples: NDArray[Any], gain: float = 1.0) -> NDArray[np.int16]:
    """Samples in -1…1, times `gain`, as 16-bit integers."""
    scaled = np.asarray(samples, np.float32) * np.float32(gain)
    if gain > 1:
        over = np.maximum(np.abs(scaled) - _KNEE, 0)
        bent = _KNEE + (1 - _KNEE) * np.tanh(over / (1 - _KNEE))
        scaled = np.where(over > 0, np.copysign(bent, scaled), scaled)
    pcm: NDArray[np.int16] = np.round(np.clip(scaled, -1, 1) * 32_767).astype(np.int16)
    return pcm
