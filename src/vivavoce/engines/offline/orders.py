"""What the instructions and the system messages tell the assistant to do, as far as simple rules can follow them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from vivavoce.engines.offline.numbers import read_number
from vivavoce.engines.offline.phrases import LANGUAGES
from vivavoce.engines.offline.words import split, word_set

MAX_CHARACTERS: Final = 6_000
"""Of longer instructions, the beginning and the end are read."""
MAX_SENTENCE: Final = 400

_SENTENCE = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"”'’]))\s+(?=[A-Z\"'“])|\n+")
_QUOTED: Final = r"(?<!\w)[\"“'‘](?P<quoted>[^\"“”]{1,300}?)[\"”'’](?!\w)"
_LITERAL: Final = rf"(?:{_QUOTED}|(?P<bare>[^\"“”:,]{{1,80}}?))"
_WORD: Final = r"(?:(?: the| a)?(?: single| one| following| exact)?(?: word| words| phrase| sentence| text| message))?"
_FIXED = re.compile(
    rf"^(?:please |you must |you should |you |from now on,? |no matter what[^,]{{0,40}}, )*"
    rf"(?:always |only |just |simply )*(?P<verb>answer|reply|respond|say|output)(?: always| only| just)*"
    rf"(?: to (?:everything|anything|all \w+|every \w+|each \w+|the user|whatever[^,]{{1,30}}))?"
    rf"(?P<with>(?: with| by saying)?(?: only| just)?(?: exactly| precisely)?{_WORD}:?) {_LITERAL}"
    rf"(?:,? (?:and nothing else|only|every time|to everything|to every \w+|no matter what.{{0,40}}|regardless.{{0,60}}))?"
    rf"[.!]?$",
    re.IGNORECASE,
)
_FIRM = re.compile(r"\b(?:always|only|just|simply|exactly|precisely|word|words|phrase)\b", re.IGNORECASE)
_NOT_LITERAL = re.compile(
    r"^(?:in|to|as|a|an|your|short|brief|concise|helpful|polite|yes or no|questions?|if|when|that|the user|with|only)\b|"
    r"^(?:audio|text|voice|speech|json|markdown|one|two|three|sentences?)\b|"
    r"\b(?:user|customer|caller|when|if|unless|before|after|first|briefly|concisely|politely)\b",
    re.IGNORECASE,
)
_GREET = re.compile(
    r"\b(?:greet|welcome)\b|^(?:please )?(?:say (?:hello|hi)|introduce yourself)\b|"
    r"\b(?:start|begin)\b.{0,40}\b(?:by saying|by greeting|with a greeting|with)\b|^(?:first,? )?say\b.{0,40}\bfirst\b",
    re.IGNORECASE,
)
_ASK = re.compile(
    r"\bask (?:the (?:user|caller|customer)|them) (?:for|what) (?:their|is their) (?P<thing>[\w ]{2,40}?)(?: is)?[.!]?$",
    re.IGNORECASE,
)
_TELL = re.compile(
    r"^(?:please )?tell (?:the (?:user|caller|customer)|them) (?:that )?(?P<what>.{2,200}?)[.!]?$", re.IGNORECASE
)
_YES_NO = re.compile(
    r"\b(?:only|always|just)\b.{0,40}\b(?:yes|no)\W+or\W+(?:yes|no)\b|"
    r"\b(?:answer|reply|respond)\b.{0,20}\byes\W+or\W+no\b(?!\W*questions?)",
    re.IGNORECASE,
)
_SPEAK = re.compile(r"\b(?:speak|talk|answer|respond|reply|write|communicate|converse)\b(?P<rest>.{0,60})", re.IGNORECASE)
_NEVER = re.compile(r"\b(?:not|never|without)\b|n't\b", re.IGNORECASE)
_FOREIGN: Final = {*LANGUAGES} - {"english"} | word_set(
    "russian arabic hindi korean greek danish norwegian finnish czech hungarian hebrew ukrainian vietnamese thai"
)
_NAME = re.compile(
    r"\b(?:[Yy]our name is|[Yy]ou are called|[Cc]all yourself|[Yy]ou are named|named) (?P<name>[A-Z]\w+)|"
    r"^You are (?P<is>[A-Z]\w+)[,.]"
)
_PIRATE = re.compile(r"\b(?:you are|you're|like|as|be) (?:a |the |an old )?pirate\b", re.IGNORECASE)
_EVERY: Final = r"(?:every|each|all|your)(?: of your)? (?:answers?|repl(?:y|ies)|responses?|messages?|sentences?)"
_WITH: Final = rf"(?: with| by saying){_WORD}:? {_LITERAL}[.!]?$"
_BEGIN = re.compile(rf"\b(?:start|begin) {_EVERY}{_WITH}", re.IGNORECASE)
_END = re.compile(rf"\b(?:end|finish|close) {_EVERY}{_WITH}", re.IGNORECASE)
_CASE = re.compile(
    r"\b(?:answer|respond|reply|speak|write|use|only)\b.{0,40}"
    r"\b(?P<case>upper ?case|capital letters|all caps|lower ?case)\b",
    re.IGNORECASE,
)
_MAX_WORDS = re.compile(
    r"\b(?:at most|no more than|maximum of|up to|under|fewer than|less than|within) (?P<n>[\w-]+)(?: \w+)? words\b",
    re.IGNORECASE,
)
_ONE_SENTENCE = re.compile(r"\b(?:one|a single|1)(?: short| brief)? sentence\b", re.IGNORECASE)


class Orders(Struct, frozen=True, kw_only=True):
    """What the assistant was told to do. Empty and false: nothing about it."""

    fixed: str = ""
    """The one answer to everything."""
    opening: str = ""
    """What to say when nobody has asked anything; may hold `{name}`, for the assistant's own."""
    yes_or_no: bool = False
    language: str = ""
    """Lowercase; never "english"."""
    name: str = ""
    pirate: bool = False
    begin: str = ""
    end: str = ""
    case: str = ""
    """ "upper" or "lower"."""
    max_words: int = 0
    one_sentence: bool = False

    def styled(self, text: str) -> str:
        """An answer as ordered: shortened, in capitals, with the words that every answer begins and ends with."""
        if self.one_sentence:
            text = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
        if self.max_words and len(text.split()) > self.max_words:
            text = " ".join(text.split()[: self.max_words]).rstrip(",;:") + "."
        if self.pirate:
            text = f"Arr! {text}"
        text = " ".join(filter(None, (self.begin, text, self.end)))
        return text.upper() if self.case == "upper" else text.lower() if self.case == "lower" else text


@lru_cache(maxsize=64)
def read_orders(text: str) -> Orders:
    """The orders in these instructions; where two contradict each other, the later one holds."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS // 2]}\n{text[-MAX_CHARACTERS // 2 :]}"
    found: dict[str, str | int | bool] = {}
    sentences = [sentence.strip(" \t-*#•")[:MAX_SENTENCE] for sentence in _SENTENCE.split(text)]
    for sentence in filter(None, sentences):
        _read_sentence(sentence, found, alone=len(sentences) == 1)
    if "opening" in found and "also" in found:
        found["opening"] = f"{found['opening']} {found['also']}"
    elif "also" in found:
        found["opening"] = found["also"]
    found.pop("also", None)
    return Orders(**found)  # type: ignore[arg-type]  # Only names of fields were put in.


def _read_sentence(sentence: str, found: dict[str, str | int | bool], *, alone: bool) -> None:
    if _YES_NO.search(sentence):
        found["yes_or_no"] = True
    elif opening := _opening(sentence):
        found["opening"] = opening
    elif fixed := _fixed(sentence, alone=alone):
        found["fixed"] = fixed
    elif also := _also(sentence):
        found["also"] = also
    if name := _NAME.search(sentence):
        found["name"] = name["name"] or name["is"]
    if _PIRATE.search(sentence):
        found["pirate"] = True
    for key, pattern in (("begin", _BEGIN), ("end", _END)):
        if literal := pattern.search(sentence):
            found[key] = literal["quoted"] or literal["bare"]
    _read_form(sentence, found)


def _read_form(sentence: str, found: dict[str, str | int | bool]) -> None:
    """Language, capitals and length."""
    speak = _SPEAK.search(sentence)
    if (
        speak
        and not _NEVER.search(sentence[: speak.start()])
        and (language := next(filter(_FOREIGN.__contains__, _low(speak["rest"])), ""))
    ):
        found["language"] = language
    if case := _CASE.search(sentence):
        found["case"] = "lower" if case["case"].lower().startswith("lower") else "upper"
    if (limit := _MAX_WORDS.search(sentence)) and (amount := read_number(split(limit["n"]), 0)):
        found["max_words"] = max(1, int(amount.value))
    if _ONE_SENTENCE.search(sentence):
        found["one_sentence"] = True


def _low(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _fixed(sentence: str, *, alone: bool) -> str:
    """ "Always answer 'pong'.": the one answer; nothing, if the sentence is a rule of conduct ("Answer politely").

    Without quotes it must be firm ("always", "exactly", "the word"), or be all that the instructions say.
    """
    match = _FIXED.match(sentence)
    if match is None:
        return ""
    if match["quoted"]:
        return match["quoted"]
    says = match["verb"].lower() == "say"
    is_firm = _FIRM.search(sentence[: match.start("bare")]) is not None
    is_plain = (says or match["with"].strip() != "") and (is_firm or (says and alone))
    return match["bare"].strip() if is_plain and not _NOT_LITERAL.search(match["bare"]) else ""


def _opening(sentence: str) -> str:
    """ "Greet the user.": what to begin with."""
    if not _GREET.search(sentence):
        return ""
    if quoted := re.search(_QUOTED, sentence):
        return quoted["quoted"]
    if re.search(r"\b(?:every|each|all)\b.{0,20}\b(?:answer|reply|response|message|sentence)", sentence, re.IGNORECASE):
        return ""
    return "Hello! I am {name}. How can I help?"


def _also(sentence: str) -> str:
    if ask := _ASK.search(sentence):
        return f"What is your {ask['thing']}?"
    if tell := _TELL.match(sentence):
        what = tell["what"]
        return f"{what[:1].upper()}{what[1:]}."
    return ""
