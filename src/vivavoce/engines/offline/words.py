"""Words: splitting what was said, and finding a word although it was misspelt or misheard.

The recogniser gives lowercase words without punctuation and gets a quarter to a half of them wrong; a keyboard gives
anything. Both become the same sequence of `Word`s, which remember where they stood in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

MAX_CHARACTERS = 1_000
"""How much of one message is read. Nobody says more in one turn; a pasted book must not hold up the event loop."""


def word_list(text: str) -> tuple[str, ...]:
    """The words of a literal, in order."""
    return tuple(text.split())


def word_set(text: str) -> frozenset[str]:
    """The words of a literal, for tables of words."""
    return frozenset(text.split())


_NOISE = re.compile(r"\[(?:unk|noise|sil|laughter|inaudible)\]|<(?:unk|sil|s|/s)>|\+\+\w+\+\+", re.IGNORECASE)
_TOKEN = re.compile(
    r"\d{1,2}:\d{2}"  # a time of day
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
    r"|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|(?<![^\W\d_])-|-(?![^\W\d_])"  # a minus; the hyphen of "twenty-one" joins nothing
    r"|[+*/×÷^%()=√]"
)

_CONTRACTIONS = (
    {
        "i'm": ("i", "am"),
        "don't": ("do", "not"),
        "doesn't": ("does", "not"),
        "can't": ("can", "not"),
        "cannot": ("can", "not"),
        "won't": ("will", "not"),
        "isn't": ("is", "not"),
        "let's": ("let", "us"),
        "gonna": ("going", "to"),
        "wanna": ("want", "to"),
    }
    | {
        f"{pronoun}'{short}": (pronoun, full)
        for short, full in (("s", "is"), ("re", "are"), ("ll", "will"), ("d", "would"), ("ve", "have"))
        for pronoun in sorted(word_set("what who where when how it that there he she i you we they"))
    }
    | {f"{asking}'d": (asking, "did") for asking in sorted(word_set("what who where when why how"))}
)

NOISE_WORDS = word_set("uh um er ah oh hm hmm mhm huh eh the a an i you and of to in so or it is that")
"""What a recogniser makes of a breath or a click. A turn of nothing else was not a turn."""

STOP_WORDS = NOISE_WORDS | word_set("""
    am are be been was were do does did done have has had can could would will shall should may might must me my mine
    your yours he him his she her we us our they them their its this these those there here what which who whom
    whose where when why how
    at by for from on with about into onto out up down off over as if then than not no yes please thanks thank
    some any all just now also too very really well okay ok hey like want need let go going get got give tell know
    i'd i'll more much many
    """)
"""Words that say nothing about which tool is meant."""

_ORDINARY = STOP_WORDS | word_set("""
    time times day date today tomorrow name names hello hi bye goodbye yes story joke word words count spell say said repeat
    remember forget morning evening night year month week hour minute second one two three four five six seven eight nine ten
    plus minus good great nice way right left back think make take come see look help work play find call again
    people man men woman world life house home money water thing things something nothing everything never always
    new old big small long little other another first last next only even still every each same different such
    because through before after between under while where hear heard hard part place case point number group problem fact
    """)
"""Words so frequent that they are what they seem: never taken for a neighbour in spelling or sound."""


def is_ordinary(key: str) -> bool:
    """Whether the word is too frequent, or too short, to mean something in particular."""
    return key in _ORDINARY or len(key) < 3


class Word(Struct, frozen=True):
    """A word, a number or an arithmetic sign, where it stood in the text."""

    key: str
    """Lowercase; contractions are taken apart ("what's" gives "what" and "is")."""
    start: int
    end: int


def split(text: str) -> tuple[Word, ...]:
    """The words of a text, of its first `MAX_CHARACTERS` characters."""
    text = _NOISE.sub(lambda noise: " " * len(noise.group()), text[:MAX_CHARACTERS])
    words: list[Word] = []
    for token in _TOKEN.finditer(text):
        key = token.group().lower().replace("’", "'")
        first, second = _CONTRACTIONS.get(key, (key, ""))
        if second:
            middle = min(token.start() + len(first), token.end())
            words += (Word(first, token.start(), middle), Word(second, middle, token.end()))
        else:
            words.append(Word(key, token.start(), token.end()))
    return tuple(words)


def keys(text: str) -> str:
    """The text as lowercase words with single spaces: what the rules match."""
    return " ".join(word.key for word in split(text))


def passage(text: str, words: Sequence[Word]) -> str:
    """The stretch of the text that these neighbouring words take up, as it was written."""
    return text[words[0].start : words[-1].end] if words else ""


def name_words(name: str) -> list[str]:
    """The words of an identifier: `distance_meters`, `distanceMeters` and `distance-meters` give the same two."""
    return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200]).lower())


def stem(word: str) -> str:
    """A word without its ending, roughly: "moving", "moved" and "moves" are "mov", and so is "move"."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
    elif len(word) > 4 and word.endswith(("ed", "ses", "xes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


_SOUNDS = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"^kn", "n"),
        (r"^wr", "r"),
        (r"wh", "w"),
        (r"ph", "f"),
        (r"gh", ""),
        (r"ck", "k"),
        (r"th|d", "t"),
        (r"c(?=[eiy])|z", "s"),
        (r"[cqg]", "k"),
        (r"x", "ks"),
        (r"v", "f"),
        (r"b", "p"),
        (r"(?<=.)[aeiouyh]+", ""),
        (r"(.)\1+", r"\1"),
    )
)


def sound(word: str) -> str:
    """The consonants that are heard: "weather" and "whether" sound the same."""
    for pattern, replacement in _SOUNDS:
        word = pattern.sub(replacement, word)
    return word


def _one_letter_less(word: str) -> set[str]:
    """Two words share one of these if they differ by one letter more, less, other or swapped."""
    return {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}


class Lexicon:
    """A vocabulary that finds its words although they were misspelt or misheard. Built once, then only read."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = dict.fromkeys(words)
        self._stems: dict[str, str] = {}
        self._near: dict[str, str] = {}
        self._sounds: dict[str, str] = {}
        for word in self._words:
            self._stems.setdefault(stem(word), word)
            if len(word) >= 5:
                for less in _one_letter_less(word):
                    self._near.setdefault(less, word)
            if len(word) >= 4 and len(sound(word)) >= 3:
                self._sounds.setdefault(sound(word), word)

    def __contains__(self, key: str) -> bool:
        return key in self._words

    def find(self, key: str) -> tuple[str, float] | None:
        """The entry that `key` probably is, and how probably: 1 is exact, 0.7 is the least. None: it is none of them."""
        if key in self._words:
            return key, 1.0
        if found := self._stems.get(stem(key)):
            return found, 0.95
        if len(key) < 4 or key in _ORDINARY:
            return None
        if len(key) >= 5:
            for less in _one_letter_less(key):
                if (found := self._near.get(less)) and found[0] == key[0]:
                    return found, 0.8
        if (found := self._sounds.get(sound(key))) and abs(len(found) - len(key)) <= 2:
            return found, 0.75
        return None
