"""Items → messages: whatever a conversation holds, every server must be able to read it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.chat_messages import INAUDIBLE, NO_OUTPUT_YET, messages
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputImagePart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
    OutputTextPart,
)


def user(*texts: str) -> Message:
    return Message(role="user", content=tuple(InputTextPart(text) for text in texts))


def heard(transcript: str | None) -> Message:
    return Message(role="user", content=(InputAudioPart(transcript=transcript),))


def said(text: str) -> Message:
    return Message(role="assistant", content=(OutputAudioPart(text),))


def call(call_id: str, arguments: str = "{}") -> FunctionCall:
    return FunctionCall(call_id=call_id, name="get_time", arguments=arguments)


def output(call_id: str, text: str = "noon") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text)


def roles(*items: Item) -> list[str]:
    return [message["role"] for message in messages("", items)]


def test_who_said_what() -> None:
    items = (
        Message(role="system", content=(InputTextPart("Be kind."),)),
        heard("What time is it?"),
        said("Noon."),
        Message(role="assistant", content=(OutputTextPart("12:00"),)),
        user("Thanks."),
    )
    assert messages("Be brief.", items) == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "Noon.\n12:00"},
        {"role": "user", "content": "Thanks."},
    ]


def test_what_was_not_understood_is_asked_again_and_not_guessed() -> None:
    for silence in (heard(None), heard(""), heard("  ")):
        assert messages("", (silence,)) == [{"role": "user", "content": INAUDIBLE}]


def test_an_answer_that_nobody_heard_is_left_out() -> None:
    assert roles(user("Hello."), said(""), user("Stop.")) == ["user"]
    assert messages("", (user("Hello."), said(""), user("Stop.")))[0]["content"] == "Hello.\nStop."


def test_calls_and_their_outputs_stand_together() -> None:
    items = (user("When?"), said("Let me see."), call("a"), call("b"), output("b", "one"), output("a", "two"), user("Well?"))
    told = messages("", items)
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "tool", "user"]
    assert told[1]["content"] == "Let me see."
    assert [one["id"] for one in told[1]["tool_calls"]] == ["a", "b"]
    assert [(one["tool_call_id"], one["content"]) for one in told[2:4]] == [("a", "two"), ("b", "one")]


def test_a_call_that_nobody_answered_yet() -> None:
    assert messages("", (call("a"),))[1] == {"role": "tool", "tool_call_id": "a", "content": NO_OUTPUT_YET}


def test_the_conversation_goes_on_while_a_call_is_out() -> None:
    told = messages("", (user("When?"), call("a"), user("And tell me a joke.")))
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "user"]
    assert told[2]["content"] == NO_OUTPUT_YET


def test_an_output_that_came_late_is_the_news() -> None:
    """Outputs in any order, each where it came; what came in time stays where it was."""
    calls = (user("When, where and how?"), said("One moment."), call("a"), call("b"), call("c"), output("b", "here"))
    told = messages("", (*calls, user("A joke?"), said("Knock, knock."), output("c", "so")))
    assert [message["role"] for message in told] == [
        "user", "assistant", "tool", "tool", "user", "assistant", "tool",
    ]  # fmt: skip
    assert [message["content"] for message in told[2:4]] == [NO_OUTPUT_YET, "here"]
    assert told[5]["content"] == "Knock, knock."
    assert told[6] == {"role": "tool", "tool_call_id": "c", "content": "so"}
    later = messages("", (*calls, user("A joke?"), said("Knock."), output("c", "so"), said("So."), output("a", "noon")))
    assert [message["role"] for message in later][-4:] == ["assistant", "tool", "assistant", "tool"]
    assert later[-1] == {"role": "tool", "tool_call_id": "a", "content": "noon"}
    assert [message.get("tool_call_id") for message in later if message["role"] == "tool"] == ["b", "c", "a"]


def test_an_answer_that_nobody_heard_makes_no_output_late() -> None:
    told = messages("", (user("When?"), call("a"), said(""), output("a")))
    assert [message["role"] for message in told] == ["user", "assistant", "tool"]


def test_an_output_without_its_call_is_not_lost() -> None:
    assert messages("", (output("gone"),)) == [{"role": "system", "content": "A function returned: noon"}]


def test_arguments_that_broke_off() -> None:
    assert messages("", (call("a", '{"city": "Par'),)) == []
    answered = messages("", (call("a", '{"city": "Par'), output("a")))
    assert answered[0]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert messages("", (call("a", ""),))[0]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_pictures_of_one_turn_stay_in_it() -> None:
    picture = Message(role="user", content=(InputImagePart("data:image/png;base64,AA=="),))
    [message] = messages("", (user("Look."), picture))
    assert [part["type"] for part in message["content"]] == ["text", "image_url"]


words = st.text(max_size=5)
ids = st.sampled_from("abc")
items = st.lists(
    st.one_of(
        st.builds(user, words),
        st.builds(heard, st.none() | words),
        st.builds(said, words),
        st.builds(call, ids, st.sampled_from(["{}", "", "{", "[]", '{"x": 1}'])),
        st.builds(output, ids, words),
    ),
    max_size=12,
)


@given(items)
def test_every_conversation_keeps_the_rules_of_chat_completions(conversation: list[Item]) -> None:
    open_calls: list[str] = []
    before: dict[str, Any] = {"role": ""}
    for message in messages("", conversation):
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
        else:
            assert not open_calls
            assert message["role"] != before["role"] or message["role"] == "system" or "tool_calls" in before
            open_calls = [one["id"] for one in message.get("tool_calls", ())]
            assert all(isinstance(json.loads(one["function"]["arguments"]), dict) for one in message.get("tool_calls", ()))
            assert message["content"] or open_calls
        before = message
    assert not open_calls
