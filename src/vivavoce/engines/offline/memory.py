"""What the user told, as it stands in the conversation: an item that is deleted or cut is really forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from vivavoce.engines.offline.conversation import Turn
from vivavoce.engines.offline.words import Lexicon, keys, stem

MAX_TEXT: Final = 400
"""Characters of one message that are searched for facts."""

_QUESTION = re.compile(
    r"^(?:and |so |but |please )*(?:what|who|where|when|why|how|which|is|are|was|do|does|did|can|could|tell me|say)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:my name is|my name's|i am called|i'm called|call me|the name is) (?P<value>[^\W\d_][\w'-]*(?: [A-Z][\w'-]+)?)",
    re.IGNORECASE,
)
NAME_ASKED: Final = "your name?"
"""How a question ends whose answer may be a bare name."""
_BARE_NAME = re.compile(
    r"^\W*(?:(?:it is|it's|i am|i'm|hi|hello) )*(?P<value>[^\W\d_][\w'-]*(?: [^\W\d_][\w'-]+)?)\W*$", re.IGNORECASE
)
_STATEMENT = re.compile(
    r"\b(?P<owner>my|the|our) (?P<thing>(?:[\w'-]+ ){0,4}?[\w'-]+?)(?: (?P<verb>is|are|was|will be)|'s) "
    r"(?P<value>[^.!?;\n]{1,150})",
    re.IGNORECASE,
)
_VERBS: Final = "live|like|love|hate|work|prefer|study|come from|play|drive"
_ABOUT_ME = re.compile(
    rf"^(?:and |also |so |well |hi |hello )*(?:i|we) (?:also |really )?(?P<verb>{_VERBS}) (?P<value>[^.!?;\n]{{2,150}})",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"\b(?:remember|keep in mind|note|do not forget|don't forget)(?: that)?:? (?P<note>[^.!?\n]{3,200})", re.IGNORECASE
)
_FORGET = re.compile(
    r"\bforget (?:about )?(?:(?P<all>everything|it all|all of it|that|it)|(?:my|the|our) (?P<thing>[\w' -]{2,60}))",
    re.IGNORECASE,
)

_OF_MINE: Final = (
    r"\b(?:(?:what|who|when|where|which) (?:is|are|was|were)|"
    r"(?:do you|can you|could you) (?:still )?(?:know|remember|tell me)(?: what)?|"
    r"tell me(?: what)?|remind me(?: of| what)?|what about|say) "
    r"(?P<owner>my|the|our|your) (?P<thing>[\w' -]{2,60}?)(?: (?:is|are|was))?(?: again)?$"
)
_ABOUT_ME_ASKED: Final = rf"\b(?:where|what|who|whom|how) do i (?P<verb>{_VERBS})\b(?: in| for)?(?: again)?$"
_ALL: Final = (
    r"\bwhat (?:do|did|can) you (?:still )?(?:remember|know about me|know)\b",
    r"\bwhat (?:have i|did i) (?:told|tell)(?: you)?\b",
    r"\bdo you remember (?:me|anything|what i (?:said|told you))\b",
)
QUESTIONS: Final = (*_ALL, _OF_MINE, _ABOUT_ME_ASKED)
"""How one asks for what was told; patterns over `keys`. `recall` answers their matches."""

_FLIPPED: Final = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "we": "you", "us": "you", "our": "your",
    "am": "are", "i'm": "you are", "i've": "you have", "i'll": "you will", "your": "my", "you": "I", "yours": "mine",
}  # fmt: skip


class Fact(Struct, frozen=True):
    """Something that was told."""

    thing: str
    """Lowercase: "name", "favorite color"; for a note its first words."""
    sentence: str
    """As we say it, without a full stop: "your name is Ada"."""
    value: str


def facts_in(text: str, before: Sequence[Turn] = ()) -> list[Fact]:
    """The facts that this message tells; none if it asks. `before` ends with the turn that it may answer."""
    text = text[:MAX_TEXT]
    asked = bool(before) and before[-1].role == "assistant" and before[-1].text.endswith(NAME_ASKED)
    if name := _NAME.search(text) or (_BARE_NAME.match(text) if asked else None):
        value = name["value"].strip()
        value = value[:1].upper() + value[1:]
        return [Fact("name", f"your name is {value}", value)]
    note = _NOTE.search(text)
    if note is None and (_QUESTION.search(text) or text.rstrip().endswith("?")):
        return []
    if statement := _STATEMENT.search(note["note"] if note else text):
        owner = "your" if statement["owner"].lower() in ("my", "our") else "the"
        value = _tidy(statement["value"])
        thing = statement["thing"].lower()
        verb = (statement["verb"] or "is").lower()
        return [Fact(thing, f"{owner} {thing} {verb} {flip(value)}", value)] if value else []
    if note:
        return [Fact(note["note"][:40].lower(), flip(_tidy(note["note"])), _tidy(note["note"]))]
    if about := _ABOUT_ME.search(text):
        value = _tidy(about["value"])
        verb = about["verb"].lower()
        return [Fact(f"you {verb}", f"you {verb} {flip(value)}", value)]
    return []


def is_order_to_forget(text: str) -> bool:
    """Whether the message takes something back."""
    return _FORGET.search(text[:MAX_TEXT]) is not None and "do not forget" not in keys(text)


def remembered(turns: Iterable[Turn], background: str = "") -> dict[str, Fact]:
    """All that holds now, by thing, oldest first: what the instructions say about the user, then what the user told."""
    facts: dict[str, Fact] = {}
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", background[: MAX_TEXT * 10]):
        for fact in facts_in(re.sub(r"\b[Tt]he (?:user|customer|caller)'s\b", "my", sentence)):
            facts[fact.thing] = fact
    before: tuple[Turn, ...] = ()
    for turn in turns:
        if turn.role == "user" and is_order_to_forget(turn.text):
            _forget(facts, turn.text)
        elif turn.role == "user":
            for fact in facts_in(turn.text, before):
                facts.pop(fact.thing, None)
                facts[fact.thing] = fact
        before = (turn,)
    return facts


def recall(asked: re.Match[str], turns: Sequence[Turn], background: str = "") -> str | None:
    """The answer to a question that one of `QUESTIONS` has found, as a sentence. None: it is about something else."""
    if asked["verb"]:
        fact = remembered(turns, background).get(f"you {asked['verb']}")
        return _sentence(fact) if fact else "You have not told me."
    if asked["thing"]:
        fact = _nearest(asked["thing"], remembered(turns, background))
        if fact is not None:
            return _sentence(fact)
        return f"You have not told me your {asked['thing']}." if asked["owner"] == "my" else None
    told = "; ".join(fact.sentence for fact in remembered(turns).values())
    return f"You told me: {told}." if told else "You have not told me anything to remember."


def name_of_user(turns: Sequence[Turn], background: str) -> str:
    """The user's name, or nothing."""
    fact = remembered(turns, background).get("name")
    return fact.value if fact else ""


def flip(text: str) -> str:
    """The words as seen from the other side: "my code" is "your code"."""
    return " ".join(_FLIPPED.get(word.lower(), word) for word in text.split())


def _tidy(value: str) -> str:
    return re.sub(r"[\s,]*(?:\b(?:please|okay|ok|thanks|thank you)\b)?[\s,.]*$", "", value, flags=re.IGNORECASE).strip()


def _sentence(fact: Fact) -> str:
    return f"{fact.sentence[:1].upper()}{fact.sentence[1:]}."


def _nearest(thing: str, facts: dict[str, Fact]) -> Fact | None:
    """The newest fact about this thing: all words of the one are among the words of the other, misheard ones too."""
    if thing in facts:
        return facts[thing]
    asked = Lexicon(thing.split())
    for known, fact in reversed(facts.items()):
        words = known.split()
        if known.startswith("you "):
            continue
        if all(asked.find(word) for word in words) or {stem(word) for word in thing.split()} <= {
            stem(word) for word in words
        }:
            return fact
    return None


def _forget(facts: dict[str, Fact], text: str) -> None:
    found = _FORGET.search(text[:MAX_TEXT])
    if found is None:
        return
    if found["thing"]:
        if fact := _nearest(found["thing"].lower().strip(), facts):
            facts.pop(fact.thing, None)
    elif found["all"].lower() in ("that", "it") and facts:
        facts.popitem()
    else:
        facts.clear()
