"""`chat_audio`: what it asks for, the user's words on the side, and its settings."""

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import pytest

from tests.engines.audio_upstream import base64, wav
from tests.engines.chat_audio_scene import HELLO, PCM_HELLO, Scene, scene
from tests.engines.fakes import FakeTranscriber, speech
from tests.engines.probe import WEATHER, with_speech
from tests.engines.test_openai_failures import KEY
from tests.engines.upstream_server import Out, Received, chunk, models
from vivavoce.audio import Encoder
from vivavoce.engine_api import GenerationDone, OutputAudio, Transcribe, TranscriptDelta, TranscriptDone, TranscriptFailed
from vivavoce.engines import chat_audio
from vivavoce.engines.chat_audio import ChatAudio
from vivavoce.engines.sine_voice import say
from vivavoce.engines.wav import read_wav
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import PCM, PCMU, InputAudioPart, Message

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
