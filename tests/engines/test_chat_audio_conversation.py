"""`chat_audio`: what it remembers of a conversation, and how it tells the server."""

import time
from typing import Any

import pytest

from tests.engines.audio_upstream import speaking
from tests.engines.chat_audio_scene import HELLO, PCM_HELLO, Scene, scene
from tests.engines.probe import WEATHER, Answer, user_text
from tests.engines.upstream_server import Out, Received
from vivavoce.engine_api import GenerationDone
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputTextPart,
    Message,
    OutputAudioPart,
)


def said(answer: Answer, item_id: str = "item_a", transcript: str | None = None, samples: int | None = None) -> Message:
    """The assistant's item that the core makes of an answer, or of its beginning."""
    audio = answer.pcm if samples is None else answer.pcm[: samples * 2]
    part = OutputAudioPart(transcript=answer.transcript if transcript is None else transcript, audio=audio)
    return Message(id=item_id, role="assistant", content=(part,))


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
