"""What the server's engine says in these conversations, and how much of it a listener has heard by when."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ
from vivavoce.engines.sine_voice import say

GREETING: Final = "Hello, this is Vivavoce."
SPOKEN: Final = "Go forward ten meters."
"""What the engine takes a session's first recording to say; most are `goforward.wav`, in which a man says just that."""
QUESTION: Final = "What did I hear?"
"""What it takes every second recording to say."""
MOVING: Final = "Going forward ten meters."
STORY: Final = (
    "Once upon a time there was a lighthouse keeper who talked to every ship that passed, in any weather, at any hour, "
    "and one night in a storm a very small ship answered her and said that it had been listening for many years."
)
BILLING: Final = "Billing here, what can I do for you?"

SCRIPT: Final[dict[str, Any]] = {
    "turns": [
        {"when": "^hello", "say": GREETING},
        # A model needs a moment: the transcript comes first. Pipecat keeps a later one for the next turn.
        {"when": "forward", "after_ms": 150, "say": MOVING},
        {"when": "weather", "call": "get_weather", "arguments": {"city": "Oslo", "unit": "celsius"}},
        {"when_output": "degrees", "say": "The weather report says: {said}"},
        {"when": "billing", "call": "transfer_to_billing", "arguments": {}},
        {"when_output": "billing", "say": BILLING},
        {"when": "story", "say": STORY, "pace": 4},
        {"when": "secret", "say": f"The password is swordfish. {STORY}", "pace": 4},
        {"when": "what did i hear", "say": "You heard: {so_far}"},
        {"when": "fail", "fail": "upstream_timeout", "message": "The model did not answer."},
        {"say": "You said: {said}"},
    ],
    "transcripts": [SPOKEN, QUESTION],
}

REPORT: Final = "The weather report says: 21 degrees in Oslo"
TOOL_OUTPUT: Final = "21 degrees in Oslo"


def heard(text: str, audio_ms: float) -> str:
    """The words of `text` whose sound ends within the first `audio_ms`."""
    words = list(say(text))
    ends = accumulate(len(word.pcm) // PCM_SAMPLE_BYTES for word in words)
    whole = [word.text for word, end in zip(words, ends, strict=True) if end <= audio_ms / 1000 * SAMPLE_HZ]
    return "".join(whole).rstrip()


def sound(text: str, voice: str = "alloy") -> bytes:
    """`text` as the engine speaks it: PCM16 at 24,000 Hz."""
    return b"".join(word.pcm for word in say(text, voice))
