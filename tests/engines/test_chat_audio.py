"""`chat_audio`: what it asks for, what it remembers, when it stops, and how a server's failures end."""

import asyncio
import logging
import socket
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import pytest

from tests.engines.audio_upstream import base64, speaking, wav
from tests.engines.fakes import FakeTranscriber, speech
from tests.engines.probe import PATIENCE_SECONDS, WEATHER, Answer, Probe, user_text, with_speech
from tests.engines.test_openai_failures import FAILURES, KEY, is_cut
from tests.engines.upstream_server import Out, Received, UpstreamServer, chunk, models, upstream, upstream_thread
from tests.serving import send, serving, until
from vivavoce.audio import Encoder
from vivavoce.engine_api import (
    Generate,
    GenerationDone,
    GenerationFailed,
    OutputAudio,
    StopGenerating,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines import chat_audio
from vivavoce.engines.chat_audio import ChatAudio
from vivavoce.engines.sine_voice import say
from vivavoce.engines.wav import read_wav
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import (
    PCM,
    PCMU,
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
)

PCM_HELLO = b"".join(word.pcm for word in say("hello there"))
HELLO = (with_speech(PCM_HELLO),)


class Scene:
    """An engine in front of a server, and one session of it."""

    def __init__(self, server: UpstreamServer, engine: ChatAudio) -> None:
        self.server = server
        self.engine = engine
        self.probe = Probe(engine)
        self._count = 0

    async def ask(self, *items: Item, **fields: Any) -> Answer:
        self._count += 1
        return await self.probe.answer(Generate(response_id=f"resp_{self._count}", items=items, **fields))

    @property
    def body(self) -> dict[str, Any]:
        return self.server.last.json


def scene(play: Any, answer: Any = None, **options: Any) -> Any:
    async def main() -> Any:
        dialect = options.get("server", "openai")
        async with upstream(answer or speaking(dialect)) as server:
            engine = ChatAudio({"base_url": server.url, **options})
            await engine.start()
            scene = Scene(server, engine)
            try:
                return await play(scene)
            finally:
                scene.probe.session.close()
                await engine.close()

    return asyncio.run(main())


def said(answer: Answer, item_id: str = "item_a", transcript: str | None = None, samples: int | None = None) -> Message:
    """The assistant's item that the core makes of an answer, or of its beginning."""
    audio = answer.pcm if samples is None else answer.pcm[: samples * 2]
    part = OutputAudioPart(transcript=answer.transcript if transcript is None else transcript, audio=audio)
    return Message(id=item_id, role="assistant", content=(part,))


# --- what it asks for ---


@pytest.mark.parametrize(
    ("server", "wanted"),
    [
        ("openai", {"model": "gpt-audio", "audio": {"voice": "verse", "format": "pcm16"}, "max_completion_tokens": 99}),
        ("vllm_omni", {"model": "nomic-embed-text", "audio": {"format": "pcm16"}, "max_tokens": 99}),
        ("sglang_omni", {"audio": {"format": "pcm"}, "max_tokens": 99}),
        ("dashscope", {"model": "qwen3-omni-flash", "audio": {"voice": "Cherry", "format": "wav"}, "max_tokens": 99}),
    ],
)
def test_the_turn_goes_as_sound(server: str, wanted: dict[str, Any]) -> None:
    async def play(scene: Scene) -> None:
        answer = await scene.ask(*HELLO, instructions="Be brief.", voice="verse", max_output_tokens=99, tools=(WEATHER,))
        assert answer.transcript == f"You said: {len(PCM_HELLO) / 48_000:.2f} seconds of sound"
        assert answer.pcm == b"".join(word.pcm for word in say(answer.transcript))
        body = scene.body
        assert {name: body[name] for name in wanted} == wanted
        assert (body["stream"], body["modalities"]) == (True, ["text", "audio"])
        assert ("tools" in body) == (server != "sglang_omni")
        system, user = body["messages"]
        assert system == {"role": "system", "content": "Be brief."}
        [part] = user["content"]
        assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")
        assert part["input_audio"]["data"].startswith("data:;base64,") == (server == "dashscope")
        data = b64decode(part["input_audio"]["data"].removeprefix("data:;base64,"))
        samples, rate_hz = read_wav(data)
        assert (rate_hz, samples.tobytes()) == (24_000, PCM_HELLO)

    scene(play, server=server)


def test_g711_is_converted_and_the_rate_may_be_lower() -> None:
    encoder = Encoder("audio/pcmu")
    phone = encoder.feed(PCM_HELLO) + encoder.flush()
    item = Message(id="item_1", role="user", content=(InputAudioPart(audio=phone, format=PCMU),))

    async def play(scene: Scene) -> None:
        await scene.ask(item)
        samples, rate_hz = read_wav(b64decode(scene.body["messages"][0]["content"][0]["input_audio"]["data"]))
        assert rate_hz == 16_000
        assert len(samples) == len(phone) * 2

    scene(play, input_rate_hz=16_000)


def test_a_text_response_asks_for_text_only() -> None:
    async def play(scene: Scene) -> None:
        answer = await scene.ask(*HELLO, modalities=("text",))
        assert answer.text.startswith("You said: ")
        assert scene.body["modalities"] == ["text"]
        assert "audio" not in scene.body

    scene(play)


def test_voices_are_the_operators_affair() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask(*HELLO, voice="alloy")
        assert scene.body["audio"]["voice"] == "Ethan"
        await scene.ask(*HELLO, voice="other")
        assert scene.body["audio"]["voice"] == "Chelsie"

    scene(play, server="vllm_omni", voices={"alloy": "Ethan"}, voice="Chelsie")


def test_more_options() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask(*HELLO, tools=(WEATHER,), tool_choice="required", temperature=0.5, reasoning_effort="low")
        body = scene.body
        assert (body["model"], body["seed"], body["temperature"], body["reasoning_effort"]) == ("m", 7, 0.5, "low")
        assert (body["tool_choice"], body["tools"][0]["function"]["name"]) == ("required", "get_weather")
        assert "stream_options" not in body
        assert scene.server.last.headers["authorization"] == f"Bearer {KEY}"

    scene(play, server="sglang_omni", tools=True, model="m", usage=False, api_key=KEY, extra_body={"seed": 7})


def test_sound_that_lags_behind_the_end_of_its_words_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_audio, "_FIGURES_SECONDS", 0.001)

    async def lagging(request: Received, out: Out) -> None:
        if request.path.endswith("models"):
            await models(request, out)
            return
        await out.head()
        await out.event(chunk("stop", content="Hello."))
        await asyncio.sleep(0.05)
        await out.event(chunk(audio={"data": base64(PCM_HELLO)}))
        await out.event("[DONE]")

    async def play(scene: Scene) -> None:
        assert (await scene.ask(*HELLO)).pcm == PCM_HELLO

    scene(play, lagging, server="sglang_omni")


def test_minutes_of_sound_in_one_delta() -> None:
    """What vLLM-Omni does where it does not stream inside: all of it, as one file."""
    minutes = PCM_HELLO * (4_800_000 // len(PCM_HELLO))

    async def at_once(request: Received, out: Out) -> None:
        if request.path.endswith("models"):
            await models(request, out)
            return
        await out.head()
        await out.event({**chunk(content="A long story."), "modality": "text"})
        await out.event({**chunk("stop", content=base64(wav(minutes))), "modality": "audio"})
        await out.event("[DONE]")

    async def play(scene: Scene) -> None:
        answer = await scene.ask(*HELLO)
        assert answer.pcm == minutes
        assert answer.marks[-1].samples == len(minutes) // 2
        assert max(len(event.pcm) for event in answer.events if isinstance(event, OutputAudio)) <= 48_000

    scene(play, at_once, server="vllm_omni")


# --- the conversation ---


def test_calls_go_back_and_forth() -> None:
    async def play(scene: Scene) -> None:
        question = user_text("get_weather in Paris")
        call = FunctionCall(id="item_c", call_id="call_7", name="get_weather", arguments='{"city": "Paris"}')
        output = FunctionCallOutput(id="item_o", call_id="call_7", output="sunny")
        assert isinstance((await scene.ask(question, tools=(WEATHER,))).end, GenerationDone)
        answer = await scene.ask(question, call, output)
        assert answer.transcript == "You said: sunny"
        assert [message["role"] for message in scene.body["messages"]] == ["user", "assistant", "tool"]

    scene(play)


def test_an_answer_that_was_heard_goes_by_its_name_and_a_cut_one_as_what_was_heard() -> None:
    async def play(scene: Scene) -> list[Any]:
        first = await scene.ask(*HELLO)
        more = user_text("and then?")
        sent = []
        for past in (said(first), said(first, transcript="You said:", samples=9_000), said(first, samples=9_000)):
            await scene.ask(*HELLO, past, more)
            sent.append(scene.body["messages"][1])
        await scene.ask(*HELLO, said(first), said(first, "item_b"), more)
        sent.append(scene.body["messages"][1])
        return [first.transcript, *sent]

    words, whole, cut, silent_end, two = scene(play)
    assert whole == {"role": "assistant", "audio": {"id": "audio_7"}}
    assert cut == {"role": "assistant", "content": "You said:"}
    assert silent_end == {"role": "assistant", "content": words}
    assert two == {"role": "assistant", "content": f"{words}\n{words}"}
    assert scene(play, server="vllm_omni")[1] == {"role": "assistant", "content": words}


def test_a_name_is_not_used_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        first = await scene.ask(*HELLO)
        monkeypatch.setattr(time, "time", lambda: 4_000_000_000 - 10.0)
        await scene.ask(*HELLO, said(first), user_text("and then?"))
        assert scene.body["messages"][1] == {"role": "assistant", "content": first.transcript}

    scene(play)


def test_a_name_that_the_server_forgot_is_said_in_words() -> None:
    well = speaking("openai")

    async def forgetful(request: Received, out: Out) -> None:
        if b'"audio":{"id"' in request.body:
            await out.whole(404, "application/json", b'{"error": {"message": "No audio of this id."}}')
        else:
            await well(request, out)

    async def play(scene: Scene) -> None:
        first = await scene.ask(*HELLO)
        second = await scene.ask(*HELLO, said(first), user_text("and then?"))
        assert second.transcript == "You said: and then?"
        assert scene.body["messages"][1] == {"role": "assistant", "content": first.transcript}

    scene(play, forgetful)


def test_older_turns_may_go_as_words() -> None:
    old = Message(id="item_0", role="user", content=(InputAudioPart(audio=PCM_HELLO, transcript="Hello there."),))
    unheard = Message(id="item_2", role="user", content=(InputAudioPart(audio=PCM_HELLO),))
    text = Message(
        id="item_3", role="user", content=(InputTextPart("and?"), InputAudioPart(audio=PCM_HELLO, transcript="x"))
    )
    answered = Message(id="item_1", role="assistant", content=(OutputAudioPart(transcript="Hi."),))

    async def play(scene: Scene) -> Any:
        await scene.ask(old, answered, unheard, answered, text)
        return [scene.body["messages"][n]["content"] for n in (0, 2, 4)]

    first, second, third = scene(play, audio_turns=1)
    assert first == "Hello there."
    assert second[0]["type"] == "input_audio", "nobody wrote it down"
    assert [part["type"] for part in third] == ["text", "input_audio"]
    assert [part["type"] for part in scene(play)[0]] == ["input_audio"]


def test_usage_passes_through() -> None:
    async def play(scene: Scene) -> Any:
        return (await scene.ask(*HELLO)).end.usage

    usage = scene(play)
    assert (usage.total_tokens, usage.input_tokens, usage.output_tokens) == (51, 21, 30)
    assert (usage.input_token_details.audio_tokens, usage.output_token_details.audio_tokens) == (10, 20)
    assert usage.input_token_details.cached_tokens == 5


# --- the user's words ---


class SlowTranscriber(FakeTranscriber):
    """Says nothing until it is told to. `module:Class` in the settings."""

    made: "SlowTranscriber"

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = options
        self.ready.clear()
        SlowTranscriber.made = self


SLOW = f"{__name__}:SlowTranscriber"


class QuickTranscriber(FakeTranscriber):
    """Says at once what it hears."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()


def test_words_are_written_down_on_the_side_and_delay_nothing() -> None:
    async def play(scene: Scene) -> None:
        assert scene.engine.capabilities.transcribes
        assert scene.engine.capabilities.native_audio
        audio = speech("good morning to you")
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=audio, format=PCM, language="en", prompt="names"))
        answer = await scene.ask(with_speech(audio, "item_1"))
        assert isinstance(answer.end, GenerationDone)
        assert not [event for event in scene.probe.events if isinstance(event, TranscriptDone)]
        SlowTranscriber.made.ready.set()
        done = await scene.probe.until(lambda event: isinstance(event, TranscriptDone))
        deltas = [event.text for event in scene.probe.events if isinstance(event, TranscriptDelta)]
        assert done.text == "".join(deltas) == "good morning to you"
        assert (SlowTranscriber.made.options, SlowTranscriber.made.hints[0].language) == ({"beam": 3}, "en")

    scene(play, transcriber=SLOW, **{SLOW: {"beam": 3}})


def test_a_transcriber_that_fails_fails_alone() -> None:
    async def play(scene: Scene) -> None:
        SlowTranscriber.made.ready.set()
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=speech("FAIL"), format=PCM))
        assert isinstance((await scene.ask(*HELLO)).end, GenerationDone)

    scene(play, transcriber=SLOW)


def test_without_a_transcriber_there_are_no_words() -> None:
    async def play(scene: Scene) -> None:
        assert not scene.engine.capabilities.transcribes
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=PCM_HELLO, format=PCM))
        await scene.ask(*HELLO)
        kinds = (TranscriptDone, TranscriptFailed)
        assert not [event for event in scene.probe.events if isinstance(event, kinds)]

    scene(play)


# --- stopping ---


@pytest.mark.parametrize("moment", ["before the head", "before the first sound", "in the middle"])
def test_a_stop_closes_the_request_at_the_server(moment: str) -> None:
    asked = asyncio.Event()

    async def endless(request: Received, out: Out) -> None:
        if request.path.endswith("models"):
            await models(request, out)
            return
        asked.set()
        if moment != "before the head":
            await out.head()
        if moment == "in the middle":
            await out.event(chunk(audio={"id": "a", "transcript": "Well", "data": base64(bytes(4_800))}))
        await out.silence()

    async def play(scene: Scene) -> None:
        probe, server = scene.probe, scene.server
        probe.session.submit(Generate(response_id="resp_x", items=HELLO))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asked.wait()
        if moment == "in the middle":
            await probe.until(lambda event: isinstance(event, OutputAudio))
        said = len(probe.events)
        probe.session.submit(StopGenerating("resp_x"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.broken.wait()
        assert len(probe.events) == said
        server.answer = speaking("openai")
        assert isinstance((await scene.ask(*HELLO)).end, GenerationDone)

    scene(play, endless)


# --- failures ---


async def sends_no_sound(request: Received, out: Out) -> None:
    await out.head()
    await out.event(chunk(audio={"id": "a", "data": "!!!!"}))


async def sends_mp3(request: Received, out: Out) -> None:
    await out.head()
    await out.event(chunk(audio={"id": "a", "data": base64(b"ID3\x04....")}))


async def sends_a_wav_of_an_odd_rate(request: Received, out: Out) -> None:
    await out.head()
    await out.event({**chunk(content=base64(wav(bytes(4_800), 24_001))), "modality": "audio"})


async def ends_after_the_words(request: Received, out: Out) -> None:
    await out.head()
    await out.event({**chunk("stop", content="I was about to"), "modality": "text"})


async def is_cut_after_the_words(request: Received, out: Out) -> None:
    await out.head()
    await out.event(chunk("stop", content="I was about to"))
    await out.event(chunk(audio={"data": base64(PCM_HELLO)}))
    out.cut()


MORE_FAILURES = {
    **FAILURES,
    sends_no_sound: "upstream_invalid",
    sends_mp3: "upstream_invalid",
    sends_a_wav_of_an_odd_rate: "upstream_invalid",
    ends_after_the_words: "upstream_disconnected",
    is_cut_after_the_words: "upstream_disconnected",
}
QUICK = {"first_seconds": 0.3, "silence_seconds": 0.3}


@pytest.mark.parametrize("failing", MORE_FAILURES, ids=lambda answer: answer.__name__)
def test_a_failure_is_one_event_and_the_session_lives(failing: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def bad(request: Received, out: Out) -> None:
        await (models if request.path.endswith("models") else failing)(request, out)

    async def play(scene: Scene) -> None:
        failed = (await scene.ask(*HELLO)).end
        assert isinstance(failed, GenerationFailed)
        assert failed.code == MORE_FAILURES[failing]
        assert "<html" not in failed.message
        if failed.code == "rate_limit_exceeded":
            assert failed.message == "The speech model's server has had enough requests. Try again in 7 s."
        for told in (failed.message, caplog.text):
            assert KEY not in told
        scene.server.answer = speaking("openai")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not isinstance((await scene.ask(*HELLO)).end, GenerationDone):
                assert options, "only where time is short a good server may be too slow"

    options = QUICK if MORE_FAILURES[failing] == "upstream_timeout" else {}
    scene(play, bad, api_key=KEY, **options)


def test_nobody_there() -> None:
    async def main(port: int) -> None:
        engine = ChatAudio({"base_url": f"http://127.0.0.1:{port}/v1"})
        await engine.start()
        probe = Probe(engine)
        answer = await probe.answer(Generate(response_id="resp_1", items=HELLO))
        assert answer.end.code == "upstream_unreachable"
        await engine.close()

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        asyncio.run(main(unused.getsockname()[1]))


def test_over_the_socket_a_failure_is_a_failed_response_and_the_session_lives() -> None:
    async def main(server: UpstreamServer) -> None:
        options = {"base_url": server.url, "transcriber": f"{__name__}:QuickTranscriber"}
        async with serving(engine="chat_audio", engines={"chat_audio": options}) as served, served.connect() as client:
            audio = {"input": {"turn_detection": None, "transcription": {"model": "any"}}}
            await send(client, "session.update", session={"type": "realtime", "audio": audio})
            await send(client, "input_audio_buffer.append", audio=base64(speech("good morning " * 300)))
            await send(client, "input_audio_buffer.commit")
            await until(client, "conversation.item.input_audio_transcription.completed")
            await send(client, "response.create")
            done = (await until(client, "response.done"))["response"]
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"].endswith("seconds of sound")
            assert done["usage"]["output_token_details"]["audio_tokens"] == 20
            server.answer = is_cut
            await send(client, "response.create")
            failed = (await until(client, "response.done"))["response"]
            assert failed["status_details"]["error"]["code"] == "upstream_disconnected"
            server.answer = speaking("openai")
            await send(client, "response.create")
            assert (await until(client, "response.done"))["response"]["status"] == "completed"

    with upstream_thread(speaking("openai")) as server:
        asyncio.run(main(server))


# --- settings ---


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, r"engines\.chat_audio\.base_url: say where"),
        ({"server": "dashscope"}, "say where"),
        ({"server": "acme"}, "server"),
        ({"base_url": "http://h/v1", "input_rate_hz": 24_001}, "no rate of recordings"),
        ({"base_url": "http://h/v1", "transcriber": "nobody"}, "No transcriber named 'nobody'"),
        ({"base_url": "http://h/v1", "colour": "red"}, "unknown option 'colour'"),
        ({"base_url": "http://h/v1", "api_key_env": "NOT_SET_ANYWHERE"}, "is not set"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        ChatAudio(options)


def test_only_a_server_on_this_machine_has_an_address_by_default() -> None:
    assert ChatAudio({"server": "vllm_omni"}).options.base_url == "http://127.0.0.1:8091/v1"
    assert KEY not in repr(ChatAudio({"server": "vllm_omni", "api_key": KEY}).options)
