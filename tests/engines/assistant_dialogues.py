"""Dialogues with the offline assistant, written in Markdown so that they can be read.

A fenced block of kind `dialogue` is one conversation, checked line by line:

    tools: get_weather, move          which tools of `assistant/tools.yaml` there are
    instructions: …                   the session's instructions; `system:` is a system message
    tool_choice: required             or none, or the name of a function; `parallel: no` wants calls one by one
    user: …                           the user types this; `heard:` the user says something and this is recognised
    assistant: …                      the assistant must say this; `…` stands for anything
    call: move {"direction": "left"}  the assistant must make this call; calls that follow each other are of one response
    output: …                         the client answers the oldest open call
    cut: …                            only this much of the last answer was heard
    delete: …                         the item that begins with these words is deleted
    # a remark
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from vivavoce.engine_api import Generate
from vivavoce.engines.offline.answers import Answer, answer
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
    FunctionTool,
    InputAudioPart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
)

FOLDER = Path(__file__).parent / "assistant"
DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "offline-assistant.md"
NOW = datetime(2026, 11, 22, 15, 5, tzinfo=UTC)
"""A Sunday, five past three in the afternoon."""

_BLOCK = re.compile(r"^```dialogue\n(?P<lines>.*?)^```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"(?P<kind>\w+):(?: (?P<text>.*))?")


@cache
def tools() -> dict[str, FunctionTool]:
    """The tools that the dialogues may use."""
    listed = yaml.safe_load((FOLDER / "tools.yaml").read_text(encoding="utf-8"))
    return {tool["name"]: msgspec.convert(tool, FunctionTool) for tool in listed}


def dialogues() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Name and lines (place, kind, text) of every dialogue in the folder, and of those in the docs."""
    for path in (*sorted(FOLDER.glob("*.md")), DOCS):
        text = path.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            before = text[: block.start()]
            heading = re.findall(r"^#+ (.*)$", before, re.MULTILINE)[-1]
            first = before.count("\n") + 2
            lines = []
            for number, line in enumerate(block["lines"].splitlines(), start=first):
                if line.strip() and not line.startswith("#"):
                    match = _LINE.fullmatch(line)
                    assert match, f"{path.name}:{number}: {line}"
                    lines.append((f"{path.name}:{number}", match["kind"], match["text"] or ""))
            yield f"{path.stem}: {heading} (line {first})", lines


class Scene:
    """A conversation that a dialogue drives."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.settings: dict[str, Any] = {}
        self.answer: Answer | None = None
        """What the assistant answered and the dialogue has not checked yet."""
        self.unchecked_calls: list[tuple[str, dict[str, Any]]] = []

    def play(self, place: str, kind: str, text: str) -> None:
        """Do or check one line."""
        step = getattr(self, f"_on_{kind}", None)
        assert step, f"{place}: no such line: {kind}"
        if kind != "call":
            assert not self.unchecked_calls, f"{place}: also called {self.unchecked_calls}"
        step(place, text)

    def request(self) -> Generate:
        """What the assistant would be asked now."""
        return Generate(response_id=f"resp_{len(self.items)}", items=tuple(self.items), **self.settings)

    def _on_tools(self, place: str, text: str) -> None:
        known = tools()
        self.settings["tools"] = tuple(known[name.strip()] for name in text.split(",") if name.strip())

    def _on_instructions(self, place: str, text: str) -> None:
        self.settings["instructions"] = text

    def _on_tool_choice(self, place: str, text: str) -> None:
        self.settings["tool_choice"] = text if text in ("auto", "none", "required") else FunctionChoice(name=text)

    def _on_parallel(self, place: str, text: str) -> None:
        self.settings["parallel_tool_calls"] = text != "no"

    def _on_system(self, place: str, text: str) -> None:
        self.items.append(Message(role="system", content=(InputTextPart(text),)))

    def _on_user(self, place: str, text: str) -> None:
        self.items.append(Message(role="user", content=(InputTextPart(text),)))

    def _on_heard(self, place: str, text: str) -> None:
        self.items.append(Message(role="user", content=(InputAudioPart(b"", text),)))

    def _on_assistant(self, place: str, text: str) -> None:
        found = answer(self.request(), NOW)
        assert not found.calls, f"{place}: called {found.calls}"
        pattern = ".*".join(re.escape(part.strip()) for part in text.split("…"))
        assert re.fullmatch(pattern, found.text, re.DOTALL), f"{place}: said {found.text!r}"
        self.items.append(Message(role="assistant", content=(OutputAudioPart(found.text),)))

    def _on_call(self, place: str, text: str) -> None:
        if not self.unchecked_calls:
            found = answer(self.request(), NOW)
            assert found.calls, f"{place}: called nothing, said {found.text!r}"
            for number, call in enumerate(found.calls):
                call_id = f"call_{len(self.items)}_{number}"
                self.items.append(FunctionCall(call_id=call_id, name=call.name, arguments=call.arguments))
                self.unchecked_calls.append((call.name, json.loads(call.arguments)))
        name, _, arguments = text.partition(" ")
        called = self.unchecked_calls.pop(0)
        assert called == (name, json.loads(arguments or "{}")), f"{place}: called {called}"

    def _on_output(self, place: str, text: str) -> None:
        done = {item.call_id for item in self.items if isinstance(item, FunctionCallOutput)}
        call = next(item for item in self.items if isinstance(item, FunctionCall) and item.call_id not in done)
        self.items.append(FunctionCallOutput(call_id=str(call.call_id), output=text))

    def _on_cut(self, place: str, text: str) -> None:
        last = self.items[-1]
        assert isinstance(last, Message)
        assert last.role == "assistant"
        self.items[-1] = Message(role="assistant", content=(OutputAudioPart(text),))

    def _on_delete(self, place: str, text: str) -> None:
        def begins(item: Item) -> bool:
            part = item.content[0] if isinstance(item, Message) else None
            return (getattr(part, "text", None) or getattr(part, "transcript", None) or "").startswith(text)

        kept = [item for item in self.items if not begins(item)]
        assert len(kept) == len(self.items) - 1, f"{place}: deleted {len(self.items) - len(kept)} items"
        self.items = kept
