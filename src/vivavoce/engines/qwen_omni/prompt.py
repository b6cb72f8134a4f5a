"""Items of a conversation → messages of a chat template → entries of a prompt.

The template makes one text of instructions, tools and turns. Two kinds of things in it are not text to be tokenized: speech,
whose place the audio token marks, and what the model itself has said, which goes in with the tokens that it was said with.
The text is cut there, and each piece tokenized by itself; so the same conversation always begins with the same entries, and
what of it is in the KV cache stays valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct

from vivavoce.engine_api import Generate
from vivavoce.engines.chat_messages import call_id, tools
from vivavoce.engines.qwen_omni.family import AudioBlock, Entry, Family
from vivavoce.engines.qwen_omni.said import Sayings
from vivavoce.protocol.objects import (
    PCM,
    AudioFormat,
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
    InputAudioPart,
    Item,
    Message,
    OutputAudioPart,
    OutputTextPart,
)

_ANSWER: Final = "\ue000{}\ue001"
"""Stands for an answer while the template is rendered: two characters of private use, which nobody types."""
_CUT: Final = "\ue000(\\d+)\ue001"
_RESERVED: Final = {ord("\ue000"): None, ord("\ue001"): None}


class Speech(Struct, frozen=True):
    """Speech that a prompt mentions."""

    item_id: str
    number: int
    """Of the audio part in its item: nearly always 0."""
    audio: bytes
    format: AudioFormat


class Draft(Struct, frozen=True):
    """A conversation, ready for the template."""

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    speech: tuple[Speech, ...]
    """In the order in which the prompt mentions it."""
    answers: tuple[str, ...]
    """What the model has said, in order; in `messages` a mark stands for each."""


def draft(request: Generate) -> Draft:
    """What the model is to read for this request."""
    drafting = _Drafting()
    if request.instructions.strip():
        drafting.messages.append({"role": "system", "content": plain(request.instructions)})
    for item in request.items:
        drafting.add(item)
    offered = tools(request).get("tools", ())
    return Draft(tuple(drafting.messages), tuple(offered), tuple(drafting.speech), tuple(drafting.answers))


def plain(text: str) -> str:
    """Text that is only text: nobody can type a control token (`<|im_end|>`), nor what stands for speech and answers."""
    return text.translate(_RESERVED).replace("<|", "< |")


def opening(request: Generate) -> str:
    """How the answer has to begin, where the client wants a function called: the rest is the model's."""
    choice = request.tool_choice
    if not request.tools or choice in ("auto", "none"):
        return ""
    if isinstance(choice, FunctionChoice):
        return f'<tool_call>\n{{"name": "{choice.name}", "arguments": '
    return '<tool_call>\n{"name": "'


def entries(
    family: Family, draft: Draft, blocks: Callable[[Speech], Sequence[AudioBlock]], sayings: Sayings, *, answer: bool
) -> list[Entry]:
    """The prompt. With `answer` it ends where the answer begins; else behind the last speech: the user is still talking."""
    text = family.render(draft.messages, draft.tools, answer=answer)
    pieces = text.split(family.audio_token)
    if not answer:
        pieces[len(draft.speech) :] = [""]
    found: list[Entry] = []
    for number, piece in enumerate(pieces):
        for place, part in enumerate(re.split(_CUT, piece)):
            if place % 2:
                found += sayings.tokens(draft.answers[int(part)], family.encode)
            elif part:
                found += family.encode(part)
        if number < len(draft.speech):
            found += blocks(draft.speech[number])
    return found


class _Drafting:
    """Messages, as they come to be."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.speech: list[Speech] = []
        self.answers: list[str] = []

    def add(self, item: Item) -> None:
        """One more item."""
        if isinstance(item, FunctionCall):
            self._add_call(item)
        elif isinstance(item, FunctionCallOutput):
            self.messages.append({"role": "tool", "content": plain(item.output)})
        elif item.role == "assistant":
            self._add_answer(item)
        else:
            self._add_message(item)

    def _add_message(self, message: Message) -> None:
        """What the user or the system says. Pictures are left out: nobody looks at them here."""
        parts: list[dict[str, str]] = []
        spoken = 0
        for part in message.content:
            if isinstance(part, InputAudioPart):
                if part.audio is UNSET:
                    parts.append({"type": "text", "text": plain(part.transcript or "")})
                    continue
                item_id = "" if message.id is UNSET else message.id
                format = PCM if part.format is UNSET else part.format
                self.speech.append(Speech(item_id, spoken, part.audio, format))
                parts.append({"type": "audio"})
                spoken += 1
            elif text := getattr(part, "text", ""):
                parts.append({"type": "text", "text": plain(text)})
        if not spoken:
            self.messages.append({"role": message.role, "content": "\n".join(part["text"] for part in parts)})
        elif parts:
            self.messages.append({"role": message.role, "content": parts})

    def _add_answer(self, message: Message) -> None:
        """What the model has said, as far as it was heard. Nothing of it: nothing was said."""
        words = [part.transcript for part in message.content if isinstance(part, OutputAudioPart)]
        words += [part.text for part in message.content if isinstance(part, OutputTextPart)]
        if text := "\n".join(filter(None, words)).strip():
            self.messages.append({"role": "assistant", "content": _ANSWER.format(len(self.answers))})
            self.answers.append(plain(text))

    def _add_call(self, call: FunctionCall) -> None:
        """A call belongs to the answer before it."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": ""})
        function = {"name": plain(call.name), "arguments": plain(call.arguments or "{}")}
        entry = {"id": call_id(call), "type": "function", "function": function}
        self.messages[-1].setdefault("tool_calls", []).append(entry)
