"""One response of another Realtime server, from `response.create` to `response.done`."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from typing import Final

from vivavoce.engine_api import Generate
from vivavoce.engines.realtime_line import Target
from vivavoce.engines.realtime_wire import Received, ServerItem, ServerResponse, message_of, reason_of, usage_of
from vivavoce.engines.spoken_answer import SpokenAnswer
from vivavoce.engines.streaming import GenerationEvent
from vivavoce.protocol.errors import EngineError


class OutOfStep(EngineError):
    """The server refused to be told something: its conversation is not what we think it is."""


class ServerAnswer:
    """What was asked, and what comes of it. Events come in by `put`, in order."""

    def __init__(self, request: Generate, *, aside: bool, epoch: int) -> None:
        self.request: Final = request
        self.aside: Final = aside
        """Out of band: the server's conversation does not get it."""
        self.epoch: Final = epoch
        """The connection on which it was asked."""
        self.theirs = ""
        """The server's id of it, once it told."""
        self.event_id = ""
        """Of our `response.create`."""
        self.is_unwanted = False
        """Nobody listens any more: the server is told to stop, and what still comes is not passed on."""
        self.over: Final = asyncio.Event()
        """The server is done with it, or is gone."""
        self.message_is_open = False
        """The last item that it began is a message."""
        self._events: asyncio.Queue[Received | EngineError] = asyncio.Queue()

    def put(self, event: Received | EngineError) -> None:
        """The next event, or why there will be none."""
        if isinstance(event, EngineError) or event.type == "response.done":
            self.over.set()
        if not self.is_unwanted:
            self._events.put_nowait(event)

    async def events(self, first_seconds: float, silence_seconds: float) -> AsyncIterator[Received]:
        """The events, `response.done` last. Raises `EngineError`, and `TimeoutError` where the server takes too long.

        `response.created` and the like say nothing yet: the first word, sound or call has to come in `first_seconds`.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + first_seconds
        while True:
            async with asyncio.timeout_at(deadline):
                event = await self._events.get()
            if isinstance(event, EngineError):
                raise type(event)(event.code, event.message)
            yield event
            if event.type == "response.done":
                return
            if event.delta or (event.item is not None and event.item.type == "function_call"):
                deadline = now() + silence_seconds


class Telling:
    """The server's events, as the engine's."""

    def __init__(self, request: Generate, target: Target) -> None:
        self._answer = SpokenAnswer(request)
        self._target = target
        self._spoken = "audio" in request.modalities
        self._now = asyncio.get_running_loop().time
        self._calls: dict[str, str] = {}
        """Calls that were told, by the server's item, and their `call_id`s."""
        self._has_arguments: set[str] = set()

    @property
    def said_something(self) -> bool:
        """The client heard of it."""
        return self._answer.said_something

    def tell(self, event: Received) -> Iterator[GenerationEvent]:
        """The events to emit. Raises `EngineError`."""
        match event.type:
            case "response.output_audio.delta":
                yield from self._answer.sound(self._pcm(event.delta or ""), self._now())
            case "response.output_audio_transcript.delta":
                yield from self._answer.words(event.delta or "")
            case "response.output_text.delta":
                yield from self._answer.text(event.delta or "")
            case "response.output_item.added" | "response.output_item.done" if event.item is not None:
                yield from self._item(event.item, is_whole=event.type.endswith("done"))
            case "response.function_call_arguments.delta":
                yield from self._arguments(event.item_id, event.delta or "")
            case "response.done":
                yield from self._end(event.response or ServerResponse())

    def _pcm(self, data: str) -> bytes:
        try:
            pcm = b64decode(data, validate=True)
        except binascii.Error as error:
            raise self._target.failure("upstream_invalid", "sent sound that is not to be read.", error) from None
        return pcm[: len(pcm) & ~1]

    def _item(self, item: ServerItem, *, is_whole: bool) -> Iterator[GenerationEvent]:
        """A call begins; or is whole, for servers that say so only then."""
        if item.type == "message" and not is_whole and self._spoken:
            yield from self._answer.words(" ")  # Two messages in a row are one of ours.
        if item.type != "function_call" or not item.name:
            return
        if item.id not in self._calls:
            self._calls[item.id] = item.call_id or item.id
            yield from self._answer.call(self._calls[item.id], item.name)
        if is_whole and item.id not in self._has_arguments:
            yield from self._arguments(item.id, item.arguments or "{}")

    def _arguments(self, item_id: str, delta: str) -> Iterator[GenerationEvent]:
        if (call_id := self._calls.get(item_id)) is not None and delta:
            self._has_arguments.add(item_id)
            yield from self._answer.arguments(call_id, delta)

    def _end(self, response: ServerResponse) -> Iterator[GenerationEvent]:
        usage, reason = usage_of(response.usage), reason_of(response)
        match response.status:
            case "failed":
                raise failure_of(self._target, reason, message_of(response))
            case "cancelled":
                raise self._target.failure("upstream_failed", "cancelled its answer.", reason)
            case "incomplete" if reason == "content_filter":
                yield from self._answer.end("content_filter", usage)
            case "incomplete":
                yield from self._answer.end("max_output_tokens", usage)
            case _:
                yield from self._answer.end("completed", usage)


def failure_of(target: Target, kind: str, message: str) -> EngineError:
    """The server's error in our codes. `kind` is its code, or its type where it has none."""
    said = " ".join(message.split())[:300] or "it does not say why."
    if "rate_limit" in kind or kind == "insufficient_quota":
        return target.failure("rate_limit_exceeded", f"has had enough requests: {said}", kind)
    if "api_key" in kind or "auth" in kind or kind == "permission_denied":
        return target.failure("upstream_unauthorized", "refused the credentials in the settings.", kind)
    if "invalid" in kind or "unknown" in kind or "missing" in kind or "not_found" in kind:
        return target.failure("upstream_rejected", f"refused the request: {said}", f"{kind}: {said}")
    return target.failure("upstream_failed", f"failed: {said}", f"{kind}: {said}")
