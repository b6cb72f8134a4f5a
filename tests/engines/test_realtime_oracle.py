"""What `realtime` and `chat_audio` say, judged by the official client's types: nothing unknown, nothing of a wrong type."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.beta.realtime import RealtimeClientEvent as BetaClientEvent
from openai.types.chat import completion_create_params
from openai.types.realtime import RealtimeClientEvent
from pydantic import BaseModel, TypeAdapter

from tests.engines.audio_upstream import speaking
from tests.engines.probe import WEATHER, Probe, in_use, user_text, with_speech
from tests.engines.realtime_upstream_server import Upstream, fake_server
from tests.engines.upstream_server import upstream
from vivavoce.engine_api import Generate, Listen, OutputAudio, StopGenerating
from vivavoce.engines.chat_audio import ChatAudio
from vivavoce.engines.realtime import Realtime
from vivavoce.protocol.objects import (
    PCM,
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
    InputImagePart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
    OutputTextPart,
)

SPEECH = b"\1\2" * 12_000
PICTURE = InputImagePart("data:image/png;base64,AAAA")
ITEMS: tuple[Item, ...] = (
    Message(id="item_s", role="system", content=(InputTextPart("Be kind."),)),
    Message(id="item_u", role="user", content=(InputTextPart("Look:"), PICTURE)),
    Message(id="item_t", role="assistant", content=(OutputTextPart("A cat."),)),
    Message(id="item_a", role="assistant", content=(OutputAudioPart(transcript="A cat, I said."),)),
    FunctionCall(id="item_c", call_id="call_1", name="get_weather", arguments="{}"),
    FunctionCallOutput(id="item_o", call_id="call_1", output="sunny"),
    with_speech(SPEECH, "item_v"),
)


def unknown(model: Any, path: str = "") -> Iterator[str]:
    """Fields that the official types do not have."""
    if isinstance(model, BaseModel):
        yield from (f"{path}.{name}" for name in model.model_extra or ())
        for name in model.model_fields_set:
            yield from unknown(getattr(model, name, None), f"{path}.{name}")
    elif isinstance(model, list):
        for at, inner in enumerate(model):
            yield from unknown(inner, f"{path}[{at}]")


async def behave(server: Upstream) -> None:
    await server.begin("first")
    await server.speak("One two three", "AAAA" * 4_000, "first")
    await server.next("response.cancel")
    await server.say("response.done", response={"id": "first", "status": "cancelled"})
    while True:
        await server.answer()


async def talk(dialect: str) -> list[dict[str, Any]]:
    async with fake_server(behave) as server:
        engine = Realtime({"base_url": server.url, "dialect": dialect, "transcription": "whisper-1"})
        probe = Probe(engine)
        asked = Generate(response_id="resp_1", items=ITEMS, tools=(WEATHER,), speed=1.2, instructions="Be brief.")
        probe.session.submit(asked)
        await probe.until(lambda event: isinstance(event, OutputAudio))
        probe.session.submit(StopGenerating("resp_1"))
        probe.session.submit(Listen("item_w", SPEECH, PCM, final=True))
        cut = Message(id="item_b", role="assistant", content=(OutputAudioPart(transcript="One", audio=SPEECH[:9_600]),))
        # Beta's type knows only names here, though its description speaks of functions.
        choice = FunctionChoice(name="get_weather") if dialect == "ga" else "required"
        more = (*ITEMS[2:], cut, with_speech(SPEECH, "item_w"))
        fields: dict[str, Any] = {"tools": (WEATHER,), "tool_choice": choice, "max_output_tokens": 50, "temperature": 0.7}
        await probe.answer(Generate(response_id="resp_2", items=more, **fields))
        await probe.answer(Generate(response_id="resp_3", items=(user_text("beside"),), modalities=("text",)))
        probe.session.close()
        return server.seen


@pytest.mark.parametrize(("dialect", "oracle"), [("ga", RealtimeClientEvent), ("beta", BetaClientEvent)])
def test_every_event_is_one_that_the_official_client_could_have_sent(dialect: str, oracle: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(oracle)
    events = asyncio.run(talk(dialect))
    kinds = {event["type"] for event in events}
    assert kinds == {
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "conversation.item.create",
        "conversation.item.delete",
        "conversation.item.truncate",
        "response.create",
        "response.cancel",
    }
    for event in events:
        assert list(unknown(adapter.validate_python(event), event["type"])) == []


def test_every_completion_is_one_that_the_official_client_could_have_asked_for() -> None:
    async def main() -> dict[str, Any]:
        async with upstream(speaking("openai")) as server, in_use(ChatAudio({"base_url": server.url})) as engine:
            await Probe(engine).ask(*ITEMS, tools=(WEATHER,), max_output_tokens=50)
            return server.last.json

    body = asyncio.run(main())
    adapter: TypeAdapter[Any] = TypeAdapter(completion_create_params.CompletionCreateParamsStreaming)
    known = completion_create_params.CompletionCreateParamsStreaming.__annotations__
    known |= completion_create_params.CompletionCreateParamsBase.__annotations__
    assert set(body) <= set(known)
    adapter.validate_python(body)
