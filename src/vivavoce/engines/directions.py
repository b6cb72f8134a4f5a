"""Reads directions for the voice in instructions written as prose.

A sentence at a time. In each, a manner counts where its words stand in one of these places:

    speak | talk | say …   + adverb            "Speak slowly and calmly"
    adjective              + voice | tone …    "a deep, friendly voice"
    be | you are | sound … + mood              "You are an excited host"
    Tone: | Pace: …        + any of them       "Voice: calm, deep"
    its own phrases                            "fast-talking"

Then it is weighed: "very" and "slightly" change the degree, a negation takes it away ("not so fast" turns it round), and
a sentence that speaks of a condition, an ability or an example sets nothing. Pure; some microseconds for each sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from msgspec import Struct

from vivavoce.engines.manners import MANNERS, Manner


class Directions(Struct, frozen=True):
    """What instructions say about the voice."""

    manners: tuple[tuple[Manner, float], ...] = ()
    """Each with its degree: 1.5 very, 1.0, 0.5 slightly, -0.5 "not so"."""
    prose: str = ""
    """The sentences about the voice as they were written, `PROSE_CHARACTERS` at most."""


PROSE_CHARACTERS: Final = 1_000

_DEGREE: Final = (
    r"(?:very|really|extremely|super|incredibly|so|too|as|slightly|somewhat|a bit|a little(?: bit)?|a touch|quite|rather"
    r"|fairly|pretty|more|much|even|always|also|just|overly|highly|truly|super-|less)"
)
_SPEAK: Final = r"\b(?:speak|talk|say|sound|read|narrate|deliver|present|whisper)\w*"
_ANSWER: Final = r"(?:" + _SPEAK + r"|\b(?:answer|respond|reply|greet|communicate|explain|tell)\w*)"
_GAP: Final = r"(?:[ ,]+(?!about\b|how\b|that\b|what\b|why\b|whether\b|who\b|which\b)[\w'’-]+){0,6}?[ ,]+"
_NEAR: Final = r"(?: (?:to|with) (?:me|us|him|her|them|users?|(?:the|your|my) \w+)| everything| this| it| that)?"
_BE: Final = r"\b(?:be|you(?: are|'re|’re| should be| must be| will be)|act|sound|stay|remain|seem|keep it|appear|as)"
_LIST: Final = r"(?:(?:, (?:and |but )?| and | but |,? yet |/)" + rf"(?:{_DEGREE} )?" + r"[\w-]+){0,4}"
_KNOWN: Final = (
    r"(?:male|female|man's|woman's|masculine|feminine|warm|friendly|kind|low|rich|clear|natural|human|steady|measured|british"
    r"|american|speaking|overall|old|young|little|own|"
    + "|".join(manner.adjectives for manner in MANNERS if manner.adjectives)
    + r")"
)
_NOUN: Final = (
    r"(?:voice|tone|pace|pacing|speech|manner|delivery|speaking|style|speed|tempo|register|pitch|cadence|rhythm|volume|way|mood"
    r"|talker|speaker|attitude|energy|demeanou?r|intonation|inflection|fashion)\b"
)
_LABEL: Final = (
    r"^\W*(?:[\w-]+[ /]){0,2}(?:voice|tone|pace|pacing|pitch|delivery|emotion|mood|style|speed|volume|affect|cadence|speech)"
    r"(?: [\w-]+)?\W{0,3}:.*?\b"
)

_FULL_STOP: Final = re.compile(r"(?<=[.!?;])\s+|\n+")
_QUOTED: Final = re.compile(r"[\"“”«»]([^\"“”«»\n]* [^\"“”«»\n]*)[\"“”«»]")
_TURN: Final = re.compile(
    r"[,;:—–]\s*(?=(?:please |then |and |but )?(?:speak|talk|use|be|say|sound|just|instead|rather|keep)\b"
    r"|(?:whisper|shout)\b(?!.* or ))|\bbut\b|—| – "
)
_NOT: Final = re.compile(
    r"(?:\b(?:not|never|no|without|avoid|dont|cannot|stop|less|rather than|instead of|refrain|neither|nor|quit)\b|n['’]t\b)"
    r"(?! (?:only|just|forget|hesitate|fail|be afraid|be shy))",
    re.IGNORECASE,
)
_MORE: Final = re.compile(
    r"(?:very|really|extremely|super|incredibly|much|highly|truly|super-)[ -]?(?:more )?$", re.IGNORECASE
)
_LESS: Final = re.compile(r"(?:slightly|somewhat|a bit|a little(?: bit)?|a touch|fairly)(?: more)? $", re.IGNORECASE)
_OPPOSITE: Final = re.compile(r"(?:so|too|as|less|that|overly)(?: \w+)? $", re.IGNORECASE)
_CONDITION: Final = re.compile(
    r"\b(?:if|when|whenever|unless|in case|for example|e\.g\.|such as|sometimes|occasionally|may|might|can|could|able"
    r"|ability|feel free|optional(?:ly)?|where appropriate|as needed|as appropriate|tags?)\b",
    re.IGNORECASE,
)
_NO_CONDITION: Final = re.compile(
    r"\b(?:(?:can|could) you\b|as if\b|when(?:ever)? (?:you(?:'re| are)? )?(?:speak|talk|respond|answer|reply)\w*|may i\b"
    r"|if (?:possible|you please)\b|as \w+ as (?:you can|possible))",
    re.IGNORECASE,
)
_VOICE_STEMS: Final = (
    *("speak", "spoken", "talk", "voice", "tone", "accent", "whisper", "sound", "pronounc", "intonation", "pace", "pacing"),
    *("pitch", "cadence", "delivery", "emotion", "laugh", "giggl", "chuckl"),
)
_STEMS: Final = (*_VOICE_STEMS, *(stem for manner in MANNERS for stem in manner.stems))
_ABOUT_VOICE: Final = re.compile(rf"\b(?:{'|'.join(_VOICE_STEMS)})", re.IGNORECASE)
_NO_VOICE: Final = re.compile(r"\bvoice (?:assistant|agent|bot|mode|calls?|chat|interface|ai|app)\b", re.IGNORECASE)


def _pattern(manner: Manner) -> re.Pattern[str] | None:
    """One expression for a manner; the words that ask for it are in the group that matched."""
    places: list[str] = []
    everything = "|".join(part for part in (manner.adverbs, manner.adjectives, manner.moods) if part)
    if manner.adverbs:
        # A quick answer is not a quick voice, and "fast" is more than an adverb: the two rows of pace want to stand near.
        near = manner.name in ("slow", "fast", "loud", "soft", "deep")
        verb = _SPEAK + _NEAR + rf"(?:,? (?:{_DEGREE} )*[\w-]+ and)?" + " " if near else _ANSWER + _GAP
        places.append(rf"{verb}(?:{_DEGREE} )*(?P<adverb>{manner.adverbs})\b")
    if manner.adjectives:
        places.append(rf"\b(?P<adjective>{manner.adjectives}){_LIST}(?: {_KNOWN}){{0,3}}[ -]{_NOUN}")
    if manner.moods:
        before = rf"(?: an?| the)?(?: {_DEGREE})*(?: [\w-]+,(?: and)?| [\w-]+ and| {_KNOWN}){{0,3}} "
        places.append(rf"{_BE}{before}(?P<mood>{manner.moods})\b")
    if everything:
        places.append(rf"{_LABEL}(?P<label>{everything})\b")
    if manner.phrases:
        places.append(rf"(?P<phrase>{manner.phrases})")
    return re.compile("|".join(places), re.IGNORECASE) if places else None


@cache
def patterns() -> tuple[tuple[Manner, re.Pattern[str]], ...]:
    """The expression of each manner that has one. The first call takes 50 ms: `Cascade.start` makes it, in a thread."""
    return tuple((manner, pattern) for manner in MANNERS if (pattern := _pattern(manner)))


def read_directions(instructions: str) -> Directions:
    """Find the manners and the sentences about the voice."""
    found: dict[str, tuple[Manner, float]] = {}
    prose: list[str] = []
    for line in _FULL_STOP.split(instructions):
        sentence = line.strip(" \t*-•")
        small = sentence.lower()
        if sentence.startswith("#") or not any(stem in small for stem in _STEMS):
            continue
        unconditional = _unconditional(_QUOTED.sub(" ", sentence).replace("*", "").strip())
        here = list(_manners(unconditional))
        found.update((manner.name, (manner, degree)) for manner, degree in here if degree)
        if here or (_ABOUT_VOICE.search(unconditional) and not _NO_VOICE.search(unconditional)):
            prose.append(sentence)
    return Directions(tuple(found.values()), _clip(prose))


def _unconditional(sentence: str) -> str:
    """The sentence up to its condition: all of it, the part before a comma, or nothing."""
    plain = _NO_CONDITION.sub(lambda match: "_" * len(match[0]), sentence)
    condition = _CONDITION.search(plain)
    if condition is None:
        return sentence
    comma = max(plain.rfind(mark, 0, condition.start()) for mark in (",", " and ", "—", ":"))
    return sentence[:comma] if comma > 0 else ""


def _manners(sentence: str) -> Iterator[tuple[Manner, float]]:
    """The manners named in a sentence, in the table's order. Degree 0 where it says not to."""
    start = 0
    for turn in (*_TURN.finditer(sentence), None):
        clause = sentence[start : turn.start() if turn else len(sentence)].strip()
        start = turn.end() if turn else start
        small = clause.lower()
        for manner, pattern in patterns():
            if any(stem in small for stem in manner.stems) and (match := pattern.search(clause)):
                group = match.lastgroup or 0
                yield manner, _degree(clause, match.start(group), match[group])


def _degree(clause: str, start: int, words: str) -> float:
    """How much: by the words before those that ask for the manner, and by its own first words ("n't whisper")."""
    before = clause[:start]
    negation = None
    for negation in _NOT.finditer(clause[: start + len(words)]):
        imperative = not re.search(r"\w+\W+\w+\W+\w+", clause[: negation.start()])
        if imperative or "," not in clause[negation.end() : start]:
            break
        negation = None
    if negation:
        return -0.5 if _OPPOSITE.search(before) else 0.0
    if _MORE.search(before):
        return 1.5
    return 0.5 if _LESS.search(before) else 1.0


def _clip(sentences: list[str]) -> str:
    """As many whole sentences as `PROSE_CHARACTERS` hold."""
    prose = ""
    for sentence in sentences:
        if len(prose) + len(sentence) >= PROSE_CHARACTERS:
            break
        prose = f"{prose} {sentence}".strip()
    return prose
