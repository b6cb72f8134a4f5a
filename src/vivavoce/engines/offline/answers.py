"""From a request and the time to an answer: which rule speaks. The door of this folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from vivavoce.engine_api import Generate
from vivavoce.engines.offline import labels, results
from vivavoce.engines.offline.comparisons import decide
from vivavoce.engines.offline.conversation import Conversation, read_items
from vivavoce.engines.offline.manner import apart_from_manner, in_manner
from vivavoce.engines.offline.orders import Orders, read_orders
from vivavoce.engines.offline.parameters import Leaf, question
from vivavoce.engines.offline.phrases import LANGUAGES
from vivavoce.engines.offline.plans import SORRY, plan, resume, search
from vivavoce.engines.offline.situation import ABILITIES, WHO, Rule, Situation
from vivavoce.engines.offline.small_talk import CANCELLED, SMALL_TALK
from vivavoce.engines.offline.tasks import NOTES, TASKS, literal_words
from vivavoce.engines.offline.tools import Draft, Tool, ToolBox, forced, toolbox
from vivavoce.engines.offline.words import MAX_CHARACTERS, NOISE_WORDS, Lexicon, keys, split, word_list
from vivavoce.protocol.objects import FunctionChoice

NOT_CAUGHT: Final = "Sorry, I did not catch that."
MAX_QUOTED_WORDS: Final = 12
MAX_REQUEST: Final = 200
"""Characters of instructions that may be one request: "Tell a joke." Longer ones describe a role."""

_LONG_GAP = re.compile(r"(\s{8})\s+")
"""Nobody means this much space; patterns would walk it again and again."""

_RULE_WORDS: Final = Lexicon(
    word_list(
        "what time date today tomorrow name repeat remember forget story joke count spell hello goodbye whisper laugh "
        "calculate plus minus times divided multiplied percent square root thank help who where tell exactly"
    )
)
"""Words that the rules look for: a misheard one is set right before the rules are tried a second time."""


class Call(Struct, frozen=True):
    """A tool call."""

    name: str
    arguments: str
    """JSON that validates against the tool's schema."""


class Answer(Struct, frozen=True):
    """What to say, and what to call."""

    text: str = ""
    """With tone tags only where the user asked for a tone."""
    calls: tuple[Call, ...] = ()


def answer(request: Generate, now: datetime) -> Answer:
    """The answer to a request. Depends on nothing else: the same request at the same time gets the same answer."""
    conversation = read_items(request.items)
    box = toolbox(request.tools) if request.tools and request.tool_choice != "none" else None
    if box and box.tools and request.tool_choice != "auto" and (tool := _must_call(request, box, conversation, now)):
        return Answer(calls=(_call(tool.name, forced(tool, _newest_words(conversation), now)),))
    chosen = labels.read_labels(request.instructions)
    if chosen:
        return Answer(
            labels.pick(chosen, request.instructions, [turn.text for turn in conversation.turns if turn.role == "user"])
        )
    background = "\n".join(filter(None, (request.instructions, conversation.system)))
    orders = read_orders(background)
    found = _respond(request, conversation, background, orders, box, now)
    return found if found.calls or orders.fixed else Answer(orders.styled(_in_language(found.text, orders, conversation)))


def _must_call(request: Generate, box: ToolBox, conversation: Conversation, now: datetime) -> Tool | None:
    """The tool that `tool_choice` asks for: the one it names, else the one that fits the words best."""
    if isinstance(request.tool_choice, FunctionChoice):
        return box.named(request.tool_choice.name)
    resumed = resume(box, conversation.turns, now) if conversation.said else None
    if resumed:
        return resumed.draft.tool
    ranked = box.rank(_newest_words(conversation), now)
    return ranked[0][0].tool if ranked else box.tools[0]


def _newest_words(conversation: Conversation) -> str:
    return next((turn.text for turn in reversed(conversation.turns) if turn.role == "user"), "")


def _respond(
    request: Generate, conversation: Conversation, background: str, orders: Orders, box: ToolBox | None, now: datetime
) -> Answer:
    if orders.fixed:
        return Answer(orders.fixed)
    if conversation.results:
        return _after_results(request, conversation, box, now)
    said = conversation.said
    text = request.instructions if said is None else said
    situation = Situation(
        text=_LONG_GAP.sub(r"\1", text[:MAX_CHARACTERS]),
        said=keys(text),
        conversation=conversation,
        background=background,
        orders=orders,
        tools=tuple(tool.name for tool in box.tools) if box else (),
        now=now,
    )
    if said is None:
        return Answer(_unasked(situation))
    if orders.yes_or_no:
        return Answer("Yes." if decide(situation) else "No.")
    return _to_user(situation, box, parallel=request.parallel_tool_calls)


def _after_results(request: Generate, conversation: Conversation, box: ToolBox | None, now: datetime) -> Answer:
    """The tools have returned: call the next one, where they may only be called one by one, else say what came of it."""
    if box and not request.parallel_tool_calls and (text := _newest_words(conversation)):
        wanted = [_call_of(draft) for draft in plan(box, text, now) if draft.arguments is not None]
        made = [(call.name, call.arguments) for call in conversation.calls]
        left = [call for call in wanted if (call.name, call.arguments) not in made]
        if left and len(left) < len(wanted):
            return Answer(calls=(left[0],))
    return Answer(results.speak(conversation.results))


def _unasked(situation: Situation) -> str:
    """Nobody has asked anything: do what the instructions say, begin the conversation, or see whether anybody is there."""
    orders = situation.orders
    name = orders.name or WHO
    if orders.opening:
        return orders.opening.replace("{name}", name)
    if len(situation.text) <= MAX_REQUEST and (done := _first((*TASKS, *SMALL_TALK), situation)) is not None:
        return done
    if situation.conversation.turns:
        return "Are you still there?"
    return f"Hello! I am {name}{': ' + WHO if orders.name else ''}. How can I help?"


def _is_intelligible(said: str) -> bool:
    words = [word.key for word in split(said)]
    return not all(word in NOISE_WORDS for word in words) or len(words) > 4


def _to_user(situation: Situation, box: ToolBox | None, *, parallel: bool) -> Answer:
    resumed = resume(box, situation.conversation.turns, situation.now) if box else None
    if resumed and resumed.understood and not _is_aside(situation, resumed.asked):
        return _carry_out([resumed.draft], parallel=parallel)
    if not _is_intelligible(situation.text):
        return Answer(SORRY + question(resumed.asked) if resumed else NOT_CAUGHT)
    plain, manner = apart_from_manner(situation.text)
    if (words := literal_words(situation.text, plain)) is not None:
        return Answer(words.text if words.exactly else in_manner(words.text, manner))
    if box and (drafts := plan(box, situation.text, situation.now)):
        return _carry_out(drafts, parallel=parallel)
    for said in _readings(keys(plain)):
        found = _first((*TASKS, *NOTES, *SMALL_TALK), replace(situation, said=said))
        if found is not None:
            return Answer(in_manner(found, manner))
    if resumed:
        return Answer(SORRY + question(resumed.asked))
    if box and (found_by_search := search(box, situation.text)):
        return _carry_out([found_by_search], parallel=parallel)
    return Answer(_unknown(situation))


def _is_aside(situation: Situation, asked: Leaf) -> bool:
    """Whether the answer is no answer: "never mind", or "what time is it" where a city was asked for."""
    if CANCELLED.search(situation.said):
        return True
    return asked.kind in ("place", "person", "language", "code") and _first((*TASKS, *SMALL_TALK), situation) is not None


def _readings(said: str) -> Iterable[str]:
    """The words as they came, then with misheard words set right."""
    yield said
    corrected = " ".join(found[0] if (found := _RULE_WORDS.find(word)) else word for word in said.split())
    if corrected != said:
        yield corrected


def _first(rules: Sequence[Rule], situation: Situation) -> str | None:
    for entry in rules:
        if (match := entry.pattern.search(situation.said)) and (found := entry.answer(situation, match)) is not None:
            return found
    return None


def _carry_out(drafts: Sequence[Draft], *, parallel: bool) -> Answer:
    """Call, or ask for what is missing."""
    if drafts[0].missing is not None:
        return Answer(question(drafts[0].missing))
    calls = tuple(_call_of(draft) for draft in drafts if draft.arguments is not None)
    if not calls:
        return Answer(f"I know which tool you mean, {drafts[0].tool.name}, but not how to fill in what it asks for.")
    return Answer(calls=calls if parallel else calls[:1])


def _call_of(draft: Draft) -> Call:
    return _call(draft.tool.name, draft.arguments or {})


def _call(name: str, arguments: dict[str, object]) -> Call:
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def _unknown(situation: Situation) -> str:
    words = situation.text.split()
    quoted = " ".join(words[:MAX_QUOTED_WORDS]) + (" …" if len(words) > MAX_QUOTED_WORDS else "")
    tools = " and call your tools" if situation.tools else ""
    abilities = ABILITIES.replace(" and tell stories", f", tell stories{tools}") if tools else ABILITIES
    return f'I heard "{quoted}", and have no rule for that. {abilities}.'


def _in_language(text: str, orders: Orders, conversation: Conversation) -> str:
    """Asked to speak another language, own up to knowing only a few words of it. Once is enough."""
    if not orders.language or any(turn.role == "assistant" for turn in conversation.turns):
        return text
    language = orders.language.capitalize()
    if orders.language in LANGUAGES:
        return f"{LANGUAGES[orders.language]['hello']} I only know a few words of {language}, so I go on in English. {text}"
    return f"I do not speak {language}, so I answer in English. {text}"
