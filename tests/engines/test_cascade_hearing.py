"""A cascade hears: one recognition of each turn feeds the client and the model."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.engines.cascade_scene import Scene, play, user_audio
from tests.engines.fakes import speech
from tests.engines.probe import WEATHER, settle, user_text
from vivavoce.engine_api import (
    Generate,
    GenerationDone,
    GenerationFailed,
    Listen,
    StopListening,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.cascade import phrases_of
from vivavoce.engines.parts import Hints, Transcript
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import PCM, PCMU, FunctionTool, InputAudioPart, Message


def test_one_recognition_feeds_the_client_and_the_model() -> None:
    async def scene(s: Scene) -> None:
        for chunk in ("what is ", "the ", "time"):
            s.listen(chunk)
        s.submit(Listen("item_user", b"", PCM, final=True))
        done = await s.transcript(words="what is the time")
        answer = await s.answer(user_audio("what is the time"))
        assert done == TranscriptDone("item_user", "what is the time")
        assert s.heard_by_the_model() == ["what is the time"]
        assert answer.transcript == "You said: what is the time"
        assert list(s.transcriber.finished) == ["what is the time"]

    play(scene)


@pytest.mark.parametrize("first", ["transcribe", "generate"])
def test_they_share_it_in_either_order_also_when_nobody_listened(first: str) -> None:
    async def scene(s: Scene) -> None:
        transcribe = Transcribe(item_id="item_user", audio=speech("hello you"), format=PCM)
        generate = Generate(response_id="r", items=(user_audio("hello you"),))
        for command in [transcribe, generate] if first == "transcribe" else [generate, transcribe]:
            s.submit(command)
        await s.probe.until(lambda event: isinstance(event, GenerationDone))
        await s.probe.until(lambda event: isinstance(event, TranscriptDone))
        assert list(s.transcriber.finished) == ["hello you"]

    play(scene)


def test_words_that_are_certain_arrive_before_the_turn_is_understood() -> None:
    async def scene(s: Scene) -> None:
        s.transcriber.ready.clear()
        s.listen("one two three", final=True)
        s.submit(Transcribe(item_id="item_user", audio=speech("one two three"), format=PCM))
        await s.probe.until(lambda event: event == TranscriptDelta("item_user", "one two "))
        s.transcriber.ready.set()
        await s.probe.until(lambda event: isinstance(event, TranscriptDone))
        assert s.probe.events[1:] == [TranscriptDelta("item_user", "three"), TranscriptDone("item_user", "one two three")]

    play(scene)


def test_what_was_not_fed_yet_is_taken_from_the_item() -> None:
    async def scene(s: Scene) -> None:
        s.listen("hello ")
        await s.answer(user_audio("hello world"))
        assert s.heard_by_the_model() == ["hello world"]
        s.listen("world", final=True)  # too late: it was in the item
        assert (await s.transcript(words="hello world")) == TranscriptDone("item_user", "hello world")

    play(scene)


def test_history_is_recognised_once_and_remembered() -> None:
    async def scene(s: Scene) -> None:
        items = [user_audio(f"turn {n}", f"item_{n}") for n in range(3)]
        for n in range(3):
            await s.answer(*items[: n + 1])
        assert s.heard_by_the_model() == ["turn 0", "turn 1", "turn 2"]
        assert list(s.transcriber.finished) == ["turn 0", "turn 1", "turn 2"]

    play(scene)


def test_all_that_is_unknown_is_recognised_at_the_same_time() -> None:
    async def scene(s: Scene) -> None:
        s.transcriber.ready.clear()
        s.submit(Generate(response_id="r", items=tuple(user_audio(f"turn {n}", f"item_{n}") for n in range(3))))
        await asyncio.sleep(0.01)
        assert len(s.transcriber.hints) == 3
        s.transcriber.ready.set()
        await s.probe.until(lambda event: isinstance(event, GenerationDone))

    play(scene)


def test_an_id_that_is_used_again_for_other_audio_is_heard_again() -> None:
    async def scene(s: Scene) -> None:
        await s.answer(user_audio("hello", "input_0"))
        await s.answer(user_audio("world", "input_0"))
        assert s.heard_by_the_model() == ["world"]
        await s.answer(user_audio("world, I said", "input_0"))
        assert s.heard_by_the_model() == ["world, I said"]

    play(scene)


def test_a_transcript_that_the_item_has_is_taken_as_it_is() -> None:
    async def scene(s: Scene) -> None:
        part = InputAudioPart(speech("hello"), transcript="Hello!")
        await s.answer(Message(id="item_user", role="user", content=(part, InputAudioPart(speech("you")), part)))
        assert s.heard_by_the_model() == ["Hello!", "you", "Hello!"]
        assert list(s.transcriber.finished) == ["you"]

    play(scene)


def test_nothing_understood_is_an_empty_transcript_and_no_answer() -> None:
    async def scene(s: Scene) -> None:
        answer = await s.answer(user_audio(""))
        assert answer.events == [GenerationDone("r")]
        assert not s.chat_model.requests
        s.probe.events.clear()
        await s.transcript(words="")
        assert s.probe.events == [TranscriptDone("item_user", "")]

    play(scene)


def test_a_silence_that_is_to_be_broken_is_answered() -> None:
    async def scene(s: Scene) -> None:
        answer = await s.answer(user_audio(""), unprompted=True)
        assert answer.transcript
        assert s.heard_by_the_model() == [""]

    play(scene)


def test_a_cough_does_not_take_the_answer_from_what_was_said_before_it() -> None:
    async def scene(s: Scene) -> None:
        await s.answer(user_audio("hello", "item_1"), user_audio("", "item_2"))
        assert s.heard_by_the_model() == ["hello", ""]

    play(scene)


def test_a_turn_that_comes_to_nothing_is_cancelled() -> None:
    async def scene(s: Scene) -> None:
        before = asyncio.all_tasks()
        s.listen("hello")
        s.submit(StopListening("item_user"))
        assert s.transcriber.cancelled == 1
        s.transcriber.ready.clear()
        s.submit(Listen("item_2", speech("hello"), PCM, final=True))
        s.submit(Transcribe(item_id="item_2", audio=speech("hello"), format=PCM))
        await asyncio.sleep(0)
        s.submit(StopListening("item_2"))
        await settle(before)
        assert s.transcriber.cancelled == 2
        assert s.probe.events == []

    play(scene)


def test_a_response_whose_item_is_deleted_meanwhile_goes_on_without_its_words() -> None:
    async def scene(s: Scene) -> None:
        s.transcriber.ready.clear()
        s.submit(Generate(response_id="r", items=(user_text("hi"), user_audio("hello"))))
        await asyncio.sleep(0.01)
        s.submit(StopListening("item_user"))
        await s.done("r")
        assert s.heard_by_the_model() == [""]

    play(scene)


@pytest.mark.parametrize(("words", "code"), [("please FAIL", "deaf"), ("BUG", "transcription_failed")], ids=["error", "bug"])
def test_a_deaf_transcriber_fails_the_turn_that_it_failed(words: str, code: str) -> None:
    async def scene(s: Scene) -> None:
        failed = await s.transcript(words=words)
        assert isinstance(failed, TranscriptFailed)
        assert failed.code == code
        answer = await s.answer(user_audio(words))
        assert answer.events == [GenerationFailed("r", code, failed.message)]
        # Once the conversation has moved on, it is a turn that was not understood.
        await s.answer(user_audio(words), user_audio("hello", "item_2"))
        assert s.heard_by_the_model() == ["", "hello"]

    play(scene)


@pytest.mark.parametrize("where", ["recognize", "feed"])
def test_a_transcriber_that_raises_at_once_fails_no_worse(where: str) -> None:
    async def scene(s: Scene) -> None:
        class Broken:
            def feed(self, audio: bytes, format: object) -> None:
                raise EngineError("broken", "It broke.")

            def cancel(self) -> None:
                pass

        def recognize(hints: Hints, on_delta: object) -> Any:
            if where == "recognize":
                raise EngineError("broken", "It broke.")
            return Broken()

        s.transcriber.recognize = recognize
        s.listen("hello")
        s.listen("hello", final=True)
        assert await s.transcript() == TranscriptFailed("item_user", "broken", "It broke.")

    play(scene)


def test_a_transcriber_that_changes_its_mind_has_the_last_word_in_the_end() -> None:
    async def scene(s: Scene) -> None:
        class Fickle:
            def __init__(self, on_delta: Callable[[Transcript], None]) -> None:
                on_delta(Transcript("Hallo "))

            def feed(self, audio: bytes, format: object) -> None: ...
            def cancel(self) -> None: ...

            async def finish(self) -> Transcript:
                return Transcript("Hello there")

        s.transcriber.recognize = lambda hints, on_delta: Fickle(on_delta)
        assert await s.transcript() == TranscriptDone("item_user", "Hello there")
        await s.answer(user_audio("hello"))
        assert s.heard_by_the_model() == ["Hello there"]

    play(scene)


def test_the_transcriber_is_told_what_is_likely_to_be_said() -> None:
    async def scene(s: Scene) -> None:
        await s.answer(user_text("hi"), tools=(WEATHER,), instructions='Answer "yes" or "no".')
        await s.transcript(words="hello", language="fr", prompt="About boats.")
        s.submit(Listen("item_3", b"", PCM))
        assert s.transcriber.hints[-1] == Hints("fr", "About boats.", ("yes", "no", "get weather"))

    play(scene)


def test_phrases_come_from_names_enums_and_quotations() -> None:
    colours = {"type": "array", "items": {"enum": ["red", "green", 3]}, "default": ["red"]}
    parameters = {"type": "object", "properties": {"colours": colours, "unit": {"const": "metric"}}}
    tool = FunctionTool(name="set-light_colour", parameters=parameters)
    assert set(phrases_of([tool, FunctionTool(name="stop")], "Say “good bye”.")) == {
        "good bye",
        "set light colour",
        "red",
        "green",
        "metric",
        "stop",
    }


def test_g711_reaches_the_transcriber_as_it_came() -> None:
    async def scene(s: Scene) -> None:
        formats = []
        recognize = s.transcriber.recognize

        def noting(hints: Hints, on_delta: Callable[[Transcript], None]) -> Any:
            recognition = recognize(hints, on_delta)
            feed = recognition.feed
            recognition.feed = lambda audio, format: (formats.append(format), feed(audio, format))
            return recognition

        s.transcriber.recognize = noting
        await s.answer(Message(id="i", role="user", content=(InputAudioPart(speech("hello"), format=PCMU),)))
        assert formats == [PCMU]

    play(scene)
