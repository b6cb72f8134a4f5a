"""Another server that speaks the OpenAI API, as a part of a cascade sees it.

    post ─▶ head in time? ─▶ status good? ─▶ Reply: chunks, events or the whole ─▶ closed, wherever the caller stops

Whatever goes wrong on the way is an `EngineError` with one of these codes, and one line in the log:

    upstream_unreachable    nobody answers at the address                upstream_invalid        an answer that is no answer
    upstream_timeout        no answer, or silence in the middle of it    rate_limit_exceeded     429
    upstream_disconnected   the connection broke                         upstream_unauthorized   401, 403
    upstream_failed         5xx, or an error in the stream               upstream_rejected       any other refusal

Requests go to the operator's `base_url` and nowhere else: redirects are not followed, no variable of the environment names
another server. The key travels in one header and stands in no message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
from msgspec import Struct

from vivavoce import __version__
from vivavoce.engines.sse import MAX_EVENT_BYTES, EventStream
from vivavoce.engines.upstream_options import UpstreamOptions, address_of, is_loopback, key_of
from vivavoce.protocol.errors import EngineError

__all__ = ["ModelCard", "Reply", "Upstream", "UpstreamOptions"]

logger = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS: Final = 60.0
"""Turns follow each other within seconds: a connection that waits saves the handshake."""
_GREETING_SECONDS: Final = 1.0
"""How long `start` waits for a sign of life. A server that comes up later is found by the first request."""
_LONGEST_REFUSAL_BYTES: Final = 64 * 2**10
_REFUSAL_SECONDS: Final = 2.0
_SHOWN_CHARACTERS: Final = 300
_LARGEST_WHOLE_BYTES: Final = 64 * 2**20


class _ErrorBody(Struct):
    error: Any = None
    message: Any = None
    detail: Any = None


class _Message(Protocol):
    @property
    def error(self) -> Any:
        """Set where something went wrong in the midst of an answer."""


MessageT = TypeVar("MessageT", bound=_Message)


class ModelCard(Struct):
    """A line of `GET /v1/models`."""

    id: str
    max_model_len: int | None = None
    """How much context fits, where the server says (vLLM)."""


class _ModelList(Struct):
    data: list[ModelCard]


class Upstream:
    """The server behind one part. `name` is the part's path in the settings, `subject` what messages call the server."""

    def __init__(
        self, name: str, subject: str, options: UpstreamOptions, longest_event_bytes: int = MAX_EVENT_BYTES
    ) -> None:
        """Raises `SettingsError`. Nothing is contacted yet."""
        self.longest_event_bytes: Final = longest_event_bytes
        self.subject: Final = subject
        self._name: Final = name
        self._options: Final = options
        self._address: Final = address_of(name, options.base_url)
        self._key: Final = key_of(name, options)
        self._client: httpx2.AsyncClient | None = None

    async def start(self) -> list[ModelCard]:
        """Get ready, and see who is there: the models that the server lists. A server that is not there yet is no error."""
        self._client = await asyncio.to_thread(self._made)
        try:
            return await self.models(_GREETING_SECONDS)
        except EngineError:
            return []

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def models(self, seconds: float) -> list[ModelCard]:
        """What the server lists; nothing where it lists in some other way. Raises `EngineError` where it does not answer."""
        async with self._open("GET", "models", {}, seconds) as reply:
            body = await reply.whole()
        try:
            return msgspec.json.decode(body, type=_ModelList).data
        except msgspec.DecodeError:
            return []

    @asynccontextmanager
    async def post(self, path: str, headers: Mapping[str, str] | None = None, **content: Any) -> AsyncIterator[Reply]:
        """Send a request; its reply, once the head says 200. Leaving the block closes the request. Raises `EngineError`."""
        async with self._open("POST", path, {"headers": headers, **content}, self._options.first_seconds) as reply:
            yield reply

    def failure(self, code: str, message: str, detail: object = "") -> EngineError:
        """What went wrong: `message` follows the subject and is for everyone, `detail` is for the operator's log."""
        told = self._redacted(f"{self._name} at {self._address}: {code}: {detail or message}")
        logger.warning("%s", told)
        return EngineError(code, self._redacted(f"{self.subject} {message}"))

    def decoded(self, data: bytes, shape: type[MessageT], name: str) -> MessageT:
        """What the server says in JSON. Raises `EngineError` where it is no `name`, or an error in the place of one."""
        try:
            message = msgspec.json.decode(data, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.failure("upstream_invalid", f"sent something that is no {name}.", error) from None
        if message.error is not None:
            raise self.failure("upstream_failed", f"failed: {_said(message.error) or 'it does not say why.'}")
        return message

    # --- requests ---

    def _made(self) -> httpx2.AsyncClient:
        """The client. Loading certificates takes a while: not for the event loop."""
        headers = {"user-agent": f"vivavoce/{__version__}", "accept-encoding": "identity"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        url = urlsplit(self._address)
        return httpx2.AsyncClient(
            base_url=self._address,
            headers=headers,
            verify=url.scheme == "https",
            trust_env=not is_loopback(url.hostname or ""),  # Proxies and certificates of the operator's environment.
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=self._options.connect_seconds),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=_KEEP_ALIVE_SECONDS),
        )

    @asynccontextmanager
    async def _open(self, method: str, path: str, content: dict[str, Any], seconds: float) -> AsyncIterator[Reply]:
        deadline = asyncio.get_running_loop().time() + seconds
        response = await self._send(method, path, content, deadline)
        reply = Reply(self, response, deadline, self._options.silence_seconds)
        try:
            if response.status_code != 200:
                raise await self._refusal(reply)
            yield reply
        finally:
            await reply.close()

    async def _send(self, method: str, path: str, content: dict[str, Any], deadline: float) -> httpx2.Response:
        """The response's head. A connection that had waited may have been closed meanwhile: then once more, on a new one."""
        if self._client is None:
            raise EngineError("engine_unavailable", f"{self.subject} is not in use: the part is not started.")
        while True:
            steps: set[str] = set()

            async def note(step: str, _: Any, steps: set[str] = steps) -> None:
                steps.add(step)

            request = self._client.build_request(method, path, extensions={"trace": note}, **content)
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._client.send(request, stream=True)
            except TimeoutError:
                raise self.failure("upstream_timeout", "did not answer in time.") from None
            except httpx2.HTTPError as error:
                is_new = any(step.startswith("connection.") for step in steps)
                if is_new or not isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
                    raise self.broken(error) from None

    def broken(self, error: httpx2.HTTPError) -> EngineError:
        """The error for what the connection raised."""
        detail = f"{type(error).__name__}: {error}"
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
            return self.failure("upstream_unreachable", "cannot be reached.", detail)
        if isinstance(error, httpx2.TransportError):
            return self.failure("upstream_disconnected", "broke the connection.", detail)
        return self.failure("upstream_invalid", "answered with something that is not to be read.", detail)

    async def _refusal(self, reply: Reply) -> EngineError:
        """The error for a status other than 200."""
        status, said = reply.status, ""
        try:
            async with asyncio.timeout(_REFUSAL_SECONDS):
                said = _said_in(await reply.whole(_LONGEST_REFUSAL_BYTES))
        except (TimeoutError, EngineError):
            pass  # It refuses: more than that it need not say.
        detail = f"HTTP {status}. {said}".rstrip()
        if status == 429:
            return self.failure("rate_limit_exceeded", f"has had enough requests.{reply.retry_after}", detail)
        if status in (401, 403):
            # What it says is left out: it may quote the key.
            return self.failure("upstream_unauthorized", "refused the credentials in the settings.", f"HTTP {status}.")
        if status >= 500:
            return self.failure("upstream_failed", f"failed (HTTP {status}).", detail)
        if 300 <= status < 400:
            return self.failure("upstream_rejected", "moved: redirects are not followed.", f"{detail} To {reply.location}")
        return self.failure("upstream_rejected", f"refused the request (HTTP {status}): {said}".rstrip(": "), detail)

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "********") if self._key else text


class Reply:
    """A response that is arriving. Waits are bounded: for the first of it by the request's deadline, then by silence."""

    def __init__(self, upstream: Upstream, response: httpx2.Response, deadline: float, silence_seconds: float) -> None:
        self._upstream = upstream
        self._response = response
        self._deadline = deadline
        self._silence_seconds = silence_seconds
        self._begun = False
        self._chunks = response.aiter_raw()
        self._stream = EventStream(upstream.longest_event_bytes)
        self._events: deque[bytes] = deque()

    @property
    def status(self) -> int:
        """HTTP."""
        return self._response.status_code

    @property
    def content_type(self) -> str:
        """Without parameters, in small letters."""
        return self._response.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def location(self) -> str:
        """Where it redirects to."""
        return self._response.headers.get("location", "")

    @property
    def retry_after(self) -> str:
        """A sentence, with a space before it, or nothing."""
        seconds = self._response.headers.get("retry-after", "")
        return f" Try again in {seconds} s." if seconds.replace(".", "", 1).isdecimal() else ""

    async def chunk(self) -> bytes:
        """The next bytes; none at the end. Raises `EngineError`."""
        async with self._in_time():
            chunk = await self._next()
        self._begun = True
        return chunk

    async def event(self) -> bytes | None:
        """The data of the next server-sent event; `None` at the end. Comments keep nothing alive. Raises `EngineError`."""
        async with self._in_time():
            while not self._events:
                chunk = await self._next()
                try:
                    self._events += self._stream.feed(chunk) if chunk else self._stream.flush()
                except ValueError as error:
                    raise self._upstream.failure("upstream_invalid", "answered without end.", error) from None
                if not chunk:
                    break
        self._begun = True
        return self._events.popleft() if self._events else None

    async def whole(self, most_bytes: int = _LARGEST_WHOLE_BYTES) -> bytes:
        """All of it. Raises `EngineError`."""
        body = bytearray()
        while chunk := await self.chunk():
            body += chunk
            if len(body) > most_bytes:
                raise self._upstream.failure("upstream_invalid", "answered without end.")
        return bytes(body)

    async def close(self) -> None:
        """Let go: of the connection too, if there is more to come on it."""
        await self._chunks.aclose()
        await self._response.aclose()

    async def _next(self) -> bytes:
        try:
            return await anext(self._chunks, b"")
        except httpx2.HTTPError as error:
            raise self._upstream.broken(error) from None

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(now + self._silence_seconds if self._begun else self._deadline):
                yield
        except TimeoutError:
            message = "fell silent in the middle of its answer." if self._begun else "did not answer in time."
            raise self._upstream.failure("upstream_timeout", message) from None


# --- what refusals say ---


def _said_in(body: bytes) -> str:
    """What a refusal's JSON says for people; nothing where it is HTML or the like."""
    try:
        fields = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return _said(fields.error or fields.message or fields.detail)


def _said(error: Any) -> str:
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("error")
    text = " ".join(error.split()) if isinstance(error, str) else ""
    return text[:_SHOWN_CHARACTERS]
