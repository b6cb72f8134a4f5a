"""A call as the model writes it → a name, then arguments as they come.

    <tool_call> {"name": "get_weather", "arguments": {"city": "Oslo"}} </tool_call>
                         └── started ──┘              └─ streamed ──┘

The model is told to write it so. Where it does not (arguments first, other keys), the call waits until it is whole.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from vivavoce.engine_api import FunctionCallArguments, FunctionCallStarted
from vivavoce.engines.qwen_omni.words import Decode, Decoding
from vivavoce.protocol.errors import EngineError

_HEAD: Final = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')
_END: Final = "</tool_call>"


class CallText:
    """One call, from behind its `<tool_call>`."""

    def __init__(self) -> None:
        self._text = ""
        self._streams = False
        self._begun = False
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.name: str | None = None
        """Once it is known."""
        self.done = False

    def push(self, text: str) -> str:
        """More of it. What of the arguments came with that; the name is known by then. Raises `EngineError`."""
        if self.done:
            return ""
        if self._streams:
            return self._arguments(text)
        self._text += text
        if head := _HEAD.match(self._text):
            self.name = msgspec.json.decode(head[1], type=str)
            self._streams = True
            return self._arguments(self._text[head.end() :])
        return self.finish() if _END in self._text else ""

    def finish(self) -> str:
        """The call is over. All arguments, if none were told. Raises `EngineError` where it is no call."""
        if self.done:
            return ""
        self.done = True
        if self._streams:
            raise EngineError("invalid_tool_call", "The model broke a function call off.")
        try:
            call = msgspec.json.decode(self._text.partition(_END)[0], type=dict[str, Any])
            self.name = str(call["name"])
        except (msgspec.DecodeError, KeyError):
            raise EngineError("invalid_tool_call", "The model wrote a function call that is no JSON.") from None
        arguments = call.get("arguments", call.get("parameters", {}))
        return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()

    def _arguments(self, text: str) -> str:
        """The part of the text that belongs to the arguments: up to the brace that closes them, or the call's own."""
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        for place, character in enumerate(text):
            if self._in_string:
                self._in_string = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    self.done = True
                    return text[: place + (self._depth == 0)]
        return text


class Call:
    """One call, from tokens to events."""

    def __init__(self, response_id: str, decode: Decode, begun: str = "") -> None:
        self._response_id = response_id
        self._call_id = f"call_{secrets.token_hex(8)}"
        self._decoding = Decoding(decode)
        self._text = CallText()
        self._begun = begun
        """What the model was made to begin with."""
        self._started = False

    @property
    def done(self) -> bool:
        """Its arguments are whole."""
        return self._text.done

    def push(self, token: int) -> Iterator[FunctionCallStarted | FunctionCallArguments]:
        """One more token, behind the one that began the call. Raises `EngineError`."""
        text = self._begun + (self._decoding.push(token) or "")
        self._begun = ""
        yield from self._told(self._text.push(text))

    def finish(self) -> Iterator[FunctionCallStarted | FunctionCallArguments]:
        """There is no more of it. Raises `EngineError` where it is no call."""
        yield from self._told(self._text.finish())

    def _told(self, arguments: str) -> Iterator[FunctionCallStarted | FunctionCallArguments]:
        if self._text.name is not None and not self._started:
            self._started = True
            yield FunctionCallStarted(self._response_id, self._call_id, self._text.name)
        if arguments:
            yield FunctionCallArguments(self._response_id, self._call_id, arguments)
