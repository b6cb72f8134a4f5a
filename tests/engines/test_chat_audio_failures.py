"""`chat_audio`: when it stops, and how a server's failures end."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from tests.engines.audio_upstream import base64, speaking, wav
from tests.engines.chat_audio_scene import HELLO, PCM_HELLO, Scene, scene
from tests.engines.fakes import FakeTranscriber, speech
from tests.engines.probe import PATIENCE_SECONDS, Probe, in_use
from tests.engines.test_openai_failures import FAILURES, KEY, is_cut
from tests.engines.upstream_server import QUICK, Out, Received, UpstreamServer, chunk, models, upstream_thread
from tests.serving import send, serving, until
from vivavoce.engine_api import Generate, GenerationDone, GenerationFailed, OutputAudio, StopGenerating
from vivavoce.engines.chat_audio import ChatAudio

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
        async with in_use(ChatAudio({"base_url": f"http://127.0.0.1:{port}/v1"})) as engine:
            answer = await Probe(engine).ask(*HELLO)
            assert answer.end.code == "upstream_unreachable"

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        asyncio.run(main(unused.getsockname()[1]))


class QuickTranscriber(FakeTranscriber):
    """Says at once what it hears."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()


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
