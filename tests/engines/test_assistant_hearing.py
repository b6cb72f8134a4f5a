"""The assistant behind a weak recogniser: up to half of the words are wrong, and what it does must still make sense."""

import json
import random

import pytest

from tests.engines.assistant_dialogues import NOW, tools
from vivavoce.engine_api import Generate
from vivavoce.engines.offline.answers import Answer, answer
from vivavoce.protocol.objects import InputAudioPart, Message

NAMES = ("get_weather", "move", "draw_card", "set_timer", "switch_lights", "book_table")
SPOKEN = {
    "what is the weather in paris": ("get_weather", {"location": "Paris"}),
    "will it rain in new york tomorrow": ("get_weather", {"location": "New York"}),
    "go forward ten meters": ("move", {"direction": "forward", "distance_meters": 10}),
    "turn left two meters": ("move", {"direction": "left", "distance_meters": 2}),
    "draw the ten of clubs": ("draw_card", {"rank": "ten", "suit": "clubs"}),
    "set a timer for five minutes": ("set_timer", {"seconds": 300}),
    "turn on the lights in the kitchen": ("switch_lights", {"on": True, "room": "Kitchen"}),
    "book a table for four people tomorrow at seven": ("book_table", {"people": 4, "date": "2026-11-23", "time": "07:00"}),
}
SLIPS = (
    *("the", "a", "and", "it", "in", "of", "to", "well", "is", "that", "you", "we", "they", "one", "will", "was", "for"),
    *("on", "why", "not", "so", "oh", "do", "what", "are", "hundred", "his", "him", "would", "all", "read"),
)
"""What pocketsphinx likes to hear where it hears nothing."""


def hear(text: str) -> Answer:
    spoken = Message(role="user", content=(InputAudioPart(b"", text),))
    return answer(Generate(response_id="r", items=(spoken,), tools=tuple(tools()[name] for name in NAMES)), NOW)


def misheard(text: str, error_rate: float, dice: random.Random) -> str:
    words = []
    for word in text.split():
        if dice.random() >= error_rate:
            words.append(word)
            continue
        slip = dice.random()
        words += [dice.choice(SLIPS)] if slip < 0.6 else [] if slip < 0.8 else [word, dice.choice(SLIPS)]
    return " ".join(words)


@pytest.mark.parametrize(
    ("error_rate", "right", "wrong"), [(0.0, 1.0, 0.0), (0.1, 0.7, 0.07), (0.25, 0.45, 0.09), (0.5, 0.18, 0.09)]
)
def test_calls_with_word_errors(error_rate: float, right: float, wrong: float) -> None:
    """`right` of the turns lead to the very call, at most `wrong` to one with other arguments; no turn to another tool."""
    dice = random.Random(20261122)
    turns = [(misheard(text, error_rate, dice), *expected) for text, expected in SPOKEN.items() for _ in range(50)]
    calls = [(text, hear(text).calls, name, arguments) for text, name, arguments in turns]
    assert [text for text, called, name, _ in calls if called and called[0].name != name] == []
    correct = sum(bool(called) and json.loads(called[0].arguments) == arguments for _, called, _, arguments in calls)
    made = sum(bool(called) for _, called, _, _ in calls)
    assert correct >= right * len(turns)
    assert made - correct <= wrong * len(turns)


def test_noise_calls_nothing() -> None:
    dice = random.Random(20261122)
    noises = [" ".join(dice.choices(SLIPS, k=dice.randint(1, 8))) for _ in range(500)]
    assert [noise for noise in noises if hear(noise).calls] == []


@pytest.mark.parametrize(
    "text",
    # As pocketsphinx heard a synthetic voice: beyond repair, but nothing to act on.
    ["well it beats the person lady", "go forward and leaders", "they say that", "the law that will", "oh like the iron"],
)
def test_what_was_misheard_beyond_repair(text: str) -> None:
    found = hear(text)
    assert not found.calls
    assert found.text
