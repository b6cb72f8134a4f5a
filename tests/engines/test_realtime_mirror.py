"""What is said to a server that remembers, so that it remembers what our snapshot says."""

import msgspec
import pytest

from vivavoce.engines.realtime_mirror import Create, Delete, Entry, Mirror, Truncate, their_id
from vivavoce.protocol.objects import (
    PCMU,
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
    OutputTextPart,
)

SECOND = bytes(48_000)


def user(item_id: str, text: str = "hello") -> Message:
    return Message(id=item_id, role="user", status="completed", content=(InputTextPart(text),))


def heard(item_id: str, audio: bytes = SECOND, transcript: str | None = None) -> Message:
    return Message(id=item_id, role="user", content=(InputAudioPart(audio=audio, transcript=transcript),))


def said(item_id: str, words: str, audio: bytes = SECOND) -> Message:
    return Message(id=item_id, role="assistant", content=(OutputAudioPart(transcript=words, audio=audio),))


def answered(mirror: Mirror, theirs: str, words: str, samples: int = 24_000, *, joins: bool = False) -> None:
    mirror.answer(theirs, joins=joins)
    mirror.grew(theirs, samples, words, 0)


def test_a_conversation_that_goes_on_is_told_only_what_is_new() -> None:
    mirror = Mirror()
    one, two = user("item_1"), user("item_2", "and then?")
    assert mirror.steps([one]) == [Create(one, "item_1", None)]
    answered(mirror, "theirs_1", "You said: hello.")
    reply = said("item_a", "You said: hello.")
    assert mirror.steps([one, reply, two]) == [Create(two, "item_2", None)]
    assert mirror.steps([one, reply, two]) == []


def test_speech_that_it_heard_is_not_sent_again() -> None:
    mirror = Mirror()
    entry = Entry(ours="item_1", heard_bytes=len(SECOND), is_coming=True)
    mirror.place(entry)
    assert mirror.steps([heard("item_1")]) == []
    mirror.committed(entry, "theirs_1")
    assert mirror.steps([heard("item_1", transcript="Hello.")]) == []
    assert mirror.steps([]) == [Delete("theirs_1")]


def test_speech_of_another_length_is_another() -> None:
    mirror = Mirror()
    mirror.committed(Entry(ours="item_1", heard_bytes=7), "theirs_1")
    item = heard("item_1")
    assert mirror.steps([item]) == [Delete("theirs_1"), Create(item, "item_1", None)]


def test_what_is_committed_and_not_wanted_has_to_be_waited_for() -> None:
    mirror = Mirror()
    mirror.place(Entry(ours="item_1", heard_bytes=7, is_coming=True))
    assert mirror.waits_for([user("item_2")])
    assert not mirror.waits_for([heard("item_1")])


def test_an_answer_is_cut_to_what_was_heard() -> None:
    mirror = Mirror()
    mirror.steps([user("item_1")])
    answered(mirror, "theirs_1", "You said hello to me", 24_000)
    assert mirror.steps([user("item_1"), said("item_a", "You said", SECOND[:24_000])]) == [Truncate("theirs_1", 0, 500)]
    assert mirror.steps([user("item_1"), said("item_a", "You said", SECOND[:24_000])]) == []
    assert mirror.steps([user("item_1"), said("item_a", "You", SECOND[:12_000])]) == [Truncate("theirs_1", 0, 250)]


def test_an_answer_that_nobody_heard_goes() -> None:
    mirror = Mirror()
    answered(mirror, "theirs_1", "You said hello", 24_000)
    assert mirror.steps([said("item_a", "", b"")]) == [Delete("theirs_1")]
    last = user("item_2")
    assert mirror.steps([said("item_a", "", b""), last]) == [Create(last, "item_2", None)]


def test_an_answer_in_two_messages_is_one_of_ours() -> None:
    mirror = Mirror()
    answered(mirror, "theirs_1", "Let me see. ")
    answered(mirror, "theirs_2", "It is sunny.", joins=True)
    assert mirror.steps([said("item_a", "Let me see. It is", SECOND + SECOND[:24_000])]) == [Truncate("theirs_2", 0, 500)]
    assert mirror.steps([said("item_a", "Let me", SECOND[:24_000])]) == [Truncate("theirs_1", 0, 500), Delete("theirs_2")]


def test_what_a_phone_heard_is_measured_in_the_same_samples() -> None:
    mirror = Mirror()
    answered(mirror, "theirs_1", "Hello.", 24_000)
    part = OutputAudioPart(transcript="Hello.", audio=bytes(8_000), format=PCMU)
    assert mirror.steps([Message(id="item_a", role="assistant", content=(part,))]) == []


@pytest.mark.parametrize(("samples", "end_ms"), [(12_000, 500), (12_011, 500), (12_013, 501), (23_999, 1_000)])
def test_the_nearest_millisecond(samples: int, end_ms: int) -> None:
    mirror = Mirror()
    answered(mirror, "theirs_1", "Hello.", 24_000)
    assert mirror.steps([said("item_a", "", SECOND[: samples * 2])]) == [Truncate("theirs_1", 0, end_ms)]


def test_calls_are_known_by_their_id() -> None:
    mirror = Mirror()
    mirror.answer("theirs_1", "call_1")
    call = FunctionCall(id="item_c", call_id="call_1", name="look", arguments="{}")
    output = FunctionCallOutput(id="item_o", call_id="call_1", output="sunny")
    assert mirror.steps([call, output]) == [Create(output, "item_o", None)]


def test_items_come_and_go_anywhere() -> None:
    mirror = Mirror()
    one, two, three, four = (user(f"item_{n}", f"words {n}") for n in (1, 2, 3, 4))
    mirror.steps([two, four])
    assert mirror.steps([one, two, three, four]) == [Create(one, "item_1", "root"), Create(three, "item_3", "item_2")]
    assert mirror.steps([one, four]) == [Delete("item_2"), Delete("item_3")]
    assert mirror.steps([four, one]) == [Delete("item_4"), Create(four, "item_4", "root")]


def test_an_id_that_means_something_else_now() -> None:
    mirror = Mirror()
    mirror.steps([user("item_1", "old")])
    new = user("item_1", "new")
    assert mirror.steps([new]) == [Delete("item_1"), Create(new, "item_1", None)]
    assert mirror.steps([msgspec.structs.replace(new, status="incomplete")]) == []


def test_speech_that_is_there_twice_stays_once() -> None:
    mirror = Mirror()
    item = heard("item_1")
    assert mirror.steps([item]) == [Create(item, "item_1", None)]
    mirror.committed(Entry(ours="item_1", heard_bytes=len(SECOND)), "theirs_1")
    assert mirror.steps([item]) == [Delete("theirs_1")]
    assert mirror.steps([item]) == []


def test_after_a_new_connection_everything_is_told_and_silent_answers_are_not() -> None:
    items: list[Item] = [heard("item_1"), said("item_a", "", b""), said("item_b", "Hello."), user("item_2")]
    steps = Mirror().steps(items)
    assert [step.theirs for step in steps if isinstance(step, Create)] == ["item_1", "item_b", "item_2"]
    assert {step.after for step in steps if isinstance(step, Create)} == {None}


def test_a_copy_in_words_is_no_answer_of_the_servers() -> None:
    mirror = Mirror()
    answered(mirror, "theirs_1", "Hello.")
    copy = Message(id="item_x", role="assistant", content=(OutputAudioPart(transcript="Hello."),))
    assert mirror.steps([copy]) == [Delete("theirs_1"), Create(copy, "item_x", None)]
    written = Mirror()
    written.answer("theirs_1")
    written.grew("theirs_1", 0, "Hello. ", 0)
    assert written.steps([Message(id="item_y", role="assistant", content=(OutputTextPart("Hello."),))]) == []


def test_names_that_a_server_takes() -> None:
    assert their_id("item_1") == "item_1"
    for name in ("x" * 33, "with space", "root", "ünique", ""):
        made = their_id(name)
        assert len(made) <= 32
        assert made == their_id(name) != their_id(name + "x")
