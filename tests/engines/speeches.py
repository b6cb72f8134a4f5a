"""What a voice says, put together from the pieces in which it comes."""

from collections.abc import AsyncIterator

from vivavoce.engine_api import Mark
from vivavoce.engines.parts import Speech


async def collected(speeches: AsyncIterator[Speech]) -> list[Speech]:
    return [speech async for speech in speeches]


def pcm_of(speeches: list[Speech]) -> bytes:
    return b"".join(speech.pcm for speech in speeches)


def marks_of(speeches: list[Speech]) -> list[Mark]:
    return [mark for speech in speeches for mark in speech.marks]
