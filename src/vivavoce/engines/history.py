"""Reading the conversation that a `Generate` carries."""

from __future__ import annotations

from collections.abc import Iterable

from vivavoce.protocol.objects import (
    FunctionCall,
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


def newest(items: Iterable[Item]) -> Message | FunctionCallOutput | None:
    """What the assistant has to answer: the newest message of the user or output of a function."""
    for item in reversed(tuple(items)):
        if isinstance(item, FunctionCallOutput) or (isinstance(item, Message) and item.role == "user"):
            return item
    return None


def heard_nothing(items: Iterable[Item]) -> bool:
    """All that the user said since the assistant's last words was speech in which nothing was understood: a cough, a door.

    A function's output, a text, a picture, or a later word of the client's (a system message) has to be answered even so.
    """
    found = False
    for item in reversed(tuple(items)):
        if not isinstance(item, Message):
            return found and isinstance(item, FunctionCall)
        if item.role == "user":
            if words_of(item) or not all(isinstance(part, InputAudioPart) for part in item.content):
                return False
            found = True
        elif item.role == "assistant" and words_of(item):
            return found
        elif item.role == "system" and not found:
            return False
    return found


def last_said(items: Iterable[Item]) -> str:
    """The words of `newest`, or `""`."""
    item = newest(items)
    return words_of(item) if item else ""


def said_by_assistant(items: Iterable[Item]) -> str:
    """All the words of the assistant, oldest first, joined by spaces."""
    spoken = (words_of(item) for item in items if isinstance(item, Message) and item.role == "assistant")
    return " ".join(filter(None, spoken))
