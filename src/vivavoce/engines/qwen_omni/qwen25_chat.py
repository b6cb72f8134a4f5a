"""Conversations as Qwen2.5-Omni's prompt.

The published chat template knows system, user and assistant, texts and speech, but no tools. The language model it was
made from does (Qwen2.5's own template), in the form that Hermes 2 Pro brought up: signatures in the system message within
`<tools>`, calls within `<tool_call>`, results as the user's within `<tool_response>`. So where the template does not speak
of tools, messages are put into that form before it sees them.

Speech comes only of a prompt that begins with the sentence of `PERSONA`: the talker was trained with no other. It is put
before the instructions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

PERSONA: Final = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of perceiving auditory and visual "
    "inputs, as well as generating text and speech."
)

Message = Mapping[str, Any]

_TOOLS: Final = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def with_persona(messages: Sequence[Message]) -> list[Message]:
    """The messages, with a system message that begins as the talker wants it."""
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": PERSONA}, *messages]
    instructions = text_of(messages[0])
    if instructions.startswith(PERSONA):
        return list(messages)
    return [{"role": "system", "content": f"{PERSONA}\n{instructions}"}, *messages[1:]]


def with_tools(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The messages, tools and calls and results written out. The first is a system message."""
    written = [_written(message) for message in messages]
    if tools:
        signatures = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        written[0] = {"role": "system", "content": f"{text_of(written[0])}\n\n{_TOOLS.format(signatures=signatures)}"}
    return written


def text_of(message: Message) -> str:
    """Its text, the parts joined."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _written(message: Message) -> Message:
    """A message that every template understands."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{text_of(message)}\n</tool_response>"}
    calls = message.get("tool_calls") or ()
    if not calls:
        return message
    said = [text_of(message)] if text_of(message) else []
    return {"role": message["role"], "content": "\n".join([*said, *(_call(call["function"]) for call in calls)])}


def _call(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    name = json.dumps(function["name"], ensure_ascii=False)
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f'<tool_call>\n{{"name": {name}, "arguments": {written}}}\n</tool_call>'
