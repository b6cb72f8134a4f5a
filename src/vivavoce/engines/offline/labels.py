"""Picking a label: "Classify the conversation as 'support' or 'sales'", by the words that were said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vivavoce.engines.offline.synonyms import GROUP_OF
from vivavoce.engines.offline.words import STOP_WORDS, split, stem

MAX_INSTRUCTIONS: Final = 2_000
"""Longer instructions are a session's, not a question for a label."""
MAX_LABELS: Final = 20
MAX_TURNS: Final = 20

_TRIGGER = re.compile(
    r"\b(?:classify|categori[sz]e|label|sort|assign)\b|"
    r"\b(?:answer|respond|reply|output|return) (?:only )?(?:with )?(?:exactly )?one of\b|"
    r"\b(?:decide|determine|detect|tell) (?:if|whether|which)\b|\bis the (?:user|caller|customer|conversation|message)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“‘'](?P<label>[\w][\w /-]{0,39}?)[\"”’']")
_LISTED = re.compile(
    r"(?:\bas|\bone of|\binto|\beither|\bwith|:)(?: one of)?(?: the following)?(?: labels| categories| words| classes)?:?\s+"
    r"(?P<list>[\w-]+(?:, [\w-]+)*,? or [\w-]+|[\w-]+(?:, [\w-]+)+(?:,? and [\w-]+)?)",
    re.IGNORECASE,
)
_ONE_MESSAGE = re.compile(r"\b(?:message|utterance|request|sentence|text)\b", re.IGNORECASE)
_FALLBACKS: Final = ("other", "unknown", "neutral", "none", "general", "misc", "no")

_HINTS: Final = (
    (
        "support help technical issue",
        "support help problem issue trouble broken break error crash bug fix fail work stuck cannot",
    ),
    (
        "sales sale sell purchase buy",
        "sale buy price cost purchase order quote offer upgrade plan discount demo trial subscribe license",
    ),
    ("billing payment invoice finance", "bill invoice charge payment pay refund card money receipt account"),
    ("technical tech", "install login password update error bug crash server network connect device software"),
    (
        "positive happy satisfied good praise",
        "good great love thank nice happy excellent wonderful perfect awesome like best amazing",
    ),
    (
        "negative unhappy angry frustrated upset bad complaint sad",
        "bad terrible hate awful angry sad disappoint worst annoy upset useless never horrible wrong complain",
    ),
    ("question ask query", "what who when where why how which can could do does is"),
    ("spam scam", "free prize winner win click money offer lottery"),
    ("urgent emergency critical", "now immediately emergency asap urgent quickly fire danger help"),
    ("cancel cancellation churn", "cancel stop end quit leave unsubscribe terminate"),
    ("booking reservation travel", "book reserve table room flight hotel ticket appointment"),
    ("greeting hello", "hello hi hey morning evening"),
    ("goodbye farewell end", "bye goodbye later night"),
)
"""Words of a label, and words that speak for it."""


def read_labels(instructions: str) -> tuple[str, ...]:
    """The labels to choose from, as they are written; empty: the instructions do not ask for a label."""
    if len(instructions) > MAX_INSTRUCTIONS or not _TRIGGER.search(instructions):
        return ()
    quoted = [match["label"] for match in _QUOTED.finditer(instructions)]
    if len(set(quoted)) >= 2:
        return tuple(dict.fromkeys(quoted))[:MAX_LABELS]
    if listed := _LISTED.search(instructions):
        return tuple(dict.fromkeys(re.split(r", (?:or |and )?| or | and ", listed["list"])))[:MAX_LABELS]
    return ("yes", "no") if re.search(r"\byes\b.{1,5}\bno\b", instructions, re.IGNORECASE) else ()


def pick(labels: Sequence[str], instructions: str, texts: Sequence[str]) -> str:
    """The label that the words speak for; the newest words count twice. Without any hint, the most neutral one."""
    said: dict[str, int] = {}
    newest = texts[-1:] if _ONE_MESSAGE.search(instructions) else texts[-MAX_TURNS:]
    for at, text in enumerate(newest):
        for word in split(text):
            weight = 2 if at == len(newest) - 1 else 1
            said[stem(word.key)] = max(weight, said.get(stem(word.key), 0))
    lowered = [label.lower() for label in labels]
    if set(lowered) == {"yes", "no"}:
        return labels[lowered.index("yes" if _speaks(_topic(instructions), said) else "no")]
    points = [_speaks(_hints(label, instructions), said) for label in labels]
    if max(points) > 0:
        return labels[points.index(max(points))]
    return next((label for label in labels if label.lower() in _FALLBACKS), labels[0])


def _speaks(hints: set[str], said: dict[str, int]) -> int:
    return sum(weight for word, weight in said.items() if word in hints)


def _hints(label: str, instructions: str) -> set[str]:
    """Stems that speak for the label: its own words, what we know of them, and what the instructions say about it."""
    words = [word.key for word in split(label) if word.key not in STOP_WORDS]
    about = re.search(
        rf"{re.escape(label)}[\"”’']?\s*(?:\(|:|=|-|–|for|if|when)\s*(?P<about>[^)\n.;]{{1,200}})",
        instructions,
        re.IGNORECASE,
    )
    if about:
        words += [word.key for word in split(about["about"]) if word.key not in STOP_WORDS]
    return _widened(words)


def _topic(instructions: str) -> set[str]:
    """Stems of what a yes-or-no question is about."""
    generic = {
        "user",
        "caller",
        "customer",
        "conversation",
        "message",
        "answer",
        "respond",
        "reply",
        "whether",
        "decide",
        "yes",
        "no",
    }
    return _widened([word.key for word in split(instructions) if word.key not in STOP_WORDS | generic])


def _widened(words: Sequence[str]) -> set[str]:
    stems = {stem(word) for word in words}
    for names, hints in _HINTS:
        if not stems.isdisjoint(stem(name) for name in names.split()):
            stems |= {stem(hint) for hint in hints.split()}
    for word in words:
        stems |= {stem(other) for other in GROUP_OF.get(word, ())}
    return stems
