"""The ears and the voice by HTTP; and a Vivavoce that hears and speaks through another one."""

from __future__ import annotations

import asyncio
import json
import wave
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from tests.audio_parts import voices
from tests.engines.fakes import speech
from tests.engines.upstream_server import Out, Received, models, upstream, well
from tests.serving import Served, receive, send, serving, until
from vivavoce.engines.openai_speech import OpenAISpeech
from vivavoce.engines.openai_transcriptions import OpenAITranscriptions
from vivavoce.engines.parts import Hints, Utterance
from vivavoce.engines.wav import read_wav, wav_header
from vivavoce.protocol.objects import PCM
from vivavoce.settings import RateLimits

AUDIO = Path(__file__).parents[2] / "shared" / "audio"


FAKES = {"transcriber": "tests.audio_parts:Ears", "synthesizer": "tests.audio_parts:Voice"}


def run(test: Any, **settings: Any) -> None:
    async def main() -> None:
        settings.setdefault("engine", "cascade")
        settings.setdefault("engines", {"cascade": FAKES})
        settings.setdefault("voice_activity", "vivavoce.engines.echo:Echo")  # Nobody asks it.
        async with serving(**settings) as served:
            await test(served, openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key="k", max_retries=0))

    voices.clear()
    asyncio.run(main())


def wav(pcm: bytes, rate_hz: int = 24_000) -> tuple[str, bytes]:
    return "speech.wav", wav_header(rate_hz, len(pcm)) + pcm


# --- transcriptions ---


def test_words_for_a_file() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        ask = client.audio.transcriptions.create
        file = wav(speech("Hello there."))
        plain = await ask(file=file, model="whisper-1")
        assert plain.text == "Hello there."
        assert plain.usage.model_dump() == {"type": "duration", "seconds": 0.001}
        assert await ask(file=file, model="whisper-1", response_format="text") == "Hello there.\n"
        whole = await ask(file=file, model="whisper-1", response_format="verbose_json", language="en", prompt="Hello.")
        assert (whole.text, whole.language, whole.duration) == ("Hello there.", "en", 0.001)

    run(test)


def test_words_as_they_are_recognised() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        stream = await client.audio.transcriptions.create(
            file=wav(speech("one two three")), model="gpt-4o-transcribe", stream=True, include=["logprobs"]
        )
        events = [event async for event in stream]
        assert "".join(event.delta for event in events[:-1]) == "one two three"
        assert len(events) > 2
        assert (events[-1].type, events[-1].text) == ("transcript.text.done", "one two three")

    run(test)


def test_any_recording_will_do() -> None:
    samples = np.frombuffer(speech("Hello there."), "<i2")
    stereo = BytesIO()
    with wave.open(stereo, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(np.stack([samples, samples], axis=1).tobytes())

    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        told = await client.audio.transcriptions.create(file=("x.wav", stereo.getvalue()), model="")
        assert told.text == "Hello there."

    run(test)


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    body = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % (n.encode(), c) for n, c in parts)
    return body + b"--b--\r\n", "multipart/form-data; boundary=b"


FILE = ('file"; filename="a.wav"', wav(speech("Hi."))[1])


@pytest.mark.parametrize(
    ("parts", "status", "code", "param"),
    [
        ((), 400, "missing_required_parameter", "file"),
        ((('file"', FILE[1]),), 400, "missing_required_parameter", "file"),
        (((FILE[0], b"ID3 is no WAV"),), 400, "unsupported_format", "file"),
        (((FILE[0], b""),), 400, "unsupported_format", "file"),
        ((FILE, ('response_format"', b"srt")), 400, "invalid_value", "response_format"),
        ((FILE, ('stream"', b"perhaps")), 400, "invalid_type", "stream"),
        (((FILE[0], wav(speech("FAIL"))[1]),), 500, "deaf", None),
        (((FILE[0], wav(speech("one FAIL"))[1]), ('stream"', b"false")), 500, "deaf", None),
    ],
)
def test_transcriptions_that_cannot_be(parts: Any, status: int, code: str, param: str | None) -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        body, content_type = multipart(*parts)
        answer = await served.request("POST", "/v1/audio/transcriptions", body, content_type=content_type)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)

    run(test)


def test_bodies_that_are_no_form() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        path = "/v1/audio/transcriptions"
        json_body = await served.request("POST", path, {"file": "x"}, content_type="application/json")
        assert (json_body.status, json_body.error["code"]) == (415, "unsupported_media_type")
        broken = await served.request("POST", path, b"--b\r\nno head", content_type="multipart/form-data; boundary=b")
        assert (broken.status, broken.error["code"]) == (400, "invalid_form")
        nameless = await served.request("POST", path, b"", content_type="multipart/form-data")
        assert (nameless.status, nameless.error["code"]) == (400, "invalid_form")
        body, content_type = multipart((FILE[0], bytes(26 * 2**20)))
        large = await served.request("POST", path, body, content_type=content_type)
        assert (large.status, large.error["code"]) == (413, "request_too_large")

    run(test)


# --- speech ---


def test_sound_for_a_text() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        ask = client.audio.speech.create
        pcm = (await ask(model="tts-1", voice="alloy", input="one two", response_format="pcm")).content
        assert len(pcm) == 2 * 240 * 8
        file = (await ask(model="tts-1", voice="alloy", input="one two", response_format="wav")).content
        samples, rate_hz = read_wav(file)
        assert (samples.astype("<i2").tobytes(), rate_hz) == (pcm, 24_000)
        tone = "Speak slowly."
        await ask(model="tts-1", voice="verse", input="<whisper>Hi.</whisper>", instructions=tone, speed=1.5)
        [voice] = voices
        utterance = voice.utterances[-1]
        assert (utterance.text, utterance.voice, utterance.speed) == ("Hi.", "verse", 1.5)
        assert (utterance.tone.whisper, utterance.tone.pace < 1) == (True, True)

    run(test)


def test_sound_in_events() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        body = {"input": "one two", "response_format": "pcm", "stream_format": "sse"}
        answer = await served.request("POST", "/v1/audio/speech", body)
        events = [json.loads(line[6:]) for line in answer.body.decode().split("\n\n") if line]
        assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
        assert events[-1] == {"type": "speech.audio.done"}
        broken = await served.request("POST", "/v1/audio/speech", {**body, "input": "BREAK it"})
        assert json.loads(broken.body.decode().split("\n\n")[-2][6:])["error"]["code"] == "hoarse"

    run(test)


def test_a_voice_that_breaks_breaks_the_stream() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.APIConnectionError):
            await client.audio.speech.create(model="", voice="alloy", input="BREAK it")
        assert (await client.audio.speech.create(model="", voice="alloy", input="Hi.")).content

    run(test)


def test_who_goes_away_stops_the_voice() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        ask = client.audio.speech.with_streaming_response.create
        async with ask(model="", voice="alloy", input="WAIT for me", response_format="pcm") as stream:
            pieces = stream.iter_bytes()  # Kept: what nobody holds is closed.
            assert await anext(pieces)
            assert voices[0].open == 1
            answer = await served.request("POST", "/v1/audio/speech", {"input": "Me too."})
            assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "server_overloaded", "1")
        async with asyncio.timeout(5):
            while voices[0].open:  # noqa: ASYNC110  # The voice has no event for it.
                await asyncio.sleep(0.005)
        answer = await served.request("POST", "/v1/audio/speech", {"input": "Now me."})
        assert answer.status == 200

    run(test, max_sessions=1)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": "x" * 5000}, "input"),
        ({"input": "Hi.", "response_format": "mp3"}, "response_format"),
        ({"input": "Hi.", "speed": 9}, "speed"),
        ({"input": 7}, "input"),
    ],
)
def test_speech_that_cannot_be(body: dict[str, Any], param: str) -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        answer = await served.request("POST", "/v1/audio/speech", body)
        assert (answer.status, answer.error["param"]) == (400, param)

    run(test)


# --- who may, and who can ---


def test_a_key_is_needed_where_keys_are_set() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        for path in ("/v1/audio/speech", "/v1/audio/transcriptions"):
            assert (await served.request("POST", path, {"input": "Hi."})).error["code"] == "invalid_api_key"
        keyed = await served.request("POST", "/v1/audio/speech", {"input": "Hi."}, authorization="Bearer sk-mine")
        assert keyed.status == 200

    run(test, api_keys=("sk-mine",))


def test_a_key_has_so_many_requests_a_minute() -> None:
    async def test(served: Served, client: openai.AsyncOpenAI) -> None:
        def ask(key: str) -> Any:
            return served.request("POST", "/v1/audio/speech", {"input": "Hi."}, authorization=f"Bearer {key}")

        assert [(await ask("sk-one")).status for _ in range(3)] == [200, 200, 429]
        refused = await ask("sk-one")
        assert refused.error["code"] == "rate_limit_exceeded"
        assert refused.error["message"].startswith("Rate limit reached for requests per min: Limit 2, Used 2, Requested 1.")
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        async with served.connect(additional_headers={"Authorization": "Bearer sk-one"}) as session:
            await send(
                session,
                "conversation.item.create",
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
            )
            await send(session, "response.create")
            details = (await until(session, "response.done"))["response"]["status_details"]
            assert details["error"]["code"] == "rate_limit_exceeded"
        assert (await ask("sk-other")).status == 200

    run(test, api_keys=("sk-one", "sk-other"), rate_limits=RateLimits(requests_per_minute=2))


def test_engines_that_cannot_say_so_and_others_step_in() -> None:
    body, content_type = multipart(FILE)

    async def cannot(served: Served, client: openai.AsyncOpenAI) -> None:
        answer = await served.request("POST", "/v1/audio/speech", {"input": "Hi."})
        assert (answer.status, answer.error["code"]) == (501, "not_implemented")

    async def can(served: Served, client: openai.AsyncOpenAI) -> None:
        assert (await served.request("POST", "/v1/audio/speech", {"input": "Hi.", "model": "echo"})).status == 200
        path = "/v1/audio/transcriptions"
        assert (await served.request("POST", path, body, content_type=content_type)).json["text"] == "Hi."

    run(cannot, engine="scripted")
    run(can, engine="echo", models={"gpt-realtime": "cascade"})


# --- through another Vivavoce ---


def test_vivavoce_hears_and_speaks_through_vivavoce() -> None:
    """The offline parts, behind our own routes, behind our own upstream parts: as good as at hand."""
    with wave.open(str(AUDIO / "hello-world.wav")) as file:
        recording = file.readframes(file.getnframes())

    async def main() -> None:
        async with serving(engine="cascade", engines={}) as served:
            where = {"base_url": f"http://127.0.0.1:{served.port}/v1"}
            ears, voice = OpenAITranscriptions(where), OpenAISpeech(where)
            await asyncio.gather(ears.start(), voice.start())
            words: list[str] = []
            turn = ears.recognize(Hints(), lambda delta: words.append(delta.text))
            turn.feed(recording, PCM)
            transcript = await turn.finish()
            assert "hello" in transcript.text.lower()
            assert "".join(words) == transcript.text
            speeches = [piece async for piece in voice.speak(Utterance(text="Hello there, my friend.", voice="verse"))]
            samples = sum(len(piece.pcm) for piece in speeches) // 2
            marks = [mark for piece in speeches for mark in piece.marks]
            assert 0.8 < samples / 24_000 < 4
            assert len(speeches) > 2
            assert (marks[-1].characters, marks[-1].samples) == (23, samples)
            assert all(before.samples <= after.samples for before, after in pairwise(marks))
            await asyncio.gather(ears.close(), voice.close())

    asyncio.run(main())


def test_a_session_outlives_its_upstream() -> None:
    """What goes wrong behind a part is a failed response and nothing more."""

    async def fails(request: Received, out: Out) -> None:
        if request.path.endswith("models"):
            await models(request, out)
        elif request.path.endswith("completions"):
            await well(request, out)
        else:
            await out.head(content_type="audio/pcm")
            await out.write(bytes(960))
            out.cut()

    async def main() -> None:
        async with upstream(well) as server:
            where = {"base_url": server.url, "first_seconds": 2.0}
            parts = {"transcriber": "openai_transcriptions", "chat_model": "openai_chat", "synthesizer": "openai_speech"}
            cascade = {**parts, **dict.fromkeys(parts.values(), where)}
            async with serving(engine="cascade", engines={"cascade": cascade}) as served, served.connect() as client:
                await receive(client)
                await send(
                    client, "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
                )
                for answer, text, status in (
                    (well, "Hello.", "completed"),
                    (well, "FALL down.", "failed"),
                    (fails, "Hello.", "failed"),
                    (well, "Hello again.", "completed"),
                ):
                    server.answer = answer
                    content = [{"type": "input_text", "text": text}]
                    await send(
                        client, "conversation.item.create", item={"type": "message", "role": "user", "content": content}
                    )
                    await send(client, "response.create")
                    response = (await until(client, "response.done"))["response"]
                    assert response["status"] == status
                    if status == "failed":
                        assert response["status_details"]["error"]["code"].startswith("upstream_")
                said = response["output"][0]["content"][0]["transcript"]
                assert said.endswith("Hello again.")

    asyncio.run(main())
