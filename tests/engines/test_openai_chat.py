"""The chat model behind `/v1/chat/completions`: what is sent, what is understood, and that stopping stops the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.engines.probe import WEATHER, in_use
from tests.engines.upstream_server import Out, Received, UpstreamServer, called, chunk, models, upstream, well
from vivavoce.engine_api import Generate
from vivavoce.engines.openai_chat import OpenAIChat
from vivavoce.engines.parts import ChatDone, ChatEvent, TextDelta, ToolCallArguments, ToolCallStarted
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import (
    CachedTokens,
    FunctionCall,
    FunctionChoice,
    FunctionTool,
    InputImagePart,
    InputTextPart,
    InputTokens,
    Message,
    OutputTokens,
    Usage,
)

CLOCK = FunctionTool(name="get_time")


def asked(text: str = "hello", **fields: Any) -> Generate:
    fields = {"items": (Message(role="user", content=(InputTextPart(text),)),), **fields}
    return Generate(response_id="resp_1", **fields)


@asynccontextmanager
async def connected(answer: Any, **options: Any) -> AsyncIterator[tuple[UpstreamServer, OpenAIChat]]:
    async def with_models(request: Received, out: Out) -> None:
        await (models if request.path.endswith("models") else answer)(request, out)

    async with upstream(with_models) as server, in_use(OpenAIChat({"base_url": server.url, **options})) as part:
        yield server, part


def reply(answer: Any, request: Generate | None = None, **options: Any) -> list[ChatEvent]:
    """What a server that answers so makes of a request."""

    async def scene() -> list[ChatEvent]:
        async with connected(answer, **options) as (_, part):
            return [event async for event in part.reply(request or asked())]

    return asyncio.run(scene())


def sent(request: Generate, **options: Any) -> dict[str, Any]:
    """The body that the server gets."""

    async def scene() -> dict[str, Any]:
        async with connected(well, **options) as (server, part):
            async for _ in part.reply(request):
                pass
            return server.last.json

    return asyncio.run(scene())


def events(*chunks: Any, done: bool = True) -> Callable[[Received, Out], Coroutine[Any, Any, None]]:
    async def answer(request: Received, out: Out) -> None:
        await out.head()
        for content in chunks:
            await out.event(content)
        if done:
            await out.event("[DONE]")

    return answer


def text(found: list[ChatEvent]) -> str:
    return "".join(event.text for event in found if isinstance(event, TextDelta))


def calls(found: list[ChatEvent]) -> dict[str, Any]:
    """Arguments by name and id."""
    made: dict[str, Any] = {}
    for event in found:
        if isinstance(event, ToolCallStarted):
            assert event.call_id not in made
            made[event.call_id] = [event.name, ""]
        elif isinstance(event, ToolCallArguments):
            made[event.call_id][1] += event.delta
    return {call_id: (name, json.loads(arguments)) for call_id, (name, arguments) in made.items()}


# --- what is sent ---


def test_a_plain_request() -> None:
    body = sent(asked("hello", instructions="Be brief."))
    assert body == {
        "stream": True,
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "stream_options": {"include_usage": True},
    }


def test_limits_temperature_and_effort_are_passed_on() -> None:
    request = asked(max_output_tokens=50, temperature=0.7, reasoning_effort="low")
    body = sent(request, temperature=0.1, reasoning_effort="none", model="big", usage=False)
    assert (body["max_tokens"], body["temperature"], body["reasoning_effort"]) == (50, 0.7, "low")
    assert body["model"] == "big"
    assert "stream_options" not in body
    body = sent(
        asked(max_output_tokens=9), temperature=0.1, reasoning_effort="none", max_tokens_field="max_completion_tokens"
    )
    assert (body["temperature"], body["reasoning_effort"], body["max_completion_tokens"]) == (0.1, "none", 9)
    assert "max_tokens" not in body


def test_more_fields_for_every_request() -> None:
    assert sent(asked(), extra_body={"keep_alive": -1, "stream_options": {}})["keep_alive"] == -1


def test_tools_as_they_are_and_none_where_none_may_be_called() -> None:
    both = (WEATHER, CLOCK)
    body = sent(asked(tools=both))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "get_time"]
    assert body["tools"][0]["function"]["parameters"] == WEATHER.parameters
    assert body["tools"][1] == {
        "type": "function",
        "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
    }
    assert (body["tool_choice"], "parallel_tool_calls" in body) == ("auto", False)
    assert sent(asked(tools=both, tool_choice="required", parallel_tool_calls=False))["parallel_tool_calls"] is False
    assert "tools" not in sent(asked(tools=both, tool_choice="none"))
    forced = sent(asked(tools=both, tool_choice=FunctionChoice(name="get_time")))
    assert forced["tool_choice"] == {"type": "function", "function": {"name": "get_time"}}
    assert [tool["function"]["name"] for tool in forced["tools"]] == ["get_time"]


def test_pictures_are_passed_through() -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    parts = (InputTextPart("What is this?"), InputImagePart(url, "low"))
    # Another message follows: the fake server reads the last one as text.
    items = (
        Message(role="user", content=parts),
        Message(role="assistant", content=()),
        FunctionCall(name="f", arguments=""),
    )
    body = sent(asked(items=items))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]


def test_a_long_conversation_is_sent_whole() -> None:
    items = tuple(Message(role=("user", "assistant")[n % 2], content=(InputTextPart(f"{n}"),)) for n in range(99))
    assert [message["content"] for message in sent(asked(items=items))["messages"]] == [str(n) for n in range(99)]


# --- what is understood ---


def test_words_then_figures() -> None:
    counted = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 16}}
    found = reply(events(chunk(content="Hel"), chunk(content="lo."), chunk("stop"), {"choices": [], "usage": counted}))
    usage = Usage(25, 20, 5, InputTokens(20, 0, 0, 16, CachedTokens(16)), OutputTokens(5))
    assert found == [TextDelta("Hel"), TextDelta("lo."), ChatDone("completed", usage)]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "completed"),
        ("tool_calls", "completed"),
        ("length", "max_output_tokens"),
        ("content_filter", "content_filter"),
    ],
)
def test_why_it_ends(finish: str, reason: str) -> None:
    assert reply(events(chunk(content="So"), chunk(finish)))[-1] == ChatDone(reason)


@pytest.mark.parametrize("ends", ["without a mark", "without a reason"])
def test_either_sign_of_the_end_is_enough(ends: str) -> None:
    last = [chunk("stop")] if ends == "without a mark" else []
    assert text(reply(events(chunk(content="So."), *last, done=not last))) == "So."


def test_the_last_words_do_not_wait_for_figures_that_never_come() -> None:
    async def answer(request: Received, out: Out) -> None:
        await out.head()
        await out.event(chunk("stop", content="So."))
        await out.silence()

    assert reply(answer) == [TextDelta("So."), ChatDone()]


def test_a_server_that_does_not_stream() -> None:
    message = {"role": "assistant", "content": "So.", "tool_calls": [called("get_time", "{}", id="c")]}
    whole = {
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }

    async def answer(request: Received, out: Out) -> None:
        await out.whole(200, "application/json", json.dumps(whole).encode())

    found = reply(answer)
    assert (text(found), calls(found)) == ("So.", {"c": ("get_time", {})})
    assert found[-1].usage.total_tokens == 3


def test_events_cut_anywhere() -> None:
    stream = b"".join(
        b"data: %s\r\n\r\n" % json.dumps(one, ensure_ascii=False).encode()
        for one in (chunk(content="Grüße, "), chunk(content="人"), chunk("stop"))
    )

    async def answer(request: Received, out: Out) -> None:
        await out.head()
        await out.write(b": a comment\n\n")
        for at in range(0, len(stream), 3):
            await out.write(stream[at : at + 3])

    assert text(reply(answer)) == "Grüße, 人"


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["<think>Hm. ", "Let me see.", "</think>\n\n", "It is noon."], "It is noon."),
        (["<th", "ink>Hm.</thi", "nk> It is", " noon."], "It is noon."),
        (["<thumbs>", " up"], "<thumbs> up"),
        (["<", "b> is a tag"], "<b> is a tag"),
        (["<th"], "<th"),
        (["It is <think>noon</think>."], "It is <think>noon</think>."),
        (["<think>only that</think>"], ""),
    ],
)
def test_thoughts_are_not_heard(pieces: list[str], said: str) -> None:
    chunks = [chunk(content=piece) for piece in pieces]
    thinking = {"choices": [{"delta": {"reasoning_content": "Hm."}}]}
    assert text(reply(events(thinking, *chunks, chunk("stop")))) == said


def test_calls_in_pieces_at_the_same_time() -> None:
    found = reply(
        events(
            chunk(content="Let me look. "),
            chunk(tool_calls=[called("get_weather", "", index=0, id="call_a")]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"city": '}}]),
            chunk(tool_calls=[called("get_time", "", index=1, id="call_b")]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '"Paris"}'}}]),
            chunk("tool_calls"),
        )
    )
    assert calls(found) == {"call_a": ("get_weather", {"city": "Paris"}), "call_b": ("get_time", {})}
    assert [type(event).__name__ for event in found][:2] == ["TextDelta", "ToolCallStarted"]


def test_calls_as_other_servers_write_them() -> None:
    """All at index 0, whole, without ids, arguments as an object."""
    found = reply(
        events(
            chunk(tool_calls=[called("get_time", "{}", index=0, id="call_a")]),
            chunk(tool_calls=[called("get_time", '{"zone": 1}', index=0, id="call_b")]),
            chunk(tool_calls=[{"index": 2, "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]),
            chunk("stop"),
        )
    )
    (made_id,) = set(calls(found)) - {"call_a", "call_b"}
    assert calls(found)["call_b"] == ("get_time", {"zone": 1})
    assert calls(found)[made_id] == ("get_weather", {"city": "Paris"})
    assert made_id.startswith("call_")


def test_an_id_that_was_used_before_is_replaced() -> None:
    items = (FunctionCall(call_id="call_0", name="get_time", arguments="{}"),)
    answer = events(chunk("stop", tool_calls=[called("get_time", "{}", index=0, id="call_0")]))
    assert "call_0" not in calls(reply(answer, asked(items=items)))


def test_one_call_at_most_where_the_client_asked_for_that() -> None:
    both = [called("get_time", "{}", index=0, id="a"), called("get_time", "{}", index=1, id="b")]
    answer = events(chunk("stop", tool_calls=both))
    assert len(calls(reply(answer, asked()))) == 2
    assert list(calls(reply(answer, asked(parallel_tool_calls=False)))) == ["a"]


# --- stopping, and choosing a model ---


def test_closing_the_iterator_closes_the_request_at_once() -> None:
    async def answer(request: Received, out: Out) -> None:
        await out.head()
        await out.event(chunk(content="I could go on and on"))
        await out.silence()

    async def scene() -> None:
        async with connected(answer) as (server, part):
            words = part.reply(asked())
            assert await anext(words) == TextDelta("I could go on and on")
            await words.aclose()
            await asyncio.wait_for(server.broken.wait(), 2)
            # Cancelled while it waits for the next word.
            server.broken.clear()
            words = part.reply(asked())
            await anext(words)
            waiting = asyncio.ensure_future(anext(words))
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.wait_for(server.broken.wait(), 2)

    asyncio.run(scene())


def test_the_model_is_the_first_that_is_listed_and_no_embedding() -> None:
    assert sent(asked())["model"] == "tiny"


def test_how_much_fits_is_the_servers_word_unless_the_operator_says() -> None:
    async def lists(request: Received, out: Out) -> None:
        await out.whole(200, "application/json", b'{"data": [{"id": "tiny", "max_model_len": 8192}]}')

    async def scene(**options: Any) -> int:
        async with upstream(lists) as server:
            part = OpenAIChat({"base_url": server.url, **options})
            assert part.context_tokens in (128_000, 4096)
            await part.start()
            await part.close()
            return part.context_tokens

    assert asyncio.run(scene()) == 8192
    assert asyncio.run(scene(context_tokens=4096)) == 4096


def test_a_server_without_any_model_says_so_itself() -> None:
    async def answer(request: Received, out: Out) -> None:
        if request.method == "GET":
            await out.whole(200, "application/json", b'{"data": []}')
        else:
            await out.whole(400, "application/json", b'{"error": "model is required"}')

    async def scene() -> str:
        async with upstream(answer) as server, in_use(OpenAIChat({"base_url": server.url})) as part:
            with pytest.raises(EngineError) as caught:
                await anext(part.reply(asked()))
            return caught.value.message

    assert "model is required" in asyncio.run(scene())
