"""A whole server and a client without echo cancellation: does the assistant interrupt itself, and can the user?"""

import asyncio
import base64
import json

import numpy as np
import pytest

from tests.front_end.acoustics import MS, level, microphone, voice
from tests.serving import receive, send, serving, until
from vivavoce.trace import replay

ENGINE = "tests.front_end.reader:Reader"
LATE_MS = 200
SAID_AT_MS = 8_000
QUESTION = voice("weather-question.wav")


async def answered(client):
    """Ask for an answer; its audio, once all of it was sent."""
    await send(client, "response.create")
    audio = b""
    while (event := await receive(client))["type"] != "response.done":
        if event["type"] == "response.output_audio.delta":
            audio += base64.b64decode(event["delta"])
    return np.frombuffer(audio, "<i2")


async def say(client, samples):
    for at in range(0, samples.size, 100 * MS):
        chunk = samples[at : at + 100 * MS].astype("<i2").tobytes()
        await send(client, "input_audio_buffer.append", audio=base64.b64encode(chunk).decode())


async def first_onset_ms(**settings):
    """Where the server says that speech started, if the client plays the answer and its user speaks after 8 s."""
    async with serving(engine=ENGINE, **settings) as served, served.connect() as client:
        vad = {"type": "server_vad", "create_response": False}
        await send(client, "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": vad}}})
        answer = await answered(client)
        said = [(SAID_AT_MS * MS, QUESTION)]
        line = microphone(SAID_AT_MS * MS + QUESTION.size + 1_000 * MS, [(LATE_MS * MS, answer)], 6, said)
        await say(client, line)
        return (await until(client, "input_audio_buffer.speech_started"))["audio_start_ms"]


def test_without_cancellation_it_takes_its_own_voice_for_the_users():
    assert asyncio.run(first_onset_ms()) < 3_000


def test_with_cancellation_it_hears_only_the_user():
    assert SAID_AT_MS <= asyncio.run(first_onset_ms(echo_cancellation="cancel")) <= SAID_AT_MS + 1_000


@pytest.mark.parametrize("beta", [False, True])
def test_a_client_that_asks_for_noise_reduction_gets_it_and_the_trace_replays(tmp_path, beta):
    async def act():
        hiss = (np.random.default_rng(1).standard_normal(3_000 * MS) * 1_000).astype(np.int16)
        headers = {"OpenAI-Beta": "realtime=v1"} if beta else {}
        async with serving(trace=str(tmp_path)) as served, served.connect(additional_headers=headers) as client:
            audio = {"noise_reduction": {"type": "near_field"}, "turn_detection": None}
            session = {"type": "realtime", "audio": {"input": audio}}
            if beta:
                session = {"input_audio_noise_reduction": {"type": "near_field"}, "turn_detection": None}
            await send(client, "session.update", session=session)
            await say(client, hiss)
            await send(client, "input_audio_buffer.commit")
            await until(client, "input_audio_buffer.committed")
        return hiss

    hiss = asyncio.run(act())
    (trace,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(line) for line in trace.read_text().splitlines()[1:]]
    appends = [line["input"]["audio"] for line in lines if (line["input"] or {}).get("type") == "input_audio_buffer.append"]
    heard = np.frombuffer(b"".join(map(base64.b64decode, appends)), "<i2")
    assert heard.size == hiss.size
    assert level(heard[1_500 * MS :]) < level(hiss) - 9
    assert replay(trace) is None
