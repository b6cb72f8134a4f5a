"""The offline assistant as a chat model: events, limits, usage, options; and that it never holds up the event loop."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.assistant_dialogues import NOW, tools
from tests.engines.fakes import FakeSynthesizer, FakeTranscriber, speech
from tests.engines.probe import Probe, in_use
from vivavoce.engine_api import (
    EngineEvent,
    FunctionCallArguments,
    Generate,
    GenerationDone,
    OutputAudio,
    OutputTranscript,
)
from vivavoce.engines.assistant import Assistant
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.offline.answers import answer
from vivavoce.engines.offline.phrases import STORIES
from vivavoce.engines.parts import ChatDone, ChatEvent, ChatModel, TextDelta, ToolCallArguments, ToolCallStarted
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
)

MODEL: ChatModel = Assistant({}, clock=lambda: NOW)


def user(text: str) -> Message:
    return Message(role="user", content=(InputTextPart(text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(OutputAudioPart(text),))


def ask(text: str, **settings: Any) -> Generate:
    return Generate(response_id="resp_1", items=(user(text),), **settings)


def events(request: Generate, model: ChatModel = MODEL) -> list[ChatEvent]:
    async def collect() -> list[ChatEvent]:
        return [event async for event in model.reply(request)]

    return asyncio.run(collect())


def test_words_come_one_by_one() -> None:
    *words, done = events(ask("what is two plus two"))
    assert [word.text for word in words if isinstance(word, TextDelta)] == ["2", " plus", " 2", " is", " 4."]
    assert isinstance(done, ChatDone)
    assert done.reason == "completed"


def test_a_call_is_streamed() -> None:
    started, *pieces, done = events(ask("what's the weather in San Francisco", tools=(tools()["get_weather"],)))
    assert isinstance(started, ToolCallStarted)
    assert started.name == "get_weather"
    assert len(pieces) > 1
    assert {piece.call_id for piece in pieces if isinstance(piece, ToolCallArguments)} == {started.call_id}
    arguments = "".join(piece.delta for piece in pieces if isinstance(piece, ToolCallArguments))
    assert json.loads(arguments) == {"location": "San Francisco"}
    assert isinstance(done, ChatDone)


def test_call_ids_differ() -> None:
    request = ask("weather in Paris and in Rome", tools=(tools()["get_weather"],))
    later = Generate(response_id="resp_2", items=request.items, tools=request.tools)
    ids = [event.call_id for asked in (request, later) for event in events(asked) if isinstance(event, ToolCallStarted)]
    assert len(set(ids)) == len(ids) == 4


def test_the_limit_ends_the_answer_after_a_word() -> None:
    *words, done = events(ask("tell me a story", max_output_tokens=10))
    text = "".join(word.text for word in words if isinstance(word, TextDelta))
    assert text == "Once upon a time there was a lighthouse"
    assert isinstance(done, ChatDone)
    assert done.reason == "max_output_tokens"
    assert done.usage
    assert done.usage.output_tokens == 10


def test_an_answer_that_just_fits_is_complete() -> None:
    done = events(ask("say exactly abcd", max_output_tokens=1))[-1]
    assert isinstance(done, ChatDone)
    assert done.reason == "completed"


def test_a_call_over_the_limit_is_not_begun() -> None:
    (done,) = events(ask("weather in Paris", tools=(tools()["get_weather"],), max_output_tokens=3))
    assert isinstance(done, ChatDone)
    assert done.reason == "max_output_tokens"


def test_usage_counts_text_and_leaves_audio_to_the_cascade() -> None:
    spoken = Message(role="user", content=(InputAudioPart(b"", "what is two plus two"),))
    request = Generate(response_id="r", instructions="Be kind.", items=(user("hi"), assistant("Hello!"), spoken))
    done = events(request)[-1]
    assert isinstance(done, ChatDone)
    assert done.usage
    assert done.usage.input_token_details.text_tokens == done.usage.input_tokens == 3  # "Be kind." and "hi"
    assert done.usage.output_tokens == 4  # "2 plus 2 is 4."
    assert done.usage.total_tokens == 7


def test_stories_are_long_enough_to_interrupt() -> None:
    assert all(60 <= len(story.split()) <= 90 for story in STORIES)


def test_the_clock_of_a_time_zone() -> None:
    model = Assistant({"timezone": "Asia/Tokyo"})
    now = datetime.now(UTC) + timedelta(hours=9)
    text = "".join(event.text for event in events(ask("what time is it"), model) if isinstance(event, TextDelta))
    assert f"{now.hour % 12 or 12}:" in text


@pytest.mark.parametrize(
    "options", [{"timezone": "Mars/Olympus"}, {"timezone": "../etc"}, {"tiemzone": "UTC"}, {"timezone": 3}]
)
def test_options_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="assistant"):
        Assistant(options)


def through_the_cascade(*items: Item) -> list[EngineEvent]:
    """What a cascade with the assistant in it makes of a spoken conversation."""

    async def converse() -> list[EngineEvent]:
        async with in_use(Cascade.of(FakeTranscriber(), MODEL, FakeSynthesizer())) as engine:
            return (await Probe(engine).ask(*items, tools=(tools()["move"],))).events

    return asyncio.run(converse())


def test_a_spoken_turn_becomes_a_call() -> None:
    spoken = Message(role="user", content=(InputAudioPart(speech("go forward ten meters")),))
    happened = through_the_cascade(spoken)
    arguments = "".join(event.delta for event in happened if isinstance(event, FunctionCallArguments))
    assert json.loads(arguments) == {"direction": "forward", "distance_meters": 10}


def test_a_whisper_is_heard_and_not_read() -> None:
    spoken = Message(role="user", content=(InputAudioPart(speech("whisper a secret")),))
    happened = through_the_cascade(spoken)
    words = "".join(event.text for event in happened if isinstance(event, OutputTranscript))
    assert "I am only a set of rules. Do not tell anyone." in words
    assert any(isinstance(event, OutputAudio) for event in happened)
    done = happened[-1]
    assert isinstance(done, GenerationDone)
    assert done.reason == "completed"


def test_metadata_and_model_change_nothing() -> None:
    assert events(ask("hello", metadata={"topic": "x"}, model="gpt-realtime")) == events(ask("hello"))


# --- never long on the event loop ---


def milliseconds(request: Generate, times: int = 5) -> float:
    """The shortest time that an answer took on the processor: what a busy machine adds is not counted."""
    shortest = float("inf")
    for _ in range(times):
        began = time.thread_time()
        answer(request, NOW)
        shortest = min(shortest, (time.thread_time() - began) * 1000)
    return shortest


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "what is twelve times seven",
        "book a table for four people tomorrow at seven",
        "what's the weather in paris and in rome",
        "what is my name",
        "tell me about the economy of the roman empire in the second century",
        "",
    ],
)
def test_a_usual_answer_takes_less_than_two_milliseconds(text: str) -> None:
    usual = tuple(tools()[name] for name in ("get_weather", "move", "book_table", "send_message", "set_timer"))
    turns: list[Item] = [
        user("my name is Ada"),
        assistant("Nice to meet you, Ada."),
        user("what is 2 plus 2"),
        assistant("4"),
    ] * 5
    request = Generate(response_id="r", instructions="You are helpful. " * 40, items=(*turns, user(text)), tools=usual)
    assert milliseconds(request, times=20) < 2


def test_a_long_history_costs_little() -> None:
    turns: list[Item] = [
        turn for n in range(5000) for turn in (user(f"my code {n} is {n} and my hat is red"), assistant("All right."))
    ]
    for text in ("what is my hat", "hello", "repeat that", "what do you remember"):
        assert milliseconds(Generate(response_id="r", items=(*turns, user(text))), times=3) < 20


UNPLEASANT = {
    "brackets": "(" * 3000,
    "minus": "what is " + "-" * 3000 + "1",
    "numbers": "one hundred and " * 500,
    "and": "the weather in paris and " * 200,
    "articles": "my the our " * 600 + "is",
    "quotes": "say exactly " + "\"'" * 1500,
    "one word": "a" * 20_000,
    "spaces": "remember" + " " * 3000 + "x",
    "please": "please " * 800 + "no",
    "say": "say the the words the exact phrase " * 200,
    "weather": "weather whether wether wethar " * 150,
    "commas": "mushrooms, olives, " * 300,
    "accents": "é" * 3000,
    "at": "at seven thirty in the " * 200,
    "is": "my " + "is " * 1000,
    "whisper": "can you " * 500 + "whisper",
    "questions": "how many days is it is it left are left " * 100,
}


@pytest.mark.parametrize("name", UNPLEASANT)
@pytest.mark.parametrize("where", ["user", "instructions", "output", "arguments"])
def test_unpleasant_texts_cost_little(name: str, where: str) -> None:
    text = UNPLEASANT[name]
    items: tuple[Item, ...] = (user("weather in Paris"),)
    if where == "user":
        items = (user(text),)
    elif where == "output":
        items = (
            *items,
            FunctionCall(call_id="c", name="get_weather", arguments="{}"),
            FunctionCallOutput(call_id="c", output=text),
        )
    elif where == "arguments":
        items = (
            *items,
            FunctionCall(call_id="c", name="get_weather", arguments=text),
            FunctionCallOutput(call_id="c", output="{}"),
        )
    instructions = text if where == "instructions" else ""
    request = Generate(response_id="r", instructions=instructions, items=items, tools=tuple(tools().values()))
    assert milliseconds(request, times=2) < 40


TURNS = st.lists(
    st.one_of(
        st.builds(user, st.text(max_size=40)),
        st.builds(assistant, st.text(max_size=40)),
        st.builds(lambda text: Message(role="system", content=(InputTextPart(text),)), st.text(max_size=40)),
        st.builds(
            lambda name, text: FunctionCall(call_id="c", name=name, arguments=text),
            st.text(max_size=9),
            st.text(max_size=20),
        ),
        st.builds(lambda text: FunctionCallOutput(call_id="c", output=text), st.text(max_size=40)),
        st.just(Message(role="user", content=(InputAudioPart(),))),
        st.just(Message(role="assistant", content=())),
    ),
    max_size=6,
)


@given(TURNS, st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_every_conversation_gets_an_answer(items: list[Item], instructions: str) -> None:
    found = answer(
        Generate(response_id="r", items=tuple(items), instructions=instructions, tools=tuple(tools().values())), NOW
    )
    assert found.text.strip() or found.calls
