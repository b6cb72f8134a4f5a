"""How much of `max_output_tokens` is left."""

from __future__ import annotations

from typing import Final

from vivavoce.audio import PCM_SAMPLE_BYTES, ms_to_samples

# The hosted API's rules: an audio token is 50 ms of speech, a text token about four characters. All is counted in
# samples at 24,000 Hz, in which both are whole numbers.
SAMPLES_PER_TOKEN: Final = ms_to_samples(50)
SAMPLES_PER_CHARACTER: Final = SAMPLES_PER_TOKEN // 4


class Budget:
    """Cuts what a response says to its limit. Text and audio share one limit; `None` is no limit."""

    def __init__(self, tokens: int | None) -> None:
        self._left_samples = None if tokens is None else tokens * SAMPLES_PER_TOKEN
        self.exceeded = False
        """Something did not fit: the response is over."""

    def text(self, text: str) -> str:
        """The part of `text` that fits."""
        return text[: self._take(len(text), SAMPLES_PER_CHARACTER)]

    def audio(self, pcm: bytes) -> bytes:
        """The part of PCM16 audio that fits, whole samples. Half a sample at the end is dropped."""
        return pcm[: self._take(len(pcm) // PCM_SAMPLE_BYTES, 1) * PCM_SAMPLE_BYTES]

    def _take(self, wanted: int, price_samples: int) -> int:
        """Pay for as many of `wanted` as there is money for."""
        if self._left_samples is None:
            return wanted
        taken = min(wanted, self._left_samples // price_samples)
        self._left_samples -= taken * price_samples
        self.exceeded = self.exceeded or taken < wanted
        return taken
