"""The offline assistant: a chat model made of rules, for demos, tests and client developers. No key, no download.

It says what it is and what it can do, and does no more: it greets, tells the time, calculates, remembers what it was told in
this conversation, follows simple instructions, and calls tools. The rules are pure functions in `offline/`; this file gives
them the time and streams what they say. `docs/how-to/offline-assistant.md` tells what one can ask it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from vivavoce.engine_api import Generate
from vivavoce.engines.history import words_of
from vivavoce.engines.offline.answers import Answer, Call, answer
from vivavoce.engines.offline.tools import is_ready
from vivavoce.engines.parts import ChatDone, ChatEvent, TextDelta, ToolCallArguments, ToolCallStarted
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import (
    FunctionCall,
    InputTokens,
    Item,
    Message,
    OutputTokens,
    Usage,
)
from vivavoce.registry import read_options

CHARACTERS_PER_TOKEN: Final = 4
"""As the hosted API's texts average."""

SHORT_ITEMS: Final = 64
SHORT_INSTRUCTIONS: Final = 4_000
SHORT_TEXT: Final = 240
"""Up to these limits (items; characters) an answer is found on the event loop, beyond them in a thread."""

_WORDS = re.compile(r"\s*\S+")
_ARGUMENT_PIECES = re.compile(r".{1,16}", re.DOTALL)


class Options(Struct, frozen=True):
    """What the operator can choose: `[engines.cascade.assistant]`."""

    timezone: str = ""
    """Where the assistant's clock hangs, such as "Europe/Berlin"; empty: where the server runs."""


class Assistant:
    """A `ChatModel`. Shared by all sessions, and knows none of them: what it remembers stands in the request.

    `clock` gives the local time with its zone, for tests.
    """

    context_tokens: int = 128_000

    def __init__(self, options: Mapping[str, Any] | None = None, *, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock or _clock(read_options(options or {}, Options, "cascade.assistant").timezone)

    async def start(self) -> None:
        """Nothing to load."""

    async def reply(self, request: Generate) -> AsyncIterator[ChatEvent]:
        """Answer, word by word. At `max_output_tokens` it stops after a whole word; a call that does not fit is left out."""
        now = self._clock()
        found = await asyncio.to_thread(answer, request, now) if _takes_long(request) else answer(request, now)
        left = _Allowance(request.max_output_tokens)
        for event in _events(request, found, left):
            yield event
        yield ChatDone("max_output_tokens" if left.exceeded else "completed", _usage(request, left.spent_characters))

    async def close(self) -> None:
        """Nothing to free."""


def _takes_long(request: Generate) -> bool:
    """Whether the answer may take more than a millisecond or two, too long for the event loop."""
    if len(request.items) > SHORT_ITEMS or len(request.instructions) > SHORT_INSTRUCTIONS:
        return True
    newest = words_of(request.items[-1]) if request.items else ""
    return len(newest) > SHORT_TEXT or (bool(request.tools) and not is_ready(request.tools))


class _Allowance:
    """What `max_output_tokens` leaves to say."""

    def __init__(self, tokens: int | None) -> None:
        self._limit = None if tokens is None else tokens * CHARACTERS_PER_TOKEN
        self.spent_characters = 0
        self.exceeded = False

    def takes(self, text: str) -> bool:
        """Whether this still fits. If so it is counted; if not, nothing fits any more."""
        if self._limit is not None and self.spent_characters + len(text) > self._limit:
            self.exceeded = True
        if not self.exceeded:
            self.spent_characters += len(text)
        return not self.exceeded


def _events(request: Generate, found: Answer, left: _Allowance) -> Iterator[ChatEvent]:
    for word in _WORDS.findall(found.text):
        if not left.takes(word):
            return
        yield TextDelta(word)
    for number, call in enumerate(found.calls):
        if not left.takes(call.name + call.arguments):
            return
        call_id = _call_id(request, number, call)
        yield ToolCallStarted(call_id, call.name)
        for piece in _ARGUMENT_PIECES.findall(call.arguments):
            yield ToolCallArguments(call_id, piece)


def _call_id(request: Generate, number: int, call: Call) -> str:
    """The same for the same request, and no other call's in this conversation."""
    seed = f"{request.response_id} {len(request.items)} {number} {call.name}"
    return f"call_{blake2b(seed.encode(), digest_size=12).hexdigest()}"


def _usage(request: Generate, spoken_characters: int) -> Usage:
    """Text tokens only. Audio is counted by who has it."""
    read = len(request.instructions) + sum(map(_characters, request.items))
    read += len(msgspec.json.encode(request.tools)) if request.tools else 0
    input_tokens, output_tokens = _tokens(read), _tokens(spoken_characters)
    return Usage(
        total_tokens=input_tokens + output_tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_token_details=InputTokens(text_tokens=input_tokens),
        output_token_details=OutputTokens(text_tokens=output_tokens),
    )


def _characters(item: Item) -> int:
    """Of the item's text. Spoken parts count as audio, elsewhere."""
    if isinstance(item, FunctionCall):
        return len(item.name) + len(item.arguments)
    if isinstance(item, Message):
        return sum(len(part.text) for part in item.content if hasattr(part, "text"))
    return len(words_of(item))


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def _clock(timezone: str) -> Callable[[], datetime]:
    if not timezone:
        return lambda: datetime.now().astimezone()
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, OSError, ValueError) as error:
        raise SettingsError(f"engines.cascade.assistant.timezone: no time zone {timezone!r} here.") from error
    return lambda: datetime.now(zone)
