"""Chunks of a streamed chat completion → what a chat model says. Pure but for the ids that it draws.

Servers differ: some give a call whole and some in pieces, some give every call index 0, some forget ids or use them again in
the next turn, some write arguments as an object, some put the model's thoughts into the answer. All come out alike.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any, Final

import msgspec
from msgspec import Struct

from vivavoce.engines.parts import ChatDone, ChatEvent, TextDelta, ToolCallArguments, ToolCallStarted
from vivavoce.protocol.objects import CachedTokens, InputTokens, OutputTokens, Usage


class FunctionDelta(Struct):
    """More of a call."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCallDelta(Struct):
    """More of one call of several."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(Struct):
    """More of the answer. Thoughts (`reasoning_content`) are not read: nobody is to hear them."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class Choice(Struct):
    """`message` stands where a server does not stream."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class TokenDetails(Struct):
    """What the tokens were."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None


class ChatUsage(Struct):
    """What the server counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None


class ChatChunk(Struct):
    """One event of the stream, or the whole of an answer that is not streamed."""

    choices: list[Choice] | None = None
    usage: ChatUsage | None = None
    error: Any = None


def usage_of(counted: ChatUsage) -> Usage:
    """The same in the Realtime API's words."""
    details = counted.prompt_tokens_details or TokenDetails()
    audio, cached = details.audio_tokens or 0, details.cached_tokens or 0
    spoken = (counted.completion_tokens_details or TokenDetails()).audio_tokens or 0
    return Usage(
        total_tokens=counted.prompt_tokens + counted.completion_tokens,
        input_tokens=counted.prompt_tokens,
        output_tokens=counted.completion_tokens,
        input_token_details=InputTokens(
            text_tokens=counted.prompt_tokens - audio,
            audio_tokens=audio,
            cached_tokens=cached,
            cached_tokens_details=CachedTokens(text_tokens=cached),
        ),
        output_token_details=OutputTokens(text_tokens=counted.completion_tokens - spoken, audio_tokens=spoken),
    )


class _Call:
    """A call on its way."""

    def __init__(self, call_id: str, told_id: str | None, name: str) -> None:
        self.call_id: Final = call_id
        self.told_id = told_id
        self.name: Final = name
        self.is_empty = True


class Answer:
    """Reads one answer. `used_ids` are the calls of the conversation: no id may stand for two."""

    def __init__(self, used_ids: Collection[str] = (), *, parallel: bool = True) -> None:
        self.finished = False
        """The server said why it stopped: what may follow are figures."""
        self.usage: Usage | None = None
        self._reason: str | None = None
        self._used_ids = set(used_ids)
        self._parallel = parallel
        self._calls: dict[int, _Call | None] = {}
        """By index; `None` for one that may not be made."""
        self._made: list[_Call] = []
        self._thoughts = Thoughts()

    def feed(self, chunk: ChatChunk) -> list[ChatEvent]:
        """What the chunk adds."""
        if chunk.usage is not None:
            self.usage = usage_of(chunk.usage)
        events: list[ChatEvent] = []
        for choice in (chunk.choices or [])[:1]:
            delta = choice.delta or choice.message
            if delta is not None:
                events += self._text((delta.content or "") + (delta.refusal or ""))
                for at, call in enumerate(delta.tool_calls or ()):
                    events += self._call(at if call.index is None else call.index, call)
            if choice.finish_reason and not self.finished:
                self.finished, self._reason = True, choice.finish_reason
        return events

    def end(self) -> list[ChatEvent]:
        """The answer is whole: what was held back, and why it ends."""
        events: list[ChatEvent] = [TextDelta(rest)] if (rest := self._thoughts.flush()) else []
        # A function without parameters: clients parse the arguments whatever they are.
        events += [ToolCallArguments(call.call_id, "{}") for call in self._made if call.is_empty]
        match self._reason:
            case "length":
                return [*events, ChatDone("max_output_tokens", self.usage)]
            case "content_filter":
                return [*events, ChatDone("content_filter", self.usage)]
        return [*events, ChatDone("completed", self.usage)]

    def _text(self, text: str) -> list[ChatEvent]:
        said = self._thoughts.without(text)
        return [TextDelta(said)] if said else []

    def _call(self, index: int, delta: ToolCallDelta) -> list[ChatEvent]:
        function = delta.function or FunctionDelta()
        call, events = self._calls.get(index), list[ChatEvent]()
        is_new = index not in self._calls or (delta.id and function.name and call and delta.id != call.told_id)
        if is_new:
            if not function.name:
                return []
            call = self._calls[index] = self._begun(delta.id, function.name)
            if call is not None:
                events.append(ToolCallStarted(call.call_id, call.name))
        arguments = function.arguments
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        if call is not None and arguments:
            call.is_empty = False
            events.append(ToolCallArguments(call.call_id, arguments))
        return events

    def _begun(self, told_id: str | None, name: str) -> _Call | None:
        if self._made and not self._parallel:
            return None  # The client asked for one at most; the server did not heed it.
        call_id = told_id if told_id and told_id not in self._used_ids else f"call_{secrets.token_hex(12)}"
        self._used_ids.add(call_id)
        call = _Call(call_id, told_id, name)
        self._made.append(call)
        return call


_OPEN, _CLOSE = "<think>", "</think>"


class Thoughts:
    """Takes `<think>…</think>` at the head of an answer out of it: nobody is to hear that."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "before"

    def without(self, text: str) -> str:
        """The part of the answer that is meant to be heard, as far as that is certain."""
        if self._state == "after":
            return text
        self._held += text
        if self._state == "before":
            head = self._held.lstrip()
            if head.startswith(_OPEN):
                self._state = "inside"
            elif _OPEN.startswith(head):
                return ""
            else:
                return self._released(self._held)
        if self._state == "inside":
            thought, closed, rest = self._held.partition(_CLOSE)
            if not closed:
                self._held = thought[-len(_CLOSE) :]
                return ""
            self._held, self._state = rest, "space"
        if not self._held.strip():
            return ""
        return self._released(self._held.lstrip())

    def flush(self) -> str:
        """The answer is over: what was held because it might have become a thought."""
        return self._released(self._held) if self._state == "before" and self._held.strip() else ""

    def _released(self, text: str) -> str:
        self._state, self._held = "after", ""
        return text
