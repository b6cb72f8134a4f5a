"""Kokoro's voices: whose language a name tells, and which of them answer to the API's names."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "p": "pt-br"}
"""espeak-ng's language for the first letter of a voice's name. Japanese (`j`) and Mandarin (`z`) are left out: those voices
were trained on phonemes that espeak-ng does not write."""

API_VOICES: Final = {
    "alloy": "af_alloy",
    "ash": "am_michael",
    "ballad": "bm_george",
    "cedar": "am_fenrir",
    "coral": "af_bella",
    "echo": "am_echo",
    "fable": "bm_fable",
    "marin": "af_heart",
    "nova": "af_nova",
    "onyx": "am_onyx",
    "sage": "af_sarah",
    "shimmer": "af_sky",
    "verse": "am_puck",
}
"""The hosted API's names. Where Kokoro has a voice of that name it is taken; the others are of the sex and the accent
that the names have in `espeak_voices`."""

DEFAULT_VOICE: Final = "af_heart"
"""The one with the best grade in the model's list of voices."""


def language_of(voice: str) -> str | None:
    """espeak-ng's name for what a voice speaks; `None` for a voice whose language cannot be phonemized here."""
    return LANGUAGES.get(voice[:1]) if voice[2:3] == "_" else None
