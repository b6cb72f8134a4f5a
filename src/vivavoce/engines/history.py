"""Reading the conversation that a `Generate` carries."""

from __future__ import annotations

from collections.abc import Iterable

from vivavoce.protocol.objects import (
    FunctionCallOutput,
    InputAudioPart,
    InputImagePart,
    Item,
    Message,
    OutputAudioPart,
)


def words_of(item: Item) -> str:
    """What an item says: its texts and transcripts, joined by spaces. A function call says nothing."""
    if isinstance(item, FunctionCallOutput):
        return item.output
    if not isinstance(item, Message):
        return ""
    words = []
    for part in item.content:
        if isinstance(part, InputAudioPart | OutputAudioPart):
            words.append(part.transcript or "")
        elif not isinstance(part, InputImagePart):
            words.append(part.text)
    return " ".join(filter(None, words))


def last_said(items: Iterable[Item]) -> str:
    """What the assistant has to answer: the words of the newest user message or function output, or `""`."""
    for item in reversed(tuple(items)):
        if isinstance(item, FunctionCallOutput) or (isinstance(item, Message) and item.role == "user"):
            return words_of(item)
    return ""
