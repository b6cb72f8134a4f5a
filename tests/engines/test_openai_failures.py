"""Whatever a server does wrong, each part ends with one clear `EngineError`, says nothing secret, and works again after."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.engines.probe import in_use
from tests.engines.upstream_server import QUICK, Out, Received, UpstreamServer, chunk, models, upstream, well
from vivavoce.engine_api import Generate
from vivavoce.engines.openai_chat import LlamaCpp, Ollama, OpenAIChat, Vllm
from vivavoce.engines.openai_chat import Options as ChatOptions
from vivavoce.engines.openai_speech import OpenAISpeech
from vivavoce.engines.openai_transcriptions import OpenAITranscriptions
from vivavoce.engines.parts import Hints, Utterance
from vivavoce.engines.upstream import Upstream, UpstreamOptions
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import PCM, InputTextPart, Message

KEY = "sk-never-to-be-seen"
HELLO = Generate(response_id="resp_1", items=(Message(role="user", content=(InputTextPart("hello"),)),))
PATIENT = {"api_key": KEY, "model": "tiny"}
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

Work = Callable[[str], Awaitable[None]]


async def chat(url: str, **options: Any) -> None:
    async with in_use(OpenAIChat({"base_url": url, **PATIENT, **options})) as part:
        async for _ in part.reply(HELLO):
            pass


async def transcribe(url: str, **options: Any) -> None:
    async with in_use(OpenAITranscriptions({"base_url": url, **PATIENT, **options})) as part:
        turn = part.recognize(Hints(), lambda delta: None)
        turn.feed(bytes(48_000), PCM)
        await turn.finish()


async def speak(url: str, **options: Any) -> None:
    async with in_use(OpenAISpeech({"base_url": url, **PATIENT, **options})) as part:
        async for _ in part.speak(Utterance(text="Hello.")):
            pass


# --- what a server may do ---


async def says_nothing(request: Received, out: Out) -> None:
    await out.silence()


async def falls_silent(request: Received, out: Out) -> None:
    await begin(request, out)
    await out.silence()


async def keeps_alive_and_says_nothing(request: Received, out: Out) -> None:
    await out.head()
    while True:
        await out.write(b": ping\n\n")
        await asyncio.sleep(0.02)


async def is_cut(request: Received, out: Out) -> None:
    await begin(request, out)
    out.cut()


async def is_cut_at_once(request: Received, out: Out) -> None:
    out.cut()


async def ends_early(request: Received, out: Out) -> None:
    await out.head()
    if "chat" in request.path:
        await out.event(chunk(content="I was about to"))


async def sends_bad_json(request: Received, out: Out) -> None:
    await out.head()
    await out.event('{"choices": [{"delta": {"content": "I was')


async def sends_wrong_types(request: Received, out: Out) -> None:
    await out.head()
    await out.event({"choices": 7, "delta": 7, "audio": 7})


async def sends_html_with_status_200(request: Received, out: Out) -> None:
    await out.whole(200, "text/html; charset=utf-8", HTML)


async def sends_html(request: Received, out: Out) -> None:
    await out.whole(500, "text/html", HTML)


async def sends_no_http(request: Received, out: Out) -> None:
    await out.raw(b"\x15\x03\x01\x00\x02\x02 this is no HTTP\r\n\r\n")
    await out.silence()


async def has_enough(request: Received, out: Out) -> None:
    body = b'{"error": {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}}'
    await out.whole(429, "application/json", body, retry_after="7")


async def refuses_the_key(request: Received, out: Out) -> None:
    await out.whole(401, "application/json", b'{"error": {"message": "Incorrect API key: %s"}}' % KEY.encode())


async def refuses_the_request(request: Received, out: Out) -> None:
    body = b'{"error": {"message": "model \\"tiny\\" not found; key %s", "type": "not_found"}}' % KEY.encode()
    await out.whole(404, "application/json", body)


async def redirects(request: Received, out: Out) -> None:
    await out.whole(307, "text/plain", b"", location="http://192.0.2.1/v1")


async def errs_in_the_stream(request: Received, out: Out) -> None:
    await begin(request, out, "text/event-stream")
    await out.event({"error": {"message": "CUDA out of memory", "code": 500}})


async def never_ends_a_line(request: Received, out: Out) -> None:
    await out.head()
    await out.write(b"data: ")
    while True:
        await out.write(b"x" * 2**20)


async def begin(request: Received, out: Out, content_type: str = "") -> None:
    """The beginning of a good answer."""
    if "speech" in request.path and not content_type:
        await out.head(content_type="audio/pcm")
        await out.write(bytes(480))
    else:
        await out.head()
        await out.event(chunk(content="I was about to"))


FAILURES = {
    says_nothing: "upstream_timeout",
    falls_silent: "upstream_timeout",
    keeps_alive_and_says_nothing: "upstream_timeout",
    is_cut: "upstream_disconnected",
    is_cut_at_once: "upstream_disconnected",
    ends_early: "upstream_disconnected",
    sends_bad_json: "upstream_invalid",
    sends_wrong_types: "upstream_invalid",
    sends_html_with_status_200: "upstream_invalid",
    sends_html: "upstream_failed",
    sends_no_http: "upstream_disconnected",
    has_enough: "rate_limit_exceeded",
    refuses_the_key: "upstream_unauthorized",
    refuses_the_request: "upstream_rejected",
    redirects: "upstream_rejected",
    errs_in_the_stream: "upstream_failed",
    never_ends_a_line: "upstream_invalid",
}


@pytest.mark.parametrize("part", [chat, transcribe, speak], ids=lambda part: part.__name__)
@pytest.mark.parametrize("answer", FAILURES, ids=lambda answer: answer.__name__)
def test_a_failure_is_one_clear_error(answer: Any, part: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def bad(request: Received, out: Out) -> None:
        await (models if request.path.endswith("models") else answer)(request, out)

    async def main() -> EngineError:
        async with upstream(bad) as server:
            waits = QUICK if FAILURES[answer] == "upstream_timeout" else {}
            with pytest.raises(EngineError) as caught:
                await part(server.url, **waits)
            server.answer = well
            await part(server.url)
        return caught.value

    error = asyncio.run(main())
    assert error.code == FAILURES[answer]
    assert error.message.endswith(".") or "not found" in error.message or "out of memory" in error.message
    assert "<html" not in error.message
    [line] = [
        record for record in caplog.records if record.levelno >= logging.WARNING and record.name.startswith("vivavoce")
    ]
    assert error.code in line.getMessage()
    for told in (error.message, caplog.text):
        assert KEY not in told


def test_refusals_say_what_helps() -> None:
    async def told(answer: Any) -> str:
        async with upstream(answer) as server:
            with pytest.raises(EngineError) as caught:
                await chat(server.url)
            return caught.value.message

    assert asyncio.run(told(has_enough)) == "The chat model's server has had enough requests. Try again in 7 s."
    assert 'HTTP 404): model "tiny" not found; key ********' in asyncio.run(told(refuses_the_request))
    assert "CUDA out of memory" in asyncio.run(told(errs_in_the_stream))
    assert "192.0.2.1" not in asyncio.run(told(redirects))


@pytest.mark.parametrize("part", [chat, transcribe, speak], ids=lambda part: part.__name__)
def test_nobody_there(part: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(EngineError) as caught:
            asyncio.run(part(f"http://127.0.0.1:{unused.getsockname()[1]}/v1"))
    assert caught.value.code == "upstream_unreachable"


def test_a_port_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        with pytest.raises(EngineError) as caught:
            asyncio.run(chat(url, **QUICK))
    assert caught.value.code == "upstream_timeout"


def test_a_connection_that_was_closed_meanwhile_is_made_anew() -> None:
    async def main(server: UpstreamServer) -> None:
        part = OpenAIChat({"base_url": server.url, **PATIENT})
        await part.start()
        assert [event async for event in part.reply(HELLO)]
        assert server.connections == 1

        async def closes(request: Received, out: Out) -> None:
            if server.connections == 1:
                out.cut()
            await well(request, out)

        server.answer = closes
        assert [event async for event in part.reply(HELLO)]
        assert server.connections == 2
        await part.close()

    async def scene() -> None:
        async with upstream(well) as server:
            await main(server)

    asyncio.run(scene())


def test_a_server_that_comes_up_later_is_found() -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        part = OpenAIChat({"base_url": f"http://127.0.0.1:{port}/v1"})
        await part.start()
        served = UpstreamServer(well)
        server = await asyncio.start_server(served.serve, "127.0.0.1", port)
        assert [event async for event in part.reply(HELLO)]
        assert served.last.json["model"] == "tiny"
        await part.close()
        server.close()

    asyncio.run(main())


# --- settings ---


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "base_url: say where the server is"),
        ({"base_url": "127.0.0.1:11434"}, "no http"),
        ({"base_url": "ftp://127.0.0.1/v1"}, "no http"),
        ({"base_url": "http://[::1/v1"}, "no URL"),
        ({"base_url": "http://me:hidden@127.0.0.1/v1"}, "no credentials here"),
        ({"base_url": "http://127.0.0.1/v1/chat/completions"}, "the path of the API is added"),
        ({"base_url": "http://127.0.0.1/v1?key=hidden"}, "no http"),
        ({"api_key_env": "NOT_SET_ANYWHERE"}, "the variable NOT_SET_ANYWHERE is not set"),
        ({"api_key": "a", "api_key_env": "B"}, "not both"),
        ({"api_key": "hidden\n"}, "no header can carry"),
        ({"silence_seconds": 0}, "silence_seconds"),
        ({"silence_seconds": "soon"}, "silence_seconds"),
        ({"colour": "red"}, "unknown option 'colour'"),
    ],
)
@pytest.mark.parametrize("part", [OpenAIChat, OpenAITranscriptions, OpenAISpeech])
def test_settings_that_cannot_work(part: Any, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        part({"base_url": "http://127.0.0.1:1/v1", **options} if options else {})
    assert str(caught.value).startswith("engines.cascade.openai_")
    assert "hidden" not in str(caught.value)


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)

    async def main() -> None:
        async with upstream(well) as server:
            await chat(server.url, api_key="", api_key_env="MY_KEY")
            assert server.last.headers["authorization"] == f"Bearer {KEY}"
            await chat(server.url, api_key="")
            assert "authorization" not in server.last.headers

    asyncio.run(main())
    for options in (UpstreamOptions, ChatOptions):
        assert KEY not in repr(options(base_url="http://127.0.0.1/v1", api_key=KEY))


def test_the_environment_sends_no_request_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def main() -> None:
        async with upstream(well) as server:
            await chat(server.url, api_key="")
            assert "authorization" not in server.last.headers

    asyncio.run(main())


def test_presets_know_their_usual_ports() -> None:
    for preset, port in ((Ollama, 11434), (LlamaCpp, 8080), (Vllm, 8000)):
        assert preset.default_url == f"http://127.0.0.1:{port}/v1"
        with pytest.raises(SettingsError, match=rf"engines\.cascade\.{preset.part}\.base_url"):
            preset({"base_url": "nowhere"})


def test_a_part_that_is_not_started_says_so() -> None:
    async def main() -> None:
        upstream = Upstream("cascade.x", "The server", UpstreamOptions(base_url="http://127.0.0.1:1/v1"))
        with pytest.raises(EngineError, match="not started"):
            await upstream.models(1)

    asyncio.run(main())
