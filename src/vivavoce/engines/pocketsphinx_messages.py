"""What the server and the process that recognises a turn say to each other: msgpack, each message after its length.

Begin, Sound, Sound, …, Finish ──▶
                               ◀── Words, Words, …, Done
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from vivavoce.audio import Encoding
from vivavoce.protocol.objects import LogProb

if TYPE_CHECKING:
    import asyncio  # Not in the child: the server waits for it to load.

_LENGTH_BYTES: Final = 4


class Begin(Struct, frozen=True, tag=True):
    """A turn begins. The first message."""

    phrases: tuple[str, ...] = ()
    """Words and phrases that are likely to come."""


class Sound(Struct, frozen=True, tag=True):
    """Its next audio, as the client sent it."""

    audio: bytes
    encoding: Encoding


class Finish(Struct, frozen=True, tag=True):
    """It is over."""


class Words(Struct, frozen=True, tag=True):
    """Words that will not change any more. All of them, joined, are the transcript."""

    text: str
    logprobs: tuple[LogProb, ...] = ()


class Done(Struct, frozen=True, tag=True):
    """There are no more words. The last message."""


ToProcess = Begin | Sound | Finish
FromProcess = Words | Done

_encoder = msgspec.msgpack.Encoder()
_to_process: msgspec.msgpack.Decoder[ToProcess] = msgspec.msgpack.Decoder(ToProcess)
_from_process: msgspec.msgpack.Decoder[FromProcess] = msgspec.msgpack.Decoder(FromProcess)


def encode(message: ToProcess | FromProcess) -> bytes:
    """The bytes of a message on the socket."""
    payload = _encoder.encode(message)
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


def messages_for_process(connection: socket.socket) -> Iterator[ToProcess]:
    """The process's side: each message as it comes. Raises `EOFError` once the server has closed."""
    with connection.makefile("rb") as stream:
        while True:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "big")
            payload = stream.read(length)
            if not payload or len(payload) < length:
                raise EOFError
            yield _to_process.decode(payload)


async def messages_from_process(reader: asyncio.StreamReader) -> AsyncIterator[FromProcess]:
    """The server's side: each message as it comes. Raises `asyncio.IncompleteReadError` once the process is dead."""
    while True:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        yield _from_process.decode(await reader.readexactly(length))
