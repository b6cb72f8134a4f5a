"""`realtime`: what it says to the other server, what it makes of the answers, and its settings."""

import asyncio
import socket
from base64 import b64encode
from typing import Any

import pytest

from tests.engines.probe import PATIENCE_SECONDS, WEATHER, Probe, user_text, with_speech
from tests.engines.realtime_scene import HELLO, KEY, SPEECH, Scene, scene
from tests.engines.realtime_upstream_server import Upstream, answers
from vivavoce.audio import Encoder
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    Listen,
    OutputAudio,
    StopGenerating,
    StopListening,
)
from vivavoce.engines.realtime import Realtime
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import PCM, PCMU, Message, OutputAudioPart

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
