"""Items of a conversation → messages of a chat completion. Pure.

A conversation may hold what no chat completion may: calls that nobody has answered yet, outputs whose call was deleted,
arguments that broke off, two messages of the user's in a row. Servers render messages through a model's own template, and
many templates fail on these. So:

    assistant: text, then calls   one message, its outputs right behind it, each call with exactly one
    output that came late         its call is told with it, where it came: the news is the newest message
    output without a call         a system message
    call without arguments        `{}`; one that broke off and was never answered is left out
    two in a row of one speaker   one message
    speech without words          INAUDIBLE, so that the model asks again and does not guess
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from vivavoce.engine_api import Generate
from vivavoce.engines.history import words_of
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
    FunctionTool,
    InputAudioPart,
    InputImagePart,
    Item,
    Message,
    OutputAudioPart,
)

INAUDIBLE: Final = "[inaudible]"
NO_OUTPUT_YET: Final = "(no result yet)"
"""Stands for a call's output until the client sends it."""

ChatMessage = dict[str, Any]
Content = str | list[dict[str, Any]]
"""What a message says: a text, or parts."""


def written(message: Message) -> Content:
    """A text; parts where there are pictures: not every server reads parts."""
    parts: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, InputImagePart):
            parts.append(image(part))
        else:
            text = part.transcript or "" if isinstance(part, InputAudioPart | OutputAudioPart) else part.text
            if text.strip():
                parts.append({"type": "text", "text": text.strip()})
    if any(part["type"] == "image_url" for part in parts):
        return parts
    return "\n".join(part["text"] for part in parts)


def image(part: InputImagePart) -> dict[str, Any]:
    """A picture."""
    return {"type": "image_url", "image_url": {"url": part.image_url, "detail": part.detail}}


def messages(instructions: str, items: Sequence[Item], content: Callable[[Message], Content] = written) -> list[ChatMessage]:
    """The whole conversation, instructions first. `content` says how a message is written down."""
    found: list[ChatMessage] = []
    if instructions.strip():
        found.append({"role": "system", "content": instructions})
    outputs = {item.call_id: item.output for item in items if isinstance(item, FunctionCallOutput)}
    called = {call_id(item) for item in items if isinstance(item, FunctionCall)}
    for item in _with_late_calls(items):
        if isinstance(item, FunctionCall):
            _add_call(found, item, outputs)
        elif isinstance(item, FunctionCallOutput):
            if item.call_id not in called:
                found.append({"role": "system", "content": f"A function returned: {item.output}"})
        else:
            _add_message(found, item, content(item))
    return list(_with_outputs(found, outputs))


def _with_late_calls(items: Sequence[Item]) -> Iterator[Item]:
    """The items, each call whose output came when the conversation had gone on moved to that place.

    Where the call was made, nobody would notice the output: the model would answer what was said last, again.
    """
    came = {item.call_id: index for index, item in enumerate(items) if isinstance(item, FunctionCallOutput)}
    late: dict[int, list[FunctionCall]] = {}
    for index, item in enumerate(items):
        if isinstance(item, FunctionCall) and any(map(_says, items[index + 1 : came.get(call_id(item), 0)])):
            late.setdefault(came[call_id(item)], []).append(item)
            continue
        yield from late.get(index, ())
        yield item


def _says(item: Item) -> bool:
    if not isinstance(item, Message):
        return False
    return bool(item.content) if item.role == "user" else item.role == "assistant" and bool(words_of(item))


def call_id(call: FunctionCall) -> str:
    """The call's id. One that the client made without is known by its item."""
    if call.call_id is not UNSET:
        return call.call_id
    return "call" if call.id is UNSET else call.id


def tools(request: Generate) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls` of the request, or nothing.

    Not every server heeds `tool_choice`. None at all is sent where none may be called, and only the one that must be.
    """
    choice = request.tool_choice
    if not request.tools or choice == "none":
        return {}
    if isinstance(choice, FunctionChoice):
        offered = [tool for tool in request.tools if tool.name == choice.name] or list(request.tools)
        fields: dict[str, Any] = {"tool_choice": {"type": "function", "function": {"name": choice.name}}}
    else:
        offered, fields = list(request.tools), {"tool_choice": choice}
    if not request.parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return {"tools": [_tool(tool) for tool in offered], **fields}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not UNSET:
        function["description"] = tool.description
    function["parameters"] = {"type": "object", "properties": {}} if tool.parameters is UNSET else tool.parameters
    return {"type": "function", "function": function}


def _add_call(found: list[ChatMessage], call: FunctionCall, outputs: dict[str, str]) -> None:
    arguments = _object(call.arguments)
    if arguments is None and call_id(call) not in outputs:
        return
    entry = {
        "id": call_id(call),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments or "{}"},
    }
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": None})
    found[-1].setdefault("tool_calls", []).append(entry)


def _object(arguments: str) -> str | None:
    """Arguments that are a JSON object, as they are; `{}` for none; `None` for anything else."""
    if not arguments.strip():
        return "{}"
    try:
        msgspec.json.decode(arguments, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    return arguments


def _add_message(found: list[ChatMessage], message: Message, content: Content) -> None:
    if not content:
        if message.role != "user" or not message.content:
            return  # An answer that was cut before anything of it was heard.
        content = INAUDIBLE
    last = found[-1] if found else None
    if last is not None and last["role"] == message.role != "system" and "tool_calls" not in last:
        last["content"] = _joined(last["content"], content)
    else:
        found.append({"role": message.role, "content": content})


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _with_outputs(found: Iterable[ChatMessage], outputs: dict[str, str]) -> Iterable[ChatMessage]:
    for message in found:
        yield message
        for call in message.get("tool_calls", ()):
            output = outputs.get(call["id"], NO_OUTPUT_YET)
            yield {"role": "tool", "tool_call_id": call["id"], "content": output}
