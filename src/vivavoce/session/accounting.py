"""Tokens: what a context costs, what fits, and the usage that a response reports.

Audio counts as the hosted API counts it: 1 token per 100 ms heard, 1 per 50 ms spoken. Text counts 1 token per 4
characters, the usual estimate for English, because the core has no tokenizer. An engine that counts for itself overrules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from vivavoce.audio import bytes_to_samples, ms_to_samples
from vivavoce.protocol.config import RetentionRatio, Truncation
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import (
    PCM,
    CachedTokens,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudioPart,
    InputImagePart,
    InputTextPart,
    InputTokens,
    Item,
    OutputAudioPart,
    OutputTextPart,
    OutputTokens,
    Usage,
)

CHARACTERS_PER_TOKEN: Final = 4
HEARD_SAMPLES_PER_TOKEN: Final = ms_to_samples(100)
SPOKEN_SAMPLES_PER_TOKEN: Final = ms_to_samples(50)
IMAGE_TOKENS: Final = 85
"""What the hosted API counts for an image of low detail; the core does not open images."""


class Tally(Struct, frozen=True):
    """Input tokens by modality."""

    text: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.text + self.audio + self.image

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.text + other.text, self.audio + other.audio, self.image + other.image)


def text_tokens(text: str) -> int:
    """Estimated tokens of a text."""
    return character_tokens(len(text))


def character_tokens(characters: int) -> int:
    """Estimated tokens of so many characters."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def heard_tokens(samples: int) -> int:
    """Tokens of audio in a context."""
    return -(-samples // HEARD_SAMPLES_PER_TOKEN)


def spoken_tokens(samples: int) -> int:
    """Tokens of audio in an answer."""
    return -(-samples // SPOKEN_SAMPLES_PER_TOKEN)


def tally_of(item: Item) -> Tally:
    """What an item, with its audio, costs to read."""
    if isinstance(item, FunctionCall):
        return Tally(text_tokens(item.name) + text_tokens(item.arguments))
    if isinstance(item, FunctionCallOutput):
        return Tally(text_tokens(item.output))
    return sum((_part_tally(part) for part in item.content), Tally())


def _part_tally(part: object) -> Tally:
    match part:
        case InputTextPart(text=text) | OutputTextPart(text=text):
            return Tally(text=text_tokens(text))
        case InputAudioPart() | OutputAudioPart() if part.audio is not UNSET:
            encoding = PCM.type if part.format is UNSET else part.format.type
            return Tally(audio=heard_tokens(bytes_to_samples(len(part.audio), encoding)))
        case OutputAudioPart(transcript=transcript):
            return Tally(text=text_tokens(transcript))
        case InputImagePart():
            return Tally(image=IMAGE_TOKENS)
        case _:
            return Tally()


def fixed_tally(instructions: str, tools: Iterable[FunctionTool]) -> Tally:
    """What instructions and tools cost."""
    return Tally(text_tokens(instructions) + sum(text_tokens(msgspec.json.encode(tool).decode()) for tool in tools))


def fit(items: Sequence[Item], fixed_tokens: int, context_tokens: int, truncation: Truncation) -> tuple[Item, ...]:
    """The newest items that fit. Raises `RequestError` where truncation is disabled and they do not all fit.

    > "Truncation is triggered when the conversation is longer than the model's context, or the configured token limit;
    > `retention_ratio` then drops more than needed, so that it happens, and a cache is lost, less often." (truncation)
    """
    limit, keep = _limits(fixed_tokens, context_tokens, truncation)
    costs = [tally_of(item).total for item in items]
    total = sum(costs)
    if total <= limit:
        return tuple(items)
    if truncation == "disabled":
        message = f"The conversation has {total + fixed_tokens} tokens; the model's context has {context_tokens}."
        raise RequestError("context_length_exceeded", message)
    first = 0
    while total > keep and first < len(items) - 1:
        total -= costs[first]
        first += 1
    return _without_orphans(items[first:])


def _limits(fixed_tokens: int, context_tokens: int, truncation: Truncation) -> tuple[int, int]:
    """The tokens of items at which truncation sets in, and how many it keeps."""
    room = max(context_tokens - fixed_tokens, 0)
    if not isinstance(truncation, RetentionRatio):
        return room, room
    limits = truncation.token_limits
    if limits is not UNSET and limits.post_instructions is not UNSET:
        room = min(room, limits.post_instructions)
    return room, int(room * truncation.retention_ratio)


def _without_orphans(items: Sequence[Item]) -> tuple[Item, ...]:
    """A function's output makes no sense without its call."""
    calls = {item.call_id for item in items if isinstance(item, FunctionCall)}
    return tuple(item for item in items if not isinstance(item, FunctionCallOutput) or item.call_id in calls)


def usage_of(read: Tally, cached: Tally, written_tokens: int, spoken: int) -> Usage:
    """The usage that `response.done` reports."""
    return Usage(
        total_tokens=read.total + written_tokens + spoken,
        input_tokens=read.total,
        output_tokens=written_tokens + spoken,
        input_token_details=InputTokens(
            text_tokens=read.text,
            audio_tokens=read.audio,
            image_tokens=read.image,
            cached_tokens=cached.total,
            cached_tokens_details=CachedTokens(cached.text, cached.audio, cached.image),
        ),
        output_token_details=OutputTokens(text_tokens=written_tokens, audio_tokens=spoken),
    )
