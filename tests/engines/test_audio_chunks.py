"""The four forms of a delta that speaks, and what servers make of them."""

from typing import Any

import msgspec
import pytest

from tests.engines.audio_upstream import base64, wav
from tests.engines.upstream_server import called, chunk
from vivavoce.engines.audio_chunks import AudioAnswer, AudioChunk, Sound
from vivavoce.engines.parts import ChatDone, TextDelta, ToolCallArguments, ToolCallStarted

ONE, TWO = b"\x01\x02" * 2_400, b"\x03\x04" * 2_400


def read(chunks: list[dict[str, Any]], **options: Any) -> tuple[str, bytes, AudioAnswer, list[Any]]:
    """Words, sound, the answer itself, and the rest of what it said."""
    answer = AudioAnswer(**options)
    events = [event for one in chunks for event in answer.feed(msgspec.convert(one, AudioChunk))] + answer.end()
    words = "".join(event.text for event in events if isinstance(event, TextDelta))
    sound = b"".join(event.pcm for event in events if isinstance(event, Sound))
    return words, sound, answer, [event for event in events if not isinstance(event, TextDelta | Sound)]


def audio(**fields: Any) -> dict[str, Any]:
    return chunk(audio=fields)


def modal(modality: str, finish: str | None = None, metadata: dict[str, Any] | None = None, **delta: Any) -> dict[str, Any]:
    return {**chunk(finish, **delta), "modality": modality, "audio_metadata": metadata}


PCM16 = {"format": "pcm16", "sample_rate_hz": 24_000, "channels": 1}
FORMS = {
    "OpenAI": [
        audio(id="audio_1", transcript="Hello "),
        audio(id="audio_1", data=base64(ONE)),
        audio(transcript="there."),
        audio(data=base64(TWO)),
        audio(expires_at=1_234),
        chunk("stop"),
    ],
    "OpenAI, words last": [
        audio(id="audio_1", data=base64(ONE + TWO)),
        audio(transcript="Hello there."),
        audio(expires_at=1_234),
        chunk("stop"),
    ],
    "OpenAI, all at once": [
        {"choices": [{"message": {"content": None, "audio": {"id": "audio_1", "expires_at": 1_234, "data": base64(ONE + TWO),
                                                             "transcript": "Hello there."}}, "finish_reason": "stop"}]},
    ],
    "vLLM-Omni": [
        modal("text", content="Hello "),
        modal("text", content="there."),
        modal("text", "stop", content=""),
        modal("audio", content=base64(ONE), metadata=PCM16),
        modal("audio", content=base64(TWO), metadata=PCM16),
        modal("audio", "stop", content=""),
    ],
    "vLLM-Omni, a WAV each": [
        modal("audio", content=base64(wav(ONE))),
        modal("text", content="Hello there."),
        modal("audio", "stop", content=base64(wav(TWO))),
    ],
    "vLLM-Omni, inside the delta": [
        chunk(content="Hello there.", modality="text"),
        chunk("stop", content=base64(ONE + TWO), modality="audio", audio_metadata=PCM16),
    ],
    "SGLang-Omni": [
        chunk(content="Hello ", audio={"id": "x", "data": base64(ONE), "format": "pcm"}),
        chunk("stop", content="there.", audio={"id": "x", "data": base64(TWO), "format": "pcm"}),
    ],
    "DashScope": [
        chunk(content="Hello there.", audio=None),
        chunk(content="", audio={"data": base64(ONE + TWO)[:1_001]}),
        chunk("stop", content=None, audio={"data": base64(ONE + TWO)[1_001:], "expires_at": 9}),
    ],
    "DashScope, older": [
        audio(transcript="Hello "),
        audio(transcript="there."),
        audio(data=base64(ONE + TWO)),
        chunk("stop", content=""),
    ],
    "words in both places": [
        chunk(content="Hello ", audio={"transcript": "Hello ", "data": base64(ONE)}),
        chunk("stop", content="there.", audio={"transcript": "there.", "data": base64(TWO)}),
    ],
    "words as parts": [
        chunk(content=[{"type": "text", "text": "Hello there."}, {"type": "image"}, 7]),
        chunk("stop", audio={"data": base64(ONE + TWO)}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: str) -> None:
    words, sound, answer, rest = read(FORMS[form])
    assert words == "Hello there."
    assert sound == ONE + TWO
    assert answer.finished
    assert rest == [ChatDone("completed")]
    if form.startswith("OpenAI"):
        assert (answer.audio_id, answer.expires_at) == ("audio_1", 1_234)


def test_words_without_sound_and_sound_without_words() -> None:
    assert read([chunk(content="Hello."), chunk("stop")])[:2] == ("Hello.", b"")
    assert read([audio(data=base64(ONE)), chunk("stop")])[:2] == ("", ONE)


def test_the_rate_that_the_metadata_tell_is_respected() -> None:
    half = modal("audio", "stop", {"format": "pcm16", "sample_rate_hz": 48_000}, content=base64(ONE))
    assert len(read([half])[1]) == len(ONE) // 2


def test_the_end_of_the_words_is_not_the_end_of_the_sound() -> None:
    answer = AudioAnswer()
    answer.feed(msgspec.convert(modal("text", "length", content="Hello"), AudioChunk))
    assert not answer.finished
    answer.feed(msgspec.convert(modal("audio", "stop"), AudioChunk))
    assert answer.finished
    assert answer.end()[-1] == ChatDone("max_output_tokens")


def test_a_written_answer_has_no_sound() -> None:
    chunks = [modal("text", content="Hello."), modal("audio", content=base64(ONE)), modal("text", "stop")]
    words, sound, answer, _ = read(chunks, spoken=False)
    assert (words, sound, answer.finished) == ("Hello.", b"", True)


def test_calls_and_figures() -> None:
    chunks = [
        chunk(tool_calls=[called("get_weather", '{"city":', index=0, id="call_1")]),
        chunk("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": ' "Paris"}'}}]),
        {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 8, "prompt_tokens_details": {"audio_tokens": 15},
                                  "completion_tokens_details": {"audio_tokens": 6}}},
    ]  # fmt: skip
    _, _, _, rest = read(chunks, used_ids=["call_1"])
    started, first, second, done = rest
    assert isinstance(started, ToolCallStarted)
    assert started.call_id != "call_1"
    assert (first, second) == (
        ToolCallArguments(started.call_id, '{"city":'),
        ToolCallArguments(started.call_id, ' "Paris"}'),
    )
    assert (done.usage.input_token_details.audio_tokens, done.usage.input_token_details.text_tokens) == (15, 5)
    assert (done.usage.output_token_details.audio_tokens, done.usage.output_token_details.text_tokens) == (6, 2)
    assert done.usage.total_tokens == 28


def test_thoughts_are_not_spoken() -> None:
    chunks = [modal("text", content="<think>Who is"), modal("text", content=" that?</think>Hello."), chunk("stop")]
    assert read(chunks)[0] == "Hello."


@pytest.mark.parametrize("delta", [{"audio": {"data": "!!!!"}}, {"audio": {"data": base64(b"OggS...")}}])
def test_what_is_no_sound_is_an_error(delta: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sound"):
        read([chunk(**delta)])
