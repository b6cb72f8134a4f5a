"""`realtime`: how the other server's failures end. Each is one event, and the next turn is answered."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.engines.probe import PATIENCE_SECONDS, Probe, with_speech
from tests.engines.realtime_scene import HELLO, KEY, SPEECH, Scene, scene
from tests.engines.realtime_upstream_server import Upstream, Wire, answers, fake_server, wire
from tests.engines.upstream_server import QUICK
from tests.live import live
from vivavoce.engine_api import Generate, GenerationDone, GenerationFailed, Listen
from vivavoce.engines import realtime_line
from vivavoce.engines.realtime import Realtime
from vivavoce.protocol.objects import PCM


async def says_nothing(upstream: Upstream) -> None:
    await upstream.next("never")


async def falls_silent(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.speak("I was about to")
    await upstream.next("never")


async def is_cut(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.speak("I was about to")
    upstream.cut()


async def closes(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.close(1008, "enough")


async def closes_at_once(upstream: Upstream) -> None:
    await upstream.close()


async def sends_no_json(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.raw('{"type": "response.output')


async def sends_no_event(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.raw("[1, 2, 3]")


async def sends_bytes(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.raw(b"\x00\xff\x00")


async def sends_wrong_types(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.raw('{"type": "response.output_audio.delta", "delta": 7}')


async def sends_no_sound(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.speak("Hm", "!!!!")


async def fails(upstream: Upstream) -> None:
    await upstream.begin()
    error = {"type": "server_error", "code": "boom", "message": f"It broke. {KEY}"}
    await upstream.done(status="failed", status_details={"type": "failed", "error": error})


async def has_enough(upstream: Upstream) -> None:
    await upstream.begin()
    error = {"type": "requests", "code": "rate_limit_exceeded", "message": "Try again in 7 s."}
    await upstream.done(status="failed", status_details={"type": "failed", "error": error})


async def cancels(upstream: Upstream) -> None:
    await upstream.begin()
    await upstream.done(status="cancelled", status_details={"type": "cancelled", "reason": "turn_detected"})


async def refuses_the_question(upstream: Upstream) -> None:
    asked = await upstream.next("response.create")
    error = {"type": "invalid_request_error", "code": "unknown_parameter", "message": "What?", "event_id": asked["event_id"]}
    await upstream.say("error", error=error)


async def refuses_without_a_name(upstream: Upstream) -> None:
    await upstream.next("response.create")
    await upstream.say("error", error={"type": "invalid_request_error", "code": None, "message": "What?"})


async def refuses_an_item(upstream: Upstream) -> None:
    made = await upstream.next("conversation.item.create")
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "No.", "event_id": made["event_id"]}
    await upstream.say("error", error=error)


async def tells_why_it_closes(upstream: Upstream) -> None:
    await upstream.say("error", error={"type": "invalid_request_error", "code": "invalid_api_key", "message": KEY})
    await upstream.close(3000, "invalid_request_error.invalid_api_key")


FAILURES: dict[Any, str] = {
    says_nothing: "upstream_timeout",
    falls_silent: "upstream_timeout",
    is_cut: "upstream_disconnected",
    closes: "upstream_disconnected",
    closes_at_once: "upstream_disconnected",
    sends_no_json: "upstream_invalid",
    sends_no_event: "upstream_invalid",
    sends_bytes: "upstream_invalid",
    sends_wrong_types: "upstream_invalid",
    sends_no_sound: "upstream_invalid",
    fails: "upstream_failed",
    has_enough: "rate_limit_exceeded",
    cancels: "upstream_failed",
    refuses_the_question: "upstream_rejected",
    refuses_without_a_name: "upstream_rejected",
    refuses_an_item: "upstream_rejected",
    tells_why_it_closes: "upstream_unauthorized",
}


@pytest.mark.parametrize("failing", FAILURES, ids=lambda failing: failing.__name__)
def test_a_failure_is_one_event_and_the_next_turn_is_answered(failing: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def bad(upstream: Upstream) -> None:
        await failing(upstream)
        await answers(upstream)

    async def play(scene: Scene) -> None:
        failed = await scene.ask()
        assert [event for event in failed.events if isinstance(event, GenerationFailed)] == [failed.end]
        assert failed.end.code == FAILURES[failing]
        scene.server.behave = answers
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not isinstance((await scene.ask()).end, GenerationDone):
                assert options, "only where time is short a good server may be too slow"
        for told in (failed.end.message, caplog.text):
            assert KEY not in told

    options = QUICK if FAILURES[failing] == "upstream_timeout" else {}
    scene(play, bad, **options)


@pytest.mark.parametrize(
    ("status", "headers", "code", "message"),
    [
        (401, {}, "upstream_unauthorized", "refused the credentials"),
        (403, {}, "upstream_unauthorized", "refused the credentials"),
        (404, {}, "upstream_rejected", "HTTP 404"),
        (307, {"Location": "http://192.0.2.1/v1/realtime"}, "upstream_rejected", "redirects are not followed"),
        (429, {"Retry-After": "7"}, "rate_limit_exceeded", "Try again in 7 s."),
        (503, {}, "upstream_failed", "HTTP 503"),
        (200, {}, "upstream_rejected", "HTTP 200"),
    ],
)
def test_a_handshake_that_is_refused(
    status: int, headers: dict[str, str], code: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(scene: Scene) -> None:
        scene.server.refuse = (status, headers)
        end = (await scene.ask()).end
        assert (end.code, message in end.message) == (code, True)
        assert KEY not in caplog.text + end.message
        assert "192.0.2.1" not in end.message
        assert len(scene.server.handshakes) == 1
        scene.server.refuse = None
        assert isinstance((await scene.ask()).end, GenerationDone)

    scene(play)


@pytest.mark.parametrize("answer", ["nothing", "no HTTP", "nobody"])
def test_a_port_that_is_no_realtime_server(answer: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer == "no HTTP":
            writer.write(b"\x15\x03\x01\x00\x02\x02 no HTTP\r\n\r\n")
        await reader.read()
        writer.close()

    async def main() -> str:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if answer == "nobody":
            server.close()
            await server.wait_closed()
        seconds = 0.3 if answer == "nothing" else 10
        engine = Realtime({"base_url": f"ws://127.0.0.1:{port}/v1", "connect_seconds": seconds})
        probe = Probe(engine)
        code = (await probe.answer(Generate(response_id="resp_1", items=(HELLO,)))).end.code
        probe.session.close()
        server.close()
        return code

    codes = {"nothing": "upstream_timeout", "no HTTP": "upstream_invalid", "nobody": "upstream_unreachable"}
    assert asyncio.run(main()) == codes[answer]


def test_a_wrong_key() -> None:
    async def main(url: str) -> None:
        for key, code in (("wrong", "upstream_unauthorized"), ("right", None)):
            probe = Probe(Realtime({"base_url": f"{url}/v1", "api_key": key}))
            end = (await probe.answer(Generate(response_id="resp_1", items=(HELLO,)))).end
            assert getattr(end, "code", None) == code
            probe.session.close()

    with live(engine="scripted", api_keys=("right",)) as url:
        asyncio.run(main(url))


def test_speech_that_a_lost_connection_heard_is_told_again() -> None:
    async def hears_half(upstream: Upstream) -> None:
        await upstream.next("input_audio_buffer.append")
        upstream.cut()

    async def play(scene: Scene) -> None:
        submit = scene.probe.session.submit
        submit(Listen("item_1", SPEECH[:4_800], PCM))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await scene.server.gone.wait()
        scene.server.behave = answers
        submit(Listen("item_1", SPEECH[4_800:], PCM))
        submit(Listen("item_1", b"", PCM, final=True))
        assert isinstance((await scene.ask(with_speech(SPEECH, "item_1"))).end, GenerationDone)
        assert "input_audio_buffer.commit" not in scene.said
        part = scene.last("conversation.item.create")["item"]["content"][0]
        assert part == {"type": "input_audio", "audio": b64encode(SPEECH).decode()}

    scene(play, hears_half)


def behind_a_wire(play: Callable[[Probe, Wire], Awaitable[None]]) -> None:
    async def main() -> None:
        async with fake_server(answers) as server, wire(server.url.removesuffix("/v1")) as between:
            probe = Probe(Realtime({"base_url": between.url}))
            await probe.answer(Generate(response_id="resp_0", items=(HELLO,)))
            await play(probe, between)
            probe.session.close()

    asyncio.run(main())


def test_a_server_that_is_gone_without_a_word_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(probe: Probe, between: Wire) -> None:
        monkeypatch.setattr(realtime_line, "_PING_SECONDS", 0.05)
        between.flows.clear()
        failed = (await probe.answer(Generate(response_id="resp_1", items=(HELLO,)))).end
        assert failed.code == "upstream_disconnected"
        monkeypatch.undo()
        between.flows.set()
        assert isinstance((await probe.answer(Generate(response_id="resp_2", items=(HELLO,)))).end, GenerationDone)
        assert between.connections == 2

    behind_a_wire(play)


def test_a_server_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_line, "_MOST_WAITING_BYTES", 2**20)

    async def play(probe: Probe, between: Wire) -> None:
        between.flows.clear()
        asking = asyncio.ensure_future(probe.answer(Generate(response_id="resp_1", items=(HELLO,))))
        while not asking.done():
            probe.session.submit(Listen("item_9", bytes(48_000), PCM))
            await asyncio.sleep(0)
        assert (await asking).end.code == "upstream_timeout"
        between.flows.set()
        assert isinstance((await probe.answer(Generate(response_id="resp_2", items=(HELLO,)))).end, GenerationDone)

    behind_a_wire(play)


def test_the_environment_names_no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def play(scene: Scene) -> None:
        assert isinstance((await scene.ask()).end, GenerationDone)

    scene(play)
