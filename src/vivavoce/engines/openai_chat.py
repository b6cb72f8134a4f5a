"""A chat model behind any `/v1/chat/completions`: Ollama, llama.cpp, vLLM, hosted ones. `docs/how-to/local-models.md`.

    Generate ─ chat_messages ─▶ POST, streamed ─▶ ┊ upstream ┊ ─ chat_chunks ─▶ text, calls, why it ends

Closing the iterator closes the request, and a server that is worth its name stops computing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final, Literal

import msgspec

from vivavoce.engine_api import Generate
from vivavoce.engines.chat_chunks import Answer, ChatChunk, Choice
from vivavoce.engines.chat_messages import call_id, messages, tools
from vivavoce.engines.parts import ChatEvent
from vivavoce.engines.upstream import ModelCard, Reply, Upstream, UpstreamOptions
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import FunctionCall, InputImagePart, Message
from vivavoce.registry import read_options

logger = logging.getLogger(__name__)

_USAGE_SECONDS: Final = 0.5
"""How long the figures may come after the last word: the last clause waits for the end."""
_SHORT_ITEMS: Final = 64
"""Longer conversations, and pictures, are written down in a thread."""


class Options(UpstreamOptions, frozen=True, kw_only=True):
    """What the operator can choose: `[engines.cascade.openai_chat]`."""

    context_tokens: int = 0
    """How much context the server holds. 0: what it says itself, else 128,000."""
    temperature: float | None = None
    """Where the client sets none."""
    reasoning_effort: str = ""
    """Where the client sets none: `none`, `low` … A model that thinks first keeps people waiting."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the limit. OpenAI's newer models want the second."""
    usage: bool = True
    """Ask for token counts (`stream_options`). A few servers refuse the question."""
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict)
    """More fields for every request, as the server's manual has them."""


class OpenAIChat:
    """A `ChatModel`. Shared by all sessions; every reply is a request of its own."""

    part: ClassVar[str] = "openai_chat"
    """Its name, and that of its table in the settings."""
    default_url: ClassVar[str] = ""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """See `Options`. Raises `SettingsError`. Nothing is contacted yet."""
        name = f"cascade.{self.part}"
        self._options = read_options({"base_url": self.default_url, **(options or {})}, Options, name)
        self._upstream = Upstream(name, "The chat model's server", self._options)
        self._model = self._options.model
        self.context_tokens = self._options.context_tokens or 128_000

    async def start(self) -> None:
        """See which models there are. A server that is not there yet is asked again when somebody speaks."""
        self._meet(await self._upstream.start())

    async def reply(self, request: Generate) -> AsyncIterator[ChatEvent]:
        """Answer, as the server's words arrive. Raises `EngineError`."""
        if not self._model:
            self._meet(await self._upstream.models(self._options.first_seconds))
        body = await asyncio.to_thread(self._body, request) if _takes_long(request) else self._body(request)
        used_ids = [call_id(item) for item in request.items if isinstance(item, FunctionCall)]
        answer = Answer(used_ids, parallel=request.parallel_tool_calls)
        headers = {"content-type": "application/json"}
        async with self._upstream.post("chat/completions", headers, content=body) as reply:
            while (chunk := await self._chunk(reply, answer)) is not None:
                for event in answer.feed(chunk):
                    yield event
        for event in answer.end():
            yield event

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()

    def _meet(self, cards: list[ModelCard]) -> None:
        """Choose a model where the operator named none; take the server's word for how much it holds."""
        if not self._model:
            named = [card.id for card in cards if "embed" not in card.id]
            if not named:
                return
            self._model = named[0]
            logger.info("engines.cascade.%s.model: %s, the first of %d", self.part, self._model, len(named))
        for card in cards:
            if card.id == self._model and card.max_model_len and not self._options.context_tokens:
                self.context_tokens = card.max_model_len

    def _body(self, request: Generate) -> bytes:
        """The request as JSON."""
        options = self._options
        temperature = options.temperature if request.temperature is None else request.temperature
        effort = request.reasoning_effort or options.reasoning_effort
        optional = {
            "model": self._model or None,
            "temperature": temperature,
            "reasoning_effort": effort or None,
            options.max_tokens_field: request.max_output_tokens,
            "stream_options": {"include_usage": True} if options.usage else None,
        }
        fields: dict[str, Any] = {
            "stream": True,
            "messages": messages(request.instructions, request.items),
            **{name: value for name, value in optional.items() if value is not None},
            **tools(request),
            **options.extra_body,
        }
        return msgspec.json.encode(fields)

    async def _chunk(self, reply: Reply, answer: Answer) -> ChatChunk | None:
        """The next chunk; `None` at the end. After the last word only figures are due, and not for long."""
        if answer.finished:
            try:
                async with asyncio.timeout(_USAGE_SECONDS):
                    return await self._read(reply)
            except (TimeoutError, EngineError):
                return None
        chunk = await self._read(reply)
        if chunk is None and not answer.finished:
            raise self._upstream.failure("upstream_disconnected", "broke off in the middle of its answer.")
        return chunk

    async def _read(self, reply: Reply) -> ChatChunk | None:
        if reply.content_type == "application/json":
            return self._decoded(await reply.whole())  # It does not stream; or it fails with status 200.
        if reply.content_type not in ("text/event-stream", ""):
            raise self._upstream.failure("upstream_invalid", "does not speak this API.", f"It sent {reply.content_type}.")
        data = await reply.event()
        if data is None:
            return None
        if data.strip() == b"[DONE]":
            return ChatChunk(choices=[Choice(finish_reason="stop")])
        return self._decoded(data)

    def _decoded(self, data: bytes) -> ChatChunk | None:
        return self._upstream.decoded(data, ChatChunk, "chat completion") if data else None


class Ollama(OpenAIChat):
    """Ollama on its usual port."""

    part = "ollama"
    default_url = "http://127.0.0.1:11434/v1"


class LlamaCpp(OpenAIChat):
    """llama.cpp's server on its usual port."""

    part = "llamacpp"
    default_url = "http://127.0.0.1:8080/v1"


class Vllm(OpenAIChat):
    """vLLM on its usual port."""

    part = "vllm"
    default_url = "http://127.0.0.1:8000/v1"


def _takes_long(request: Generate) -> bool:
    return len(request.items) > _SHORT_ITEMS or any(
        isinstance(part, InputImagePart) for item in request.items if isinstance(item, Message) for part in item.content
    )
