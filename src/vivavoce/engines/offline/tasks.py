"""Things to do on request: say, repeat, remember, calculate, tell the time, count, spell."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from msgspec import Struct

from vivavoce.engines.offline import arithmetic, memory
from vivavoce.engines.offline.dates import MONTHS, find_date, say_date, say_time
from vivavoce.engines.offline.manner import without_tags
from vivavoce.engines.offline.numbers import find_numbers, in_words
from vivavoce.engines.offline.phrases import LANGUAGES
from vivavoce.engines.offline.situation import Rule, Situation, rule
from vivavoce.engines.offline.words import split

MAX_COUNT: Final = 100
MAX_SPELLED: Final = 40

_SAY = re.compile(
    r"^(?:please |now |then |ok |okay |can you |could you |would you |will you )*"
    r"(?:say|repeat after me|repeat the (?:words?|sentence|phrase)|repeat(?= exactly)|"
    r"(?:reply|respond|answer)(?: only| just)*(?: with|(?= exactly\b)|(?=:)))"
    r"(?: back| only| just)*(?P<exactly>(?: exactly| precisely| verbatim)?)(?: back to me| to me)?"
    r"(?: the)?(?: (?:exact|single|following|words?|phrase|sentence))*\s*[:,]?\s+(?P<what>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_NOT_TO_SAY = re.compile(r"^(?:that|it|this|something|anything|what|nothing|my|your|again|so)\b", re.IGNORECASE)
_WRAPPED = re.compile(
    r"^[\"“‘'](?P<inner>[^\"“”]*)[\"”’'](?:[ ,]*(?:and nothing else|and nothing more|only|please))?[.!?]*$", re.DOTALL
)

_LANGUAGE: Final = "|".join(LANGUAGES)
_IN_LANGUAGE = re.compile(rf"\bin (?:{_LANGUAGE})\W*$", re.IGNORECASE)
_PHRASE: Final = {
    "hello": "hello", "hi": "hello", "hey": "hello", "goodbye": "goodbye", "bye": "goodbye", "good bye": "goodbye",
    "thank you": "thank you", "thanks": "thank you",
}  # fmt: skip


class Literal(Struct, frozen=True):
    """Words to be said as they are."""

    text: str
    exactly: bool
    """Letter for letter, whatever they may seem to mean."""


def literal_words(text: str, plain: str) -> Literal | None:
    """ "Say exactly: X" gives X, without quotes around it; "say X" too, but for a manner that X ends with.

    `plain` is the text without the words for its manner. None: nothing of that kind was asked.
    """
    match = _SAY.match(text.strip())
    if match is None:
        return None
    if exactly := bool(match["exactly"].strip()):
        return Literal(_unwrapped(match["what"]), exactly)
    match = _SAY.match(plain.strip())
    what = _unwrapped(match["what"]) if match else ""
    if not what or _NOT_TO_SAY.match(what) or _IN_LANGUAGE.search(what):
        return None
    return Literal(what, exactly)


def _unwrapped(what: str) -> str:
    """Without the quotes around all of it."""
    wrapped = _WRAPPED.match(what.strip())
    return (wrapped["inner"] if wrapped else what).strip()


def _say_in(situation: Situation, match: re.Match[str]) -> str:
    phrase = _PHRASE.get(match["phrase"].strip())
    if phrase is None:
        return _few_words(situation, match)
    return LANGUAGES[match["language"]][phrase]


def _few_words(situation: Situation, match: re.Match[str]) -> str:
    if match["language"] == "english":
        return "Yes, and little else."
    return f"I only know hello, goodbye and thank you in {match['language'].capitalize()}."


def _repeat(situation: Situation, match: re.Match[str]) -> str:
    """The last words of ours that were heard, without the tags for their manner."""
    spoken = [turn.text for turn in situation.earlier if turn.role == "assistant" and turn.text]
    return without_tags(spoken[-1]) if spoken else "I have not said anything yet."


def _repeat_user(situation: Situation, match: re.Match[str]) -> str:
    said = [turn.text for turn in situation.earlier if turn.role == "user" and turn.text]
    return f'You said: "{said[-1]}".' if said else "You have not said anything before that."


def _recall(situation: Situation, match: re.Match[str]) -> str | None:
    return memory.recall(match, situation.earlier, situation.background)


def _take_note(situation: Situation, match: re.Match[str]) -> str | None:
    text = situation.text
    if memory.is_order_to_forget(text):
        return "All right, I forget that."
    facts = memory.facts_in(text, situation.earlier[-1:])
    if not facts:
        return None
    if facts[0].thing == "name":
        return f"Nice to meet you, {facts[0].value}."
    return f"All right, I will remember that {facts[0].sentence}."


def _calculate(situation: Situation, match: re.Match[str]) -> str | None:
    for text in (situation.text, situation.said):
        if result := arithmetic.calculate(split(text)):
            return arithmetic.answer(result)
    return None


def _tell_time(situation: Situation, match: re.Match[str]) -> str:
    it_is = f"it is {say_time(situation.now)}"
    if place := re.search(r"\b(?:in|at) (?!the (?:moment|morning|afternoon|evening)|night)\w+", situation.said):
        return f"I do not know the time {place.group()}. Where I run, {it_is}."
    return f"{it_is[:1].upper()}{it_is[1:]}."


def _tell_date(situation: Situation, match: re.Match[str]) -> str:
    words = split(situation.said)
    found = find_date(situation.said, words, situation.now)
    day = found.value if found else situation.now.date()
    name = {0: "Today is", 1: "Tomorrow is", -1: "Yesterday was"}.get((day - situation.now.date()).days, "That is")
    return f"{name} {say_date(day)}."


def _days_until(situation: Situation, match: re.Match[str]) -> str | None:
    text = re.sub(r"\bchristmas\b", "25 december", match["when"]).replace("new year", "1 january")
    found = find_date(text, split(text), situation.now)
    if found is None:
        return None
    days = (found.value - situation.now.date()) // timedelta(days=1)
    return f"{days} day{'' if days == 1 else 's'} until {say_date(found.value)}."


def _tell_month(situation: Situation, match: re.Match[str]) -> str:
    if match["what"] == "year":
        return f"It is the year {situation.now.year}."
    return f"It is {MONTHS[situation.now.month - 1].capitalize()} {situation.now.year}."


def _count(situation: Situation, match: re.Match[str]) -> str | None:
    words = split(situation.said)
    amounts = find_numbers(words)[:2]
    if not amounts or any(amount.value.denominator != 1 or amount.value < 0 for amount in amounts):
        return "From where to where shall I count?" if len(words) <= 4 else None
    numbers = [int(amount.value) for amount in amounts]
    down = "down" in situation.said or "backward" in situation.said
    first, last = numbers if len(numbers) == 2 else (numbers[0], 1) if down else (1, numbers[0])
    if max(first, last) > MAX_COUNT:
        return f"I only count up to {MAX_COUNT}."
    step = 1 if first <= last else -1
    counted = ", ".join(in_words(n) for n in range(first, last + step, step))
    return f"{counted[:1].upper()}{counted[1:]}."


def _spell(situation: Situation, match: re.Match[str]) -> str | None:
    word = match["word"]
    if word in ("my", "your"):
        fact = memory.remembered(situation.earlier, situation.background).get("name") if word == "my" else None
        word = fact.value if fact else ""
    if not word or len(word) > MAX_SPELLED:
        return None
    return f"{', '.join(letter.upper() for letter in word if letter.isalnum())}."


def _summarize(situation: Situation, match: re.Match[str]) -> str:
    said = [turn.text for turn in situation.earlier if turn.role == "user" and turn.text][-3:]
    if not said:
        return "Nothing has been said yet."
    return "You said: " + "; then: ".join(f'"{" ".join(text.split()[:20])}"' for text in said) + "."


TASKS: Final[tuple[Rule, ...]] = (
    rule(
        _repeat,
        r"\brepeat (?:that|it|this|yourself|please|what you)\b",
        r"^(?:please |can you |could you )*repeat$",
        r"\bsay (?:that|it) again\b",
        r"\bwhat (?:did you (?:just )?say|was that)\b",
        r"\b(?:pardon|come again|one more time)\b",
        r"\bi did not (?:catch|hear|understand) (?:that|you|it)\b",
    ),
    rule(_repeat_user, r"\bwhat did i (?:just )?(?:say|ask)\b", r"\brepeat what i\b"),
    rule(_say_in, rf"\b(?:say|translate)\b (?P<phrase>[a-z ]{{2,40}}?) (?:in|into|to) (?P<language>{_LANGUAGE})\b"),
    rule(_few_words, rf"\b(?:do|can) you (?:speak|know|talk) (?P<language>{_LANGUAGE})\b"),
    rule(_recall, *memory.QUESTIONS),
    rule(
        _calculate,
        r"[\d+*/×÷^%-]",
        r"\b(?:plus|minus|times?|divided?|multipl\w+|percent|per cent|root|squared|cubed|power|subtract|add|sum)\b",
        r"\b(?:difference|product|over|half)\b",
    ),
    rule(
        _tell_time,
        r"\bwhat(?: is)?(?: the)?(?: current)? time\b",
        r"\btime is it\b",
        r"\b(?:tell me|know|got|have) the(?: current)? time\b",
        r"\bwhat hour\b",
        r"^(?:the |current )*time(?: please)?$",
    ),
    rule(_days_until, r"\bhow many days (?:is it |are left |are there |left )*(?:until|till|to|before) (?P<when>.+)$"),
    rule(_tell_month, r"\b(?:what|which)(?: is)?(?: the)?(?: current)? (?P<what>year|month)\b"),
    rule(
        _tell_date,
        r"\b(?:what|which)(?: is)?(?: the)?(?: current)? (?:day|date|weekday)\b",
        r"\bdate (?:is it|today)\b",
        r"\bwhat is (?:today|tomorrow)\b",
        r"\bthe date\b",
        r"\btoday's date\b",
    ),
    rule(_count, r"\bcount\b"),
    rule(_spell, r"\bspell(?: out)?(?: the word| for me)? (?P<word>[\w'-]+)"),
    rule(_summarize, r"\bsummari[sz]e\b", r"\bsummary\b", r"\bsum up\b"),
)
"""In this order: what is more particular comes first."""

NOTES: Final = (rule(_take_note, ""),)
"""What the user tells. After the tasks: a question may sound like a statement."""
