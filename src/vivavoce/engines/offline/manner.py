"""How the user wants something said: "tell me a joke in a whisper", "say that again, slower"."""

from __future__ import annotations

import re
from typing import Final

_TAGS: Final = {
    "whisper": r"in a whisper|(?:while )?whispering",
    "slow": r"slowly|slower",
    "fast": r"quickly|faster",
    "loud": r"loudly|louder|in a loud voice",
    "soft": r"softly|softer|quietly|in a soft voice",
    "deep": r"in a deep(?:er)? voice",
    "high": r"in a high(?:er)?(?:-pitched)? voice",
    "excited": r"excitedly|in an excited (?:voice|tone)",
    "happy": r"happily|cheerfully|in a (?:happy|cheerful) (?:voice|tone)",
    "calm": r"calmly|in a calm (?:voice|tone)",
    "sad": r"sadly|in a sad (?:voice|tone)",
    "angry": r"angrily|in an angry (?:voice|tone)",
}
"""The tags that synthesizers follow, and the words that ask for them."""

_PATTERNS: Final = {
    tag: re.compile(rf"[ ,]{{0,3}}\b(?:(?:more|very|a bit) )?(?:{words})\b", re.IGNORECASE) for tag, words in _TAGS.items()
}
_SPEAKING = re.compile(r"\b(?:say|tell|speak|talk|repeat|answer|count|spell|read|recite)\b", re.IGNORECASE)
_ONLY_SPEAK = re.compile(
    r"^(?:please |can you |could you |now )*(?:speak|talk|say it|answer|tell me)(?: again| please)*$", re.IGNORECASE
)

_TAG = re.compile(rf"</?(?:{'|'.join(_TAGS)}|laugh)> ?")

AGAIN: Final = "repeat that"
"""What "speak louder" comes to, the manner aside."""


def apart_from_manner(text: str) -> tuple[str, str]:
    """The request without the words for its manner, and the tag for that manner; empty: none was asked for."""
    if _SPEAKING.search(text):
        for tag, pattern in _PATTERNS.items():
            if found := pattern.search(text):
                rest = (text[: found.start()] + text[found.end() :]).strip(" ,.!?")
                return (AGAIN if _ONLY_SPEAK.match(rest) else rest), tag
    return text, ""


def in_manner(text: str, tag: str) -> str:
    """The answer between the tags."""
    return f"<{tag}>{text}</{tag}>" if tag else text


def without_tags(text: str) -> str:
    """The words alone."""
    return _TAG.sub("", text).strip()
