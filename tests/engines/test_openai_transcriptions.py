"""The transcriber behind `/v1/audio/transcriptions`: the upload, and every way in which servers answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from tests.engines.probe import in_use
from tests.engines.upstream_server import Out, Received, UpstreamServer, upstream
from vivavoce.audio import g711_encode
from vivavoce.engines.openai_transcriptions import OpenAITranscriptions
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.engines.wav import read_wav
from vivavoce.protocol.objects import PCM, PCMU, AudioFormat, LogProb

SECOND = (1000 * np.sin(np.arange(24_000) / 24_000 * 2 * np.pi * 440)).astype("<i2").tobytes()


def recognized(
    answer: Any, audio: bytes = SECOND, format: AudioFormat = PCM, hints: Hints | None = None, **options: Any
) -> tuple[Transcript, list[str], UpstreamServer]:
    """The transcript, the deltas on the way, and the server with what it got."""
    deltas: list[str] = []

    async def scene() -> tuple[Transcript, UpstreamServer]:
        async with upstream(answer) as server, in_use(OpenAITranscriptions({"base_url": server.url, **options})) as part:
            turn = part.recognize(hints or Hints(), lambda delta: deltas.append(delta.text))
            for start in range(0, len(audio), 4801):
                turn.feed(audio[start : start + 4801], format)
            return await turn.finish(), server

    transcript, server = asyncio.run(scene())
    return transcript, deltas, server


def whole(content: Any, content_type: str = "application/json") -> Any:
    async def answer(request: Received, out: Out) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        await out.whole(200, content_type, body)

    return answer


def streamed(*events: Any) -> Any:
    async def answer(request: Received, out: Out) -> None:
        await out.head()
        for event in events:
            await out.event(event)

    return answer


@pytest.mark.parametrize("format", [PCM, PCMU], ids=["pcm", "g711"])
def test_the_upload_is_the_turn_at_16_khz(format: AudioFormat) -> None:
    samples = np.frombuffer(SECOND, "<i2")
    audio = SECOND if format is PCM else g711_encode(samples[::3].copy(), "audio/pcmu")
    transcript, deltas, server = recognized(whole({"text": " Hello there. "}), audio, format)
    assert (transcript, deltas) == (Transcript("Hello there."), ["Hello there."])
    sent, rate_hz = read_wav(server.last.form["file"])
    assert (rate_hz, len(sent)) == (16_000, 16_000)
    wanted = 1000 * np.sin(np.arange(16_000) / 16_000 * 2 * np.pi * 440)
    assert np.abs(sent[100:-100] - wanted[100:-100]).max() < 60


def test_what_is_asked_for() -> None:
    hints = Hints(language="de", prompt="Köln.", phrases=("get weather", "Paris"))
    form = recognized(whole({"text": "x"}), hints=hints, model="big", logprobs=True)[2].last.form
    assert form["model"] == b"big"
    assert (form["language"], form["prompt"].decode()) == (b"de", "Köln. get weather, Paris")
    assert (form["stream"], form["include[]"]) == (b"true", b"logprobs")
    form = recognized(whole({"text": "x"}), hints=hints, phrases=False, stream=False)[2].last.form
    assert form["prompt"].decode() == "Köln."
    assert set(form) == {"file", "model", "response_format", "language", "prompt"}
    assert recognized(whole({"text": "x"}), language="fr")[2].last.form["language"] == b"fr"


@pytest.mark.parametrize(
    "events",
    [
        [
            {"type": "transcript.text.delta", "delta": "Hello"},
            {"type": "transcript.text.delta", "delta": " there."},
            {"type": "transcript.text.done", "text": "Hello there."},
        ],
        [
            {"choices": [{"delta": {"content": " Hello"}}]},
            {"choices": [{"delta": {"content": " there."}}]},
            {"choices": [], "usage": {}},
            "[DONE]",
        ],
        [{"text": "Hello", "segments": []}, {"text": "there."}],
        [{"type": "transcript.text.delta", "delta": "Hello "}, {"type": "transcript.text.done", "text": "Hello there."}],
        [{"type": "transcript.text.done", "text": "Hello there."}],
    ],
    ids=["the API", "vLLM", "segments", "a rest", "only the end"],
)
def test_streams_of_every_dialect(events: list[Any]) -> None:
    transcript, deltas, _ = recognized(streamed(*events))
    assert transcript == Transcript("Hello there.")
    assert "".join(deltas) == "Hello there."


def test_what_was_passed_on_stands() -> None:
    """A server that thinks again in the end does not unsay what the client has read."""
    events = [
        {"type": "transcript.text.delta", "delta": "Hello bear."},
        {"type": "transcript.text.done", "text": "Hello there."},
    ]
    assert recognized(streamed(*events))[0] == Transcript("Hello bear.")


def test_plain_text_will_do() -> None:
    assert recognized(whole(b"Hello there.\n", "text/plain; charset=utf-8"))[0].text == "Hello there."


def test_silence_has_no_words() -> None:
    assert recognized(whole({"text": ""}))[:2] == (Transcript(""), [])


def test_how_sure_it_is() -> None:
    logprobs = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}]
    events = [
        {"type": "transcript.text.delta", "delta": "Hi", "logprobs": logprobs},
        {"type": "transcript.text.done", "text": "Hi", "logprobs": logprobs},
    ]
    assert recognized(streamed(*events))[0].logprobs == (LogProb("Hi", -0.1, (72, 105)),)


def test_less_than_a_word_is_not_sent() -> None:
    transcript, _, server = recognized(whole({"text": "Thank you for watching."}), SECOND[:4000])
    assert transcript == Transcript("")
    assert [request.method for request in server.requests] == ["GET"]


def test_cancelling_closes_the_request() -> None:
    async def answer(request: Received, out: Out) -> None:
        await out.head()
        await out.event({"type": "transcript.text.delta", "delta": "Hello"})
        await out.silence()

    async def scene() -> None:
        async with upstream(whole({"data": []})) as server:
            part = OpenAITranscriptions({"base_url": server.url})
            await part.start()
            server.answer = answer
            heard = asyncio.Event()
            turn = part.recognize(Hints(), lambda delta: heard.set())
            turn.feed(SECOND, PCM)
            words = asyncio.ensure_future(turn.finish())
            await heard.wait()
            turn.cancel()
            assert (await words).text == "Hello"
            await asyncio.wait_for(server.broken.wait(), 2)
            turn.cancel()
            # Cancelled before its end: nothing is sent at all.
            requests = len(server.requests)
            turn = part.recognize(Hints(), lambda delta: None)
            turn.feed(SECOND, PCM)
            turn.cancel()
            assert await turn.finish() == Transcript("")
            assert len(server.requests) == requests
            # The part is closed while a turn waits.
            server.broken.clear()
            heard.clear()
            turn = part.recognize(Hints(), lambda delta: heard.set())
            turn.feed(SECOND, PCM)
            words = asyncio.ensure_future(turn.finish())
            await heard.wait()
            await part.close()
            await asyncio.wait_for(asyncio.gather(words, server.broken.wait()), 2)

    asyncio.run(scene())
