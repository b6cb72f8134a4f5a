"""`realtime`: what it says to the other server, and how that server's failures end."""

import asyncio
import logging
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.engines.probe import PATIENCE_SECONDS, WEATHER, Answer, Probe, user_text, with_speech
from tests.engines.realtime_upstream_server import FakeServer, Upstream, Wire, answers, fake_server, wire
from tests.live import live
from vivavoce.audio import Encoder
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    GenerationFailed,
    Listen,
    OutputAudio,
    StopGenerating,
    StopListening,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines import realtime_line
from vivavoce.engines.realtime import Realtime
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import PCM, PCMU, Item, Message, OutputAudioPart

KEY = "sk-never-to-be-seen"
HELLO = user_text("hello")
QUICK = {"first_seconds": 0.3, "silence_seconds": 0.3}
SPEECH = b"\1\2" * 12_000


class Scene:
    """An engine in front of a server, and one session of it."""

    def __init__(self, server: FakeServer, engine: Realtime) -> None:
        self.server = server
        self.engine = engine
        self.probe = Probe(engine)
        self._count = 0

    async def ask(self, *items: Item, **fields: Any) -> Answer:
        self._count += 1
        return await self.probe.answer(Generate(response_id=f"resp_{self._count}", items=items or (HELLO,), **fields))

    @property
    def said(self) -> list[str]:
        """The types of what the server was told, without `event_id`s."""
        return [event["type"] for event in self.server.seen]

    def last(self, kind: str) -> dict[str, Any]:
        return [event for event in self.server.seen if event["type"] == kind][-1]


def scene(play: Callable[[Scene], Awaitable[Any]], behave: Any = answers, **options: Any) -> Any:
    async def main() -> Any:
        async with fake_server(behave) as server:
            engine = Realtime({"base_url": server.url, "api_key": KEY, **options})
            await engine.start()
            scene = Scene(server, engine)
            try:
                return await play(scene)
            finally:
                scene.probe.session.close()
                await engine.close()

    return asyncio.run(main())


# --- what is said ---


def test_nobody_is_contacted_before_there_is_something_to_say() -> None:
    async def play(scene: Scene) -> None:
        await asyncio.sleep(0.02)
        assert scene.server.handshakes == []
        await scene.ask()
        await scene.ask()
        [request] = scene.server.handshakes
        assert request.path == "/v1/realtime?model=gpt-realtime&duplex=1"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert "openai-beta" not in request.headers

    scene(play, model="gpt-realtime", query={"duplex": "1"})


def test_a_turn_goes_up_while_it_is_spoken() -> None:
    """No sound is left to upload when the turn is over."""

    async def play(scene: Scene) -> None:
        submit = scene.probe.session.submit
        for start in range(0, len(SPEECH), 4_800):
            submit(Listen("item_1", SPEECH[start : start + 4_800], PCM))
        submit(Listen("item_1", b"", PCM, final=True))
        await scene.ask(with_speech(SPEECH, "item_1"), instructions="Be brief.", tools=(WEATHER,), voice="verse")
        assert scene.said == [
            "session.update",
            *["input_audio_buffer.append"] * 5,
            "input_audio_buffer.commit",
            "session.update",
            "response.create",
        ]
        first, second = (event["session"] for event in scene.server.seen if event["type"] == "session.update")
        assert first["type"] == "realtime"
        assert first["audio"]["input"] == {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "turn_detection": None,
            "transcription": None,
        }
        assert (second["instructions"], second["audio"]["output"]) == ("Be brief.", {"voice": "verse"})
        response = scene.last("response.create")["response"]
        assert response["output_modalities"] == ["audio"]
        assert response["audio"]["output"]["voice"] == "verse"
        assert response["tools"][0]["name"] == "get_weather"
        assert "conversation" not in response

    scene(play)


def test_what_a_phone_hears_goes_up_as_pcm() -> None:
    encoder = Encoder("audio/pcmu")
    phone = encoder.feed(SPEECH) + encoder.flush()

    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Listen("item_1", phone, PCMU, final=True))
        await scene.ask()
        appended = [event["audio"] for event in scene.server.seen if event["type"] == "input_audio_buffer.append"]
        assert sum(len(audio) * 3 // 4 - audio.count("=") for audio in appended) == len(phone) * 4

    scene(play, input_rate_hz=16_000)


def test_speech_that_came_to_nothing_is_cleared_and_what_is_too_short_is_no_commit() -> None:
    async def play(scene: Scene) -> None:
        submit = scene.probe.session.submit
        submit(Listen("item_1", SPEECH, PCM))
        submit(StopListening("item_1"))
        submit(Listen("item_2", bytes(480), PCM, final=True))
        await scene.ask(with_speech(bytes(480), "item_2"))
        assert scene.said.count("input_audio_buffer.clear") == 2
        assert "input_audio_buffer.commit" not in scene.said
        item = scene.last("conversation.item.create")["item"]
        assert (item["id"], item["content"][0]["type"]) == ("item_2", "input_audio")

    scene(play)


def test_the_beta_dialect() -> None:
    async def play(scene: Scene) -> None:
        past = Message(id="item_a", role="assistant", content=(OutputAudioPart(transcript="Hi."),))
        answer = await scene.ask(past, HELLO, temperature=0.7, max_output_tokens=50)
        assert answer.transcript == "Hello."
        assert scene.server.handshakes[0].headers["openai-beta"] == "realtime=v1"
        session = next(event["session"] for event in scene.server.seen if event["type"] == "session.update")
        assert session["turn_detection"] is None
        assert session["input_audio_format"] == "pcm16"
        response = scene.last("response.create")["response"]
        assert (response["modalities"], response["temperature"]) == (["text", "audio"], 0.7)
        assert response["max_response_output_tokens"] == 50
        created = [event["item"] for event in scene.server.seen if event["type"] == "conversation.item.create"]
        assert created[0]["content"] == [{"type": "text", "text": "Hi."}]

    async def beta(upstream: Upstream) -> None:
        await upstream.begin()
        at = {"response_id": "theirs", "item_id": "i"}
        await upstream.say("response.audio_transcript.delta", delta="Hello.", **at)
        await upstream.say("response.audio.delta", delta="AAAA", **at)
        await upstream.done()

    scene(play, beta, dialect="beta")


def test_something_else_is_asked_aside_and_the_conversation_stays() -> None:
    async def play(scene: Scene) -> None:
        assert (await scene.ask(HELLO)).transcript == "Hello."
        other = Message(id="input_0", role="user", content=HELLO.content)
        assert (await scene.ask(other, modalities=("text",))).events[-1] == GenerationDone("resp_2")
        aside = scene.last("response.create")["response"]
        assert aside["conversation"] == "none"
        assert aside["input"][0]["content"] == [{"type": "input_text", "text": "hello"}]
        assert "conversation.item.delete" not in scene.said
        await scene.ask(HELLO, user_text_as("item_3", "more"))
        assert "conversation" not in scene.last("response.create")["response"]

    scene(play)


def test_a_conversation_that_was_replaced_becomes_the_servers_own() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask(HELLO)
        new, more = user_text_as("item_8", "anew"), user_text_as("item_9", "more")
        await scene.ask(new)
        assert scene.last("response.create")["response"]["conversation"] == "none"
        await scene.ask(new, more)
        assert "conversation" not in scene.last("response.create")["response"]
        deleted = [event["item_id"] for event in scene.server.seen if event["type"] == "conversation.item.delete"]
        assert deleted == ["item_user", "item_theirs"]

    scene(play)


def user_text_as(item_id: str, text: str) -> Message:
    return Message(id=item_id, role="user", content=user_text(text).content)


def test_a_stop_cancels_and_the_next_answer_waits_for_that() -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.begin("first")
        await upstream.speak("One two three", b64encode(bytes(48_000)).decode(), "first", "item_first")
        await upstream.next("response.cancel")
        await upstream.speak("", b64encode(bytes(4_800)).decode(), "first", "item_first")
        await upstream.say("response.done", response={"id": "first", "status": "cancelled"})
        await upstream.answer()

    async def play(scene: Scene) -> None:
        probe = scene.probe
        probe.session.submit(Generate(response_id="resp_x", items=(HELLO,)))
        await probe.until(lambda event: isinstance(event, OutputAudio))
        probe.session.submit(StopGenerating("resp_x"))
        heard = Message(id="item_a", role="assistant", content=(OutputAudioPart(transcript="One", audio=bytes(16_000)),))
        answer = await scene.ask(HELLO, heard, user_text_as("item_2", "go on"))
        assert answer.transcript == "Hello."
        cut = scene.last("conversation.item.truncate")
        assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item_first", 0, 333)
        assert scene.last("response.cancel")["response_id"] == "first"
        assert scene.said.index("response.cancel") < scene.said.index("conversation.item.truncate")

    scene(play, behave)


def test_a_stop_before_the_server_has_begun_is_told_as_soon_as_it_has() -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def behave(upstream: Upstream) -> None:
        await upstream.next("response.create")
        asked.set()
        await stopped.wait()
        await upstream.say("response.created", response={"id": "first"})
        assert (await upstream.next("response.cancel"))["response_id"] == "first"
        await upstream.say("error", error={"code": "response_cancel_not_active", "event_id": "cancel_9", "message": ""})
        await upstream.done("first")
        await upstream.answer()

    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Generate(response_id="resp_x", items=(HELLO,)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asked.wait()
        scene.probe.session.submit(StopGenerating("resp_x"))
        stopped.set()
        assert isinstance((await scene.ask()).end, GenerationDone)
        assert "response.cancel" in scene.said

    scene(play, behave)


def test_a_server_that_is_out_of_step_is_told_from_the_beginning() -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.begin()
        await upstream.speak("One two three", b64encode(bytes(48_000)).decode())
        await upstream.done()
        cut = await upstream.next("conversation.item.truncate")
        await upstream.say("error", error={"code": "invalid_value", "message": "Too short.", "event_id": cut["event_id"]})
        await upstream.next("never")

    async def play(scene: Scene) -> None:
        await scene.ask()
        scene.server.behave = answers
        half = OutputAudioPart(transcript="One", audio=bytes(16_000))
        past = Message(id="item_a", role="assistant", content=(half,))
        answer = await scene.ask(HELLO, past, user_text_as("item_2", "go on"))
        assert (answer.transcript, answer.end) == ("Hello.", GenerationDone("resp_2"))
        assert len(scene.server.handshakes) == 2
        told = [event["item"] for event in scene.server.seen if event["type"] == "conversation.item.create"][-3:]
        assert [item["id"] for item in told] == ["item_user", "item_a", "item_2"]
        assert told[1]["content"] == [{"type": "output_text", "text": "One"}]

    scene(play, behave)


def test_two_messages_in_a_row_are_one_of_ours() -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.begin()
        await upstream.speak("Let me see.", item_id="item_1")
        await upstream.speak("It is sunny.", item_id="item_2")
        await upstream.done()

    async def play(scene: Scene) -> None:
        assert (await scene.ask()).transcript == "Let me see. It is sunny."

    scene(play, behave)


def test_a_server_that_says_not_when_an_item_begins() -> None:
    async def behave(upstream: Upstream) -> None:
        while True:
            await upstream.begin()
            at = {"response_id": "theirs", "item_id": "item_x"}
            await upstream.say("response.output_audio_transcript.delta", delta="Hello.", **at)
            await upstream.say("response.output_audio.delta", delta="AAAA", **at)
            await upstream.done()

    async def play(scene: Scene) -> None:
        first = await scene.ask()
        past = Message(id="item_a", role="assistant", content=(OutputAudioPart(transcript="Hello.", audio=first.pcm),))
        await scene.ask(HELLO, past, user_text_as("item_2", "go on"))
        assert scene.said.count("conversation.item.create") == 2, "what it said itself it is not told"

    scene(play, behave)


def test_calls_that_are_told_only_when_they_are_whole() -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.begin()
        call = {"id": "i", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": 1}'}
        await upstream.say("response.output_item.done", response_id="theirs", item=call)
        await upstream.done(usage={"total_tokens": 9, "input_tokens": 5, "output_tokens": 4, "input_token_details": None})

    async def play(scene: Scene) -> None:
        answer = await scene.ask()
        assert answer.events[:2] == [
            FunctionCallStarted("resp_1", "call_1", "look"),
            FunctionCallArguments("resp_1", "call_1", '{"at": 1}'),
        ]
        assert answer.end.usage.total_tokens == 9

    scene(play, behave)


@pytest.mark.parametrize(
    ("details", "reason"),
    [({"reason": "max_output_tokens"}, "max_output_tokens"), ({"reason": "content_filter"}, "content_filter")],
)
def test_why_an_answer_stops_passes_through(details: dict[str, Any], reason: str) -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.begin()
        await upstream.done(status="incomplete", status_details=details)

    async def play(scene: Scene) -> None:
        assert (await scene.ask()).end == GenerationDone("resp_1", reason)

    scene(play, behave)


# --- the user's words ---


def test_the_servers_words_pass_through_in_order_also_before_they_are_asked_for() -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.next("input_audio_buffer.commit")
        await upstream.say("input_audio_buffer.committed", item_id="theirs_1", previous_item_id=None)
        kind = "conversation.item.input_audio_transcription"
        for delta in ("Good ", "morning."):
            await upstream.say(f"{kind}.delta", item_id="theirs_1", delta=delta)
        await upstream.say(f"{kind}.completed", item_id="theirs_1", transcript="Good morning.")
        await upstream.next("input_audio_buffer.commit")
        await upstream.say("input_audio_buffer.committed", item_id="theirs_2", previous_item_id="theirs_1")
        await upstream.say(f"{kind}.failed", item_id="theirs_2", error={"message": "too  quiet"})

    async def play(scene: Scene) -> None:
        probe = scene.probe
        probe.session.submit(Listen("item_1", SPEECH, PCM, final=True))
        probe.session.submit(Transcribe(item_id="item_1", audio=SPEECH, format=PCM, language="en"))
        done = await probe.until(lambda event: isinstance(event, TranscriptDone))
        assert done == TranscriptDone("item_1", "Good morning.")
        assert [event.text for event in probe.events if isinstance(event, TranscriptDelta)] == ["Good ", "morning."]
        # One that was not listened to is sent now.
        probe.session.submit(Transcribe(item_id="item_2", audio=SPEECH, format=PCM, language="en"))
        failed = await probe.until(lambda event: isinstance(event, TranscriptFailed))
        assert failed.message == "The Realtime server did not understand: too quiet"
        sessions = [event["session"] for event in scene.server.seen if event["type"] == "session.update"]
        assert sessions[0]["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"

    scene(play, behave, transcription="gpt-4o-transcribe")


def test_speech_that_is_to_be_written_down_and_answered_goes_up_once() -> None:
    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=SPEECH, format=PCM))
        assert (await scene.ask(with_speech(SPEECH, "item_1"))).transcript == "Hello."
        assert scene.said.count("input_audio_buffer.commit") == 1
        assert "conversation.item.create" not in scene.said

    scene(play, transcription="any")


def test_a_click_is_not_written_down() -> None:
    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=bytes(480), format=PCM))
        failed = await scene.probe.until(lambda event: isinstance(event, TranscriptFailed))
        assert failed.message == "It is too short to be understood."

    scene(play, transcription="any")


def test_while_somebody_speaks_nothing_else_is_heard() -> None:
    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Listen("item_2", SPEECH, PCM))
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=SPEECH, format=PCM))
        failed = await scene.probe.until(lambda event: isinstance(event, TranscriptFailed))
        assert failed.code == "transcription_unavailable"

    scene(play, transcription="any")


# --- failures ---


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


# --- settings ---


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, r"engines\.realtime\.base_url: say where"),
        ({"base_url": "127.0.0.1:1"}, "no http"),
        ({"base_url": "ws://h/v1/realtime"}, "the path of the API is added"),
        ({"base_url": "ws://h/v1?x=1"}, "no http"),
        ({"base_url": "ws://me:hidden@h/v1"}, "no credentials here"),
        ({"base_url": "ws://h/v1", "dialect": "alpha"}, "dialect"),
        ({"base_url": "ws://h/v1", "input_rate_hz": 24_001}, "no rate of recordings"),
        ({"base_url": "ws://h/v1", "api_key_env": "NOT_SET_ANYWHERE"}, "is not set"),
        ({"base_url": "ws://h/v1", "colour": "red"}, "unknown option 'colour'"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        Realtime(options)
    assert "hidden" not in str(caught.value)


def test_a_port_in_use_by_nobody_is_found_out_when_it_matters() -> None:
    """To open a session contacts nobody, so it cannot fail."""

    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            probe = Probe(Realtime({"base_url": f"http://127.0.0.1:{unused.getsockname()[1]}/v1"}))
            probe.session.submit(StopGenerating("resp_1"))
            await asyncio.sleep(0.02)
            assert probe.events == []
            probe.session.close()

    asyncio.run(main())
