"""Places, people and free text in the user's words: what no list of values bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from vivavoce.engines.offline.dates import DATE_WORDS
from vivavoce.engines.offline.heard import Heard
from vivavoce.engines.offline.memory import facts_in
from vivavoce.engines.offline.numbers import read_number
from vivavoce.engines.offline.parameters import Leaf
from vivavoce.engines.offline.units import is_unit
from vivavoce.engines.offline.words import STOP_WORDS, word_set

_ENDS: Final = DATE_WORDS | word_set("""
    please and or but in at for from to with on by about saying says that then than if because when while who which right now
    this next like is are be will would can could should tonight later again instead not do does i you we they he she it
    """)
"""Words that end a place or a name."""

_SLIPS: Final = STOP_WORDS - _ENDS - {"a", "an"}
"""Words that may slip in before a name: "in the kitchen", "in was the kitchen"."""
MAX_SLIPS: Final = 2

_SAYING: Final = word_set("saying says that about called named titled asking containing")
_PERSON_MARKS: Final = ("to", "call", "with", "for", "tell", "message", "email", "text", "named", "called", "phone", "ask")
_REQUESTS: Final = word_set("show check display find look search give tell get")
_TRIM: Final = STOP_WORDS | {"um", "called", "named", "saying"}
_TRAIL: Final = word_set("please to the for me in a my on now thanks and")
_ANSWER_LEAD: Final = word_set(
    "in for at to on the it is its my a an i want would like uh um please say with by make that of"
)

_QUOTED = re.compile(r'"([^"]{1,500})"|“([^”]{1,500})”|(?<!\w)\'([^\']{1,500})\'(?!\w)')
_ADDRESS = re.compile(r"https?://\S+|\S+@\S+\.\w+")


def read_place(leaf: Leaf, heard: Heard) -> Any:
    """What follows "in", "at", "for" … up to the next such word. Without one, a typed name: "Paris weather"."""
    for preposition in leaf.prepositions:
        for at, word in enumerate(heard.words):
            if word.key == preposition and (place := _name_from(heard, at + 1)):
                heard.take(at, at + 1)
                return place
    for at, word in enumerate(heard.words):
        is_name = at or (heard.verbs.find(heard.key(1)) and heard.key(0) not in _REQUESTS)
        if is_name and heard.text[word.start].isupper() and word.key not in STOP_WORDS and (place := _name_from(heard, at)):
            return place
    return None


def read_person(leaf: Leaf, heard: Heard) -> Any:
    """What follows "to", "call", "for" …, or "the name is"."""
    for at, word in enumerate(heard.words):
        named = word.key == "is" and heard.key(at - 1) in leaf.words
        if (named or word.key in _PERSON_MARKS) and (name := _name_from(heard, at + 1, longest=3)):
            return name
    return None


def _name_from(heard: Heard, start: int, longest: int = 4) -> str:
    """The name that begins here, or nothing. Small words end it: a recogniser hears them where there are none."""
    for _ in range(MAX_SLIPS):
        if heard.key(start) in _SLIPS:
            start += 1
    end = start
    while end < len(heard.words) and end - start < longest and heard.free(end, end + 1):
        key = heard.key(end)
        if key in _ENDS or key in heard.verbs or (key in STOP_WORDS and key != "of") or not key[0].isalnum():
            break
        if end > start and heard.text[heard.words[end - 1].end : heard.words[end].start].strip(" -.'’"):
            break
        if read_number(heard.words, end) and not key[0].isdigit():
            break
        end += 1
    while end > start and heard.key(end - 1) == "of":
        end -= 1
    if end == start or is_unit(heard.key(start)) or (heard.key(start)[0].isdigit() and end == start + 1):
        return ""
    heard.take(start, end)
    return titled(heard.passage(start, end))


def titled(name: str) -> str:
    """A name as it is written: a recogniser knows no capitals."""
    if name != name.lower():
        return name
    return " ".join(
        word if word in ("of", "the", "and", "de", "la") else word[:1].upper() + word[1:] for word in name.split()
    )


def read_text(leaf: Leaf, heard: Heard) -> Any:
    """What is in quotes, what follows the place's name or "saying", or else the longest stretch that is nobody's."""
    if quoted := _QUOTED.search(heard.text):
        text: str = next(filter(None, quoted.groups()))
    elif not {"url", "link", "email", "website"}.isdisjoint(leaf.words) and (address := _ADDRESS.search(heard.text)):
        text = address.group()
    elif leaf.words[-1] in ("key", "value") and (facts := facts_in(heard.text)):
        text = facts[0].thing.replace(" ", "_") if leaf.words[-1] == "key" else facts[0].value
    else:
        text = _after_name(leaf, heard) or _after_mark(heard) or _longest_run(heard)
    if leaf.several and text:
        return [part.strip() for part in re.split(r",|\band\b", text) if part.strip()]
    return text or None


def _after_name(leaf: Leaf, heard: Heard) -> str:
    """ "The color is blue", "color: blue"."""
    for at, word in enumerate(heard.words[:-1]):
        if word.key == leaf.words[-1] and word.key not in heard.verbs and heard.free(at, at + 1):
            start = at + 1
            while heard.key(start) in ("is", "to", "as", "of", "number", "called", "named"):
                start += 1
            if run := _run_from(heard, start, within=lambda key: key not in _ENDS):
                return run
    return ""


def _after_mark(heard: Heard) -> str:
    """ "… saying i will be late": everything that follows."""
    for at, word in enumerate(heard.words):
        if word.key in _SAYING and at:
            return _run_from(heard, at + 1, within=lambda key: True)
    return ""


def _run_from(heard: Heard, start: int, within: Callable[[str], bool]) -> str:
    end = start
    while end < len(heard.words) and within(heard.key(end)) and heard.free(end, end + 1):
        end += 1
    start, end = _trimmed(heard, start, end, lead=False)
    heard.take(start, end)
    return heard.passage(start, end)


def _longest_run(heard: Heard) -> str:
    """The longest stretch that is neither spoken for nor names the tool: "play [some jazz]", "add [milk] to the list"."""
    best = (0, 0)
    start = 0
    for at in range(len(heard.words) + 1):
        names_tool = at < len(heard.words) and heard.verbs.find(heard.key(at)) is not None
        if at == len(heard.words) or names_tool or not heard.free(at, at + 1):
            end = next((n for n in range(start + 1, at) if names_tool and heard.key(n) in ("to", "on", "onto", "from")), at)
            run = _trimmed(heard, start, end, lead=True)
            if run[1] - run[0] > best[1] - best[0]:
                best = run
            start = at + 1
    heard.take(*best)
    return heard.passage(*best)


def _trimmed(heard: Heard, start: int, end: int, *, lead: bool) -> tuple[int, int]:
    """Without small words at the end, and at the beginning if asked."""
    while lead and start < end and heard.key(start) in _TRIM:
        start += 1
    while start < end and heard.key(end - 1) in _TRAIL:
        end -= 1
    return start, end


def bare_answer(leaf: Leaf, heard: Heard) -> Any:
    """The whole turn without "in", "it is" and "please": who was asked a question says little else."""
    start, end = 0, len(heard.words)
    while start < end and heard.key(start) in _ANSWER_LEAD | set(leaf.words):
        start += 1
    start, end = _trimmed(heard, start, end, lead=False)
    if start == end:
        return None
    text = heard.passage(start, end)
    return titled(text) if leaf.kind in ("place", "person", "language") else text
