"""Cascades whose transcriber is a model in this process, through the checks that any engine must pass; and in a server."""

import asyncio
import base64
from collections.abc import Callable

import pytest

from tests.engines.fakes import FakeChatModel, FakeSynthesizer
from tests.engines.hearing_turns import noise
from tests.engines.probe import Subject
from tests.engines.suite import Running, every_check, put_through
from tests.engines.tiny_models import sherpa, whisper
from tests.serving import send, serving, until
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.faster_whisper import FasterWhisper
from vivavoce.engines.sherpa_onnx import SherpaOnnx

MAKERS: dict[str, tuple[Callable, Callable, bytes]] = {
    "faster_whisper": (whisper.make_whisper, FasterWhisper, whisper.speech("two green mice")),
    "sherpa_onnx": (sherpa.make_sherpa, SherpaOnnx, sherpa.speech("three pears please")),
}
"""How to make a tiny model, the part that loads it, and something that it understands."""


@pytest.fixture(scope="module", params=MAKERS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    make_model, part, speech = MAKERS[request.param]
    folder = make_model(tmp_path_factory.mktemp(request.param))
    return Subject(
        name=request.param,
        make=lambda: Cascade.of(part({"model": str(folder), "threads": 1}), FakeChatModel(), FakeSynthesizer()),
        calls="get_weather in Paris",
        fails="FALL down",
        speech=lambda words: speech,
        turns=80,
    )


@every_check
def test_engine(check: Callable, subject: Subject, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    put_through(check, subject, running, caplog)


@pytest.mark.parametrize(("name", "said"), [("faster_whisper", "two green mice"), ("sherpa_onnx", "three pears please")])
def test_a_server_hears_with_it(name: str, said: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    make_model, _, speech = MAKERS[name]
    options = {"transcriber": name, name: {"model": str(make_model(tmp_path_factory.mktemp(name))), "threads": 1}}
    cascade = {**options, "chat_model": "assistant", "synthesizer": "tests.audio_parts:Voice"}

    async def scenario() -> None:
        async with serving(engine="cascade", engines={"cascade": cascade}) as served, served.connect() as client:
            audio = {"input": {"transcription": {"model": "any"}, "turn_detection": None}}
            await send(client, "session.update", session={"type": "realtime", "audio": audio})
            for pcm, words in ((speech, said), (noise(1), ""), (speech, said)):
                for start in range(0, len(pcm), 4800):
                    chunk = base64.b64encode(pcm[start : start + 4800]).decode()
                    await send(client, "input_audio_buffer.append", audio=chunk)
                await send(client, "input_audio_buffer.commit")
                await send(client, "response.create")
                heard = await until(client, "conversation.item.input_audio_transcription.completed")
                assert heard["transcript"] == words
                done = await until(client, "response.done")
                assert done["response"]["status"] == "completed"
                assert bool(done["response"]["output"]) == bool(words), "what nobody said is not answered"

    asyncio.run(scenario())
