"""Pocket TTS's voices: which of them answer to the API's names."""

from __future__ import annotations

from typing import Final

API_VOICES: Final = {
    "alloy": "jane",
    "ash": "michael",
    "ballad": "charles",
    "cedar": "bill_boerst",
    "coral": "eve",
    "echo": "george",
    "fable": "paul",
    "marin": "vera",
    "nova": "azelma",
    "onyx": "peter_yearsley",
    "sage": "mary",
    "shimmer": "fantine",
    "verse": "marius",
}
"""The hosted API's names: people of the sex and the accent that the names have in `espeak_voices`, all under licences that
allow any use (CC-BY-4.0: VCTK; CC0: Voice-Zero and the voice donations)."""

DEFAULT_VOICE: Final = "alba"
"""The one that Pocket TTS itself takes where none is named."""
