"""The API's voice names, spoken by espeak-ng. `docs/how-to/voices.md` shows the table; tests measure that all differ."""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct

from vivavoce.engines.espeak_library import Prosody
from vivavoce.engines.tone import Tone


class Voice(Struct, frozen=True, kw_only=True):
    """How one of the API's names sounds. The numbers multiply those of the espeak variant."""

    description: str
    variant: str
    """espeak's: timbre, sex and age."""
    kind: Literal["female", "male"]
    """Whose whisper it has."""
    english: str = "en-us"
    """The accent when it speaks English."""
    pitch: float = 1.0
    pitch_range: float = 1.0
    pace: float = 1.0
    volume: float = 1.0


VOICES: Final = {
    "alloy": Voice(description="neutral, between the sexes", variant="Nguyen", kind="female", pitch=1.02),
    "ash": Voice(description="man, clear", variant="m3", kind="male"),
    "ballad": Voice(description="Englishman, unhurried", variant="miguel", kind="male", english="en-gb-x-rp", pace=0.92),
    "coral": Voice(description="woman, bright", variant="f5", kind="female", pitch=1.04, volume=1.15),
    "echo": Voice(description="man, low and firm", variant="m1", kind="male", pitch=0.92, volume=1.1),
    "sage": Voice(description="woman, calm", variant="f4", kind="female", pitch=0.97, pitch_range=0.7, pace=0.95),
    "shimmer": Voice(description="girl, light", variant="f3", kind="female", pitch=1.2, pace=1.05),
    "verse": Voice(description="young man, lively", variant="m7", kind="male", pitch=1.22, pitch_range=1.25, pace=1.05),
    "marin": Voice(description="Englishwoman, warm", variant="f2", kind="female", english="en-gb-x-rp", pitch=0.97),
    "cedar": Voice(description="old man, deep", variant="m8", kind="male", pitch=0.85, pace=0.93, volume=1.3),
}
"""The ten names of the hosted API."""

DEFAULT_VOICE: Final = "alloy"
WORDS_PER_MINUTE: Final = 175
"""At speed 1."""
_SLOWEST, _FASTEST = 25, 600
"""Words per minute that can still be understood, whatever speed and tone come together."""

ESPEAK_NAME: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}(?:\+[A-Za-z][A-Za-z0-9]{0,20})?")
"""What may be handed to espeak as a voice: clients choose the name, and espeak opens files by it."""

_SCRIPTS: Final = (
    ("ja", "\u3041", "\u30ff"),
    ("ko", "\uac00", "\ud7a3"),
    ("cmn", "\u4e00", "\u9fff"),
    ("ru", "\u0410", "\u044f"),
    ("el", "\u0391", "\u03c9"),
    ("ar", "\u0621", "\u064a"),
    ("he", "\u05d0", "\u05ea"),
    ("hi", "\u0905", "\u0939"),
    ("th", "\u0e01", "\u0e2e"),
)
"""The most spoken language of each script, by its first and last letter. Kana before Han: Japanese mixes them."""
_NOT_LATIN: Final = frozenset(
    {
        *(script[0] for script in _SCRIPTS),
        *(
            "zh",
            "yue",
            "hak",
            "uk",
            "bg",
            "be",
            "mk",
            "sr",
            "ba",
            "cv",
            "kk",
            "ky",
            "tt",
            "grc",
            "fa",
            "ur",
            "ug",
            "sd",
            "mr",
            "ne",
        ),
        *("kok", "bn", "as", "gu", "pa", "or", "ta", "te", "kn", "ml", "si", "hy", "ka", "am", "ti", "my", "shn", "chr"),
    }
)


def language_of(text: str, language: str) -> str:
    """`language`, unless most letters of the text are of a script that a Latin-script voice can only spell."""
    if text.isascii() or not _is_latin(language):
        return language
    letters = [character for character in text if character.isalpha()]
    for other, first, last in _SCRIPTS:
        count = sum(first <= letter <= last for letter in letters)
        if count > len(letters) / (5 if other == "ja" else 2):
            return other
    return language


def _is_latin(language: str) -> bool:
    """Whether the language is written in Latin script; a voice for another script can read its own."""
    return language.split("-")[0].split("+")[0].lower() not in _NOT_LATIN


def is_english(language: str) -> bool:
    """Any accent of it."""
    return language.lower().split("+")[0].split("-")[0] == "en"


def prosody_of(voice: Voice, language: str, speed: float, tone: Tone) -> Prosody:
    """What espeak is to do for one of the API's voices, at a session's speed, in a tone."""
    base = voice.english if language in ("en", "en-us") else language
    variant = _WHISPERS[voice.kind] if tone.whisper else voice.variant
    return _toned(Prosody(voice=f"{base}+{variant}"), voice, speed, tone)


def own_prosody(name: str, speed: float, tone: Tone) -> Prosody:
    """The same for a voice by espeak's own name, `fr+f2`."""
    base = name.split("+")[0]
    voice = Voice(description="", variant="", kind="male")
    return _toned(Prosody(voice=f"{base}+whisper" if tone.whisper else name), voice, speed, tone)


_WHISPERS: Final = {"female": "whisperf", "male": "whisper"}
_WHISPER_VOLUME: Final = 0.6


def _toned(prosody: Prosody, voice: Voice, speed: float, tone: Tone) -> Prosody:
    return Prosody(
        voice=prosody.voice,
        words_per_minute=min(_FASTEST, max(_SLOWEST, WORDS_PER_MINUTE * voice.pace * speed * tone.pace)),
        pitch=voice.pitch * tone.pitch,
        pitch_range=voice.pitch_range * tone.pitch_range,
        volume=(_WHISPER_VOLUME if tone.whisper else voice.volume) * tone.volume,
    )


LAUGH: Final = "Ha ha ha ha ha!"
"""What a laugh is made of. espeak has no sound for it; said fast and with much melody, it is heard as one."""


def laughing(prosody: Prosody) -> Prosody:
    """The same voice, laughing."""
    return Prosody(
        voice=prosody.voice,
        words_per_minute=prosody.words_per_minute * 1.3,
        pitch=prosody.pitch * 1.25,
        pitch_range=prosody.pitch_range * 1.8,
        volume=prosody.volume,
    )
