"""Greetings, questions about the assistant itself, jokes and stories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vivavoce.engines.offline import memory
from vivavoce.engines.offline.comparisons import decide
from vivavoce.engines.offline.phrases import JOKES, SECRETS, STORIES
from vivavoce.engines.offline.situation import ABILITIES, WHO, Rule, Situation, rule
from vivavoce.engines.offline.words import name_words

MAX_TOOLS_NAMED: Final = 6

_WHISPERED = re.compile(r"^.*?\bwhisper(?:s|ing)?\b(?: (?:to me|me|the words?))*\W*", re.IGNORECASE | re.DOTALL)
CANCELLED: Final = re.compile(
    r"^(?:no |oh |ok |please )*(?:never ?mind|cancel(?: that| it)?|forget it|stop(?: it)?|nothing)$"
)
"""How a question of ours is waved aside."""


def introduction(situation: Situation) -> str:
    """Who is speaking. A name from the instructions is used, and the truth told all the same."""
    if situation.orders.name:
        return f"I am {situation.orders.name}: {WHO}, a small set of rules."
    return f"I am {WHO}, a small set of rules."


def abilities(situation: Situation) -> str:
    """What can be asked for, the tools included."""
    if not situation.tools:
        return f"{ABILITIES}."
    named = [" ".join(name_words(name)) or name for name in situation.tools[:MAX_TOOLS_NAMED]]
    more = len(situation.tools) - len(named)
    tools = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    return f"{ABILITIES}. And I can call these tools: {tools}."


def _greet(situation: Situation, match: re.Match[str]) -> str | None:
    if len(situation.said.split()) > 6:
        return None
    hour = re.search(r"\bgood (?:morning|afternoon|evening)\b", situation.said)
    greeting = hour.group().capitalize() if hour else "Hello"
    name = memory.name_of_user(situation.earlier, situation.background)
    greeting = f"{greeting}, {name}!" if name else f"{greeting}!"
    if any(turn.role == "assistant" and turn.text for turn in situation.earlier):
        return greeting
    return f"{greeting} {introduction(situation)} How can I help?"


def _goodbye(situation: Situation, match: re.Match[str]) -> str:
    name = memory.name_of_user(situation.earlier, situation.background)
    return f"Goodbye, {name}." if name else "Goodbye."


def _introduce(situation: Situation, match: re.Match[str]) -> str:
    return f"{introduction(situation)} {ABILITIES}."


def _list_abilities(situation: Situation, match: re.Match[str]) -> str:
    return abilities(situation)


def _next(situation: Situation, texts: Sequence[str]) -> str:
    """The first that was not told yet; then from the beginning again."""
    return next((text for text in texts if not situation.told_before(text)), texts[0])


def _joke(situation: Situation, match: re.Match[str]) -> str:
    joke = _next(situation, JOKES)
    return f"<laugh> {joke}" if re.search(r"\blaugh(?:ing)? (?:and|while)\b|\bwith a laugh\b", situation.said) else joke


def _story(situation: Situation, match: re.Match[str]) -> str:
    return _next(situation, STORIES)


def _decide(situation: Situation, match: re.Match[str]) -> str | None:
    """A question that can be decided; most cannot."""
    is_so = decide(situation)
    return None if is_so is None else "Yes." if is_so else "No."


def _whisper(situation: Situation, match: re.Match[str]) -> str:
    """ "Whisper a secret", "whisper good night"."""
    what = _WHISPERED.sub("", situation.text).strip()
    if not what or re.search(r"\bsecrets?\b|\bsomething\b", what, re.IGNORECASE):
        what = _next(situation, SECRETS)
    return f"<whisper>{what.rstrip('.')}.</whisper>"


_PLEASE: Final = r"^(?:please |can you |could you |now |so |ok |okay |well |oh |no )*"

SMALL_TALK: Final[tuple[Rule, ...]] = (
    rule(_whisper, rf"{_PLEASE}whisper\b"),
    rule("<laugh> That was a good one.", rf"{_PLEASE}laugh\b(?! and)"),
    rule(_joke, r"\bjokes?\b", r"\bmake me laugh\b", r"\bsomething funny\b"),
    rule(_story, r"\b(?:story|stories|tale)\b"),
    rule(
        _introduce,
        r"\b(?:who|what) are you\b",
        r"\b(?:introduce|about) yourself\b",
        r"\byour name\b",
        r"\bwho am i (?:talking|speaking) (?:to|with)\b",
        r"\bwho is (?:this|there)\b",
        r"\bwho (?:made|built|created|wrote) you\b",
        r"\b(?:which|what) model\b",
        r"\bare you (?:a |an |really |chat )*"
        r"(?:human|robot|bot|person|real|ai|machine|computer|gpt|chatgpt|assistant|alive)\b",
    ),
    rule(
        _list_abilities,
        r"\bwhat (?:can|do|could) you do\b",
        r"\b(?:how )?can you help\b",
        r"\bwhat can i (?:ask|say|do)\b",
        r"^(?:please )?help(?: me)?(?: please)?$",
        r"\b(?:which|what) tools\b",
    ),
    rule(
        "I am a set of rules, so I am always the same. And you?",
        r"\bhow are you\b",
        r"\bhow do you (?:do|feel)\b",
        r"\bhow is it going\b",
        r"\bwhat is up\b",
    ),
    rule(
        "Yes, I hear you.",
        r"\b(?:can|do|did) you (?:still )?hear me\b",
        r"\b(?:anyone|anybody|are you|you) (?:there|listening)\b",
        r"^test(?:ing)?\b",
    ),
    rule(
        _greet,
        rf"{_PLEASE}(?:hello|hi|hey|howdy|greetings|hallo|good (?:morning|afternoon|evening)|say hello|nice to meet you)\b",
    ),
    rule(_decide, r"^(?:is|are|does) "),
    rule(_goodbye, r"\b(?:goodbye|good bye|bye|see you|good night|farewell)\b"),
    rule("You are welcome.", r"\b(?:thanks|thank)\b"),
    rule("No problem.", r"^(?:i am |so )*sorry\b"),
    rule(
        "All right.",
        rf"{_PLEASE}(?:stop|wait|quiet|silence|be quiet|shut up|never ?mind|cancel|forget it|hold on|enough)\b",
        rf"{_PLEASE}(?:that is all|do not)\b",
        rf"{_PLEASE}"
        r"(?:ok|okay|yes|yeah|yep|sure|right|fine|good|great|nice|cool|no|nope|exactly|correct|perfect|i see|all right)"
        r"(?: (?:ok|okay|thanks|good|great|then|please|it is|that is \w+))*$",
    ),
)
"""In this order."""
