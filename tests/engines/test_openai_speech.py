"""The voice behind `/v1/audio/speech`: what is asked of it, its sound in every wrapping, its marks."""

from __future__ import annotations

import asyncio
import base64
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.engines.probe import in_use
from tests.engines.upstream_server import Out, Received, UpstreamServer, upstream
from vivavoce.engine_api import Mark
from vivavoce.engines.openai_speech import OpenAISpeech, instructions_for
from vivavoce.engines.parts import Speech, Utterance
from vivavoce.engines.proportional_marks import ProportionalMarks
from vivavoce.engines.tone import Tone, spans, tone_of
from vivavoce.engines.wav import wav_header
from vivavoce.protocol.errors import EngineError, SettingsError

HUM = (8000 * np.sin(np.arange(24_000) / 24_000 * 2 * np.pi * 200)).astype("<i2").tobytes()
HELLO = Utterance(text="Hello there, my friend.")


def spoken(answer: Any, utterance: Utterance = HELLO, **options: Any) -> tuple[list[Speech], UpstreamServer]:
    async def scene() -> tuple[list[Speech], UpstreamServer]:
        async with upstream(answer) as server, in_use(OpenAISpeech({"base_url": server.url, **options})) as part:
            return [speech async for speech in part.speak(utterance)], server

    return asyncio.run(scene())


def sound(*pieces: bytes, content_type: str = "audio/pcm") -> Any:
    async def answer(request: Received, out: Out) -> None:
        await out.head(content_type=content_type)
        for piece in pieces:
            await out.write(piece)

    return answer


def pcm_of(speeches: list[Speech]) -> bytes:
    assert all(len(speech.pcm) % 2 == 0 for speech in speeches)
    return b"".join(speech.pcm for speech in speeches)


def body(utterance: Utterance, **options: Any) -> dict[str, Any]:
    return spoken(sound(HUM), utterance, **options)[1].last.json


# --- what is asked for ---


def test_a_plain_request() -> None:
    assert body(HELLO) == {"model": "tts-1", "input": HELLO.text, "voice": "alloy", "response_format": "pcm"}


def test_voices_have_other_names_there() -> None:
    names = {"voices": {"alloy": "af_heart"}, "voice": "am_puck"}
    assert body(HELLO, **names)["voice"] == "af_heart"
    assert body(Utterance(text="Hi.", voice="verse"), **names)["voice"] == "am_puck"
    assert body(Utterance(text="Hi.", voice="verse"))["voice"] == "verse"
    assert OpenAISpeech({"base_url": "http://127.0.0.1:1", **names}).voices == ("alloy",)


def test_directions_travel_as_instructions() -> None:
    tone = tone_of("You are a nurse. Speak slowly, in a deep voice.")
    asked = body(Utterance(text="Hi.", tone=tone, speed=1.5))
    assert asked["instructions"] == "Speak slowly, in a deep voice."
    assert asked["speed"] == 1.5
    [_, whispered] = spans("Well, <whisper>come closer</whisper>", Tone())
    assert body(Utterance(text=whispered.text, tone=whispered.tone))["instructions"] == "Whisper."
    assert instructions_for(Tone(laugh=True, direction="Sound cheerful.")) == "Sound cheerful. Begin with a laugh."


def test_a_server_that_follows_no_directions_gets_the_pace() -> None:
    asked = body(Utterance(text="Hi.", tone=tone_of("Speak slowly."), speed=1.2), instructions=False)
    assert "instructions" not in asked
    assert asked["speed"] == pytest.approx(0.9)


def test_markdown_is_not_read_aloud() -> None:
    asked = body(Utterance(text="**Paris** -> _Rome_ 🚆"))
    assert asked["input"] == "Paris to Rome"
    assert body(Utterance(text="**Paris** -> _Rom_ 🚆"), language="de")["input"] == "Paris -> Rom"


def test_more_fields_for_every_request() -> None:
    asked = body(HELLO, extra_body={"lang_code": "a"}, stream_format="sse")
    assert (asked["lang_code"], asked["stream_format"]) == ("a", "sse")


@pytest.mark.parametrize(
    ("utterance", "said"),
    [
        (Utterance(text="🚆"), None),
        (Utterance(text="", tone=Tone(laugh=True)), "Ha ha ha!"),
    ],
)
def test_where_there_is_nothing_to_pronounce(utterance: Utterance, said: str | None) -> None:
    speeches, server = spoken(sound(HUM), utterance)
    posts = [request for request in server.requests if request.method == "POST"]
    assert [request.json["input"] for request in posts] == ([said] if said else [])
    assert speeches[-1].marks == (Mark(len(utterance.text), len(pcm_of(speeches)) // 2),)
    silent, server = spoken(sound(HUM), utterance, instructions=False)
    assert pcm_of(silent) == b""
    assert all(request.method == "GET" for request in server.requests)


# --- its sound ---


def in_events(pcm: bytes, *, done: Any = None) -> Any:
    async def answer(request: Received, out: Out) -> None:
        await out.head()
        for at in range(0, len(pcm), 9_999):
            audio = base64.b64encode(pcm[at : at + 9_999]).decode()
            await out.event({"type": "speech.audio.delta", "audio": audio})
        await out.event(done or {"type": "speech.audio.done", "usage": {"total_tokens": 1}})

    return answer


LIST_CHUNK = struct.pack("<4sI5s", b"LIST", 5, b"a tag") + b"\0"
WAV = wav_header(24_000, len(HUM)) + HUM
WITH_TAG = WAV[:36] + LIST_CHUNK + WAV[36:] + LIST_CHUNK


@pytest.mark.parametrize(
    "answer",
    [
        sound(HUM),
        sound(HUM[:1], HUM[1:7], HUM[7:20_001], HUM[20_001:]),
        sound(HUM, content_type="application/octet-stream"),
        sound(WAV, content_type="audio/wav"),
        sound(WAV[:3], WAV[3:30], WAV[30:], content_type="audio/pcm"),
        sound(wav_header(24_000) + HUM, content_type="audio/x-wav"),
        sound(WITH_TAG, content_type="audio/wav"),
        in_events(HUM),
        in_events(HUM, done="[DONE]"),
    ],
    ids=["pcm", "cut anywhere", "bytes", "wav", "wav, cut", "endless wav", "wav with tags", "events", "events, [DONE]"],
)
def test_every_wrapping_holds_the_same_sound(answer: Any) -> None:
    assert pcm_of(spoken(answer)[0]) == HUM


def test_another_rate_becomes_24_khz() -> None:
    slow = np.frombuffer(HUM, "<i2")[::3].tobytes()
    for answer in (sound(slow[:5001], slow[5001:]), sound(wav_header(8_000, len(slow)) + slow, content_type="audio/wav")):
        heard = np.frombuffer(pcm_of(spoken(answer, sample_rate_hz=8_000)[0]), "<i2")
        assert len(heard) == 24_000
        assert np.abs(heard[200:-200] - np.frombuffer(HUM, "<i2")[200:-200].astype(int)).max() < 300


def test_a_rate_that_no_voice_has() -> None:
    with pytest.raises(SettingsError, match="sample_rate_hz: 44101"):
        OpenAISpeech({"base_url": "http://127.0.0.1:1", "sample_rate_hz": 44_101})


def test_sound_shorter_than_any_head() -> None:
    assert pcm_of(spoken(sound(b"RI"))[0]) == b"RI"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (sound(), "upstream_invalid"),
        (sound(b"ID3", content_type="audio/mpeg"), "upstream_invalid"),
        (sound(WAV.replace(b"\x01\x00\x01\x00", b"\x01\x00\x02\x00", 1), content_type="audio/wav"), "upstream_invalid"),
        (sound(b"RIFF" + bytes(100)), "upstream_invalid"),
        (in_events(HUM, done={"error": {"message": "no"}}), "upstream_failed"),
        (in_events(HUM, done={"type": "speech.audio.delta", "audio": "?"}), "upstream_invalid"),
        (in_events(HUM, done={"type": "speech.audio.delta", "audio": "é"}), "upstream_invalid"),
        (in_events(HUM, done={"type": "speech.audio.progress"}), "upstream_disconnected"),
    ],
    ids=["nothing", "mp3", "stereo", "no wav", "an error", "bad base64", "no ASCII", "no end"],
)
def test_what_is_no_speech(answer: Any, code: str) -> None:
    with pytest.raises(EngineError) as caught:
        spoken(answer)
    assert caught.value.code == code


def test_sound_leaves_as_it_arrives_and_closing_stops_the_server() -> None:
    async def answer(request: Received, out: Out) -> None:
        await out.head(content_type="audio/pcm")
        await out.write(HUM)
        await out.silence()

    async def scene() -> None:
        async with upstream(sound(HUM)) as server, in_use(OpenAISpeech({"base_url": server.url})) as part:
            server.answer = answer
            speeches = part.speak(HELLO)
            assert (await anext(speeches)).pcm
            await speeches.aclose()
            await asyncio.wait_for(server.broken.wait(), 2)

    asyncio.run(scene())


# --- its marks ---


def test_a_fast_voice_shares_its_sound_out_over_the_words() -> None:
    speeches, _ = spoken(sound(HUM))
    marks = [mark for speech in speeches for mark in speech.marks]
    text = HELLO.text
    assert [text[: mark.characters] for mark in marks] == ["Hello", "Hello there,", "Hello there, my", text]
    assert [mark.samples for mark in marks] == [round(24_000 * mark.characters / len(text)) for mark in marks]


def test_a_slow_voice_has_marks_before_its_end() -> None:
    marks = ProportionalMarks("one two three four", 24_000)
    assert marks.heard(0) == ()
    assert marks.heard(24_000) == (Mark(3, 5_143), Mark(7, 12_000), Mark(13, 22_286))
    assert marks.heard(100 * 24_000) == ()  # The end of the last word is not known.
    assert marks.end(48_000) == (Mark(18, 48_000),)


def test_marks_never_go_back() -> None:
    marks = ProportionalMarks("one two three four five", 24_000, speed=0.5)
    told = [*marks.heard(20_000), *marks.end(20_000)]
    assert [mark.characters for mark in told] == [3, 7, 13, 18, 23]
    assert all(before.samples <= after.samples for before, after in pairwise(told))
    assert told[-1].samples == 20_000


def test_what_a_slow_voice_says_is_marked_while_it_speaks() -> None:
    async def answer(request: Received, out: Out) -> None:
        await out.head(content_type="audio/pcm")
        await out.write(HUM[:9600])
        await asyncio.sleep(0.12)  # Longer than "I" takes to say.
        await out.write(HUM[9600:])

    speeches, _ = spoken(answer, Utterance(text="I speak slowly."))
    first = next(speech for speech in speeches if speech.marks)
    assert first.marks == (Mark(1, 1714),)
    assert first is not speeches[-1]
    assert [mark.characters for speech in speeches for mark in speech.marks] == [1, 7, 15]
