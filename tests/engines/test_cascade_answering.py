"""A cascade answers: the model's words are spoken clause by clause while it writes, and its calls keep their place."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.engines.cascade_scene import Scene, play
from tests.engines.fakes import CHARACTER_SAMPLES
from tests.engines.probe import Answer, settle, user_text
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    GenerationFailed,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
    StopGenerating,
)
from vivavoce.engines.parts import ChatDone, ChatEvent, Speech, TextDelta, ToolCallArguments, ToolCallStarted, Utterance
from vivavoce.engines.tone import Tone
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import Usage


def test_speech_comes_clause_by_clause_with_marks_that_count_from_the_items_beginning() -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta(" Well then, I "), TextDelta("will. By"), TextDelta("e now. \n"), ChatDone())
        answer = await s.answer(user_text("hi"))
        assert [u.text for u in s.synthesizer.utterances] == ["Well then,", "I will.", "Bye now."]
        assert answer.transcript == "Well then, I will. Bye now."
        characters = [mark.characters for mark in answer.marks]
        assert characters == [4, 10, 10, 12, 18, 18, 22, 27, 27]
        assert answer.marks[0].samples == 5 * CHARACTER_SAMPLES
        assert answer.marks[-1] == Mark(27, len(answer.pcm) // 2)

    play(scene)


def test_a_clauses_words_come_with_its_sound_and_not_before() -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta("First one. Second one."), ChatDone())
        events = (await s.answer(user_text("hi"))).events
        second = next(n for n, event in enumerate(events) if getattr(event, "text", "") == " Second one.")
        assert sum(isinstance(event, OutputAudio) for event in events[:second]) == 2
        assert isinstance(events[second + 1], OutputAudio)

    play(scene)


def test_the_voice_begins_while_the_model_still_writes() -> None:
    async def scene(s: Scene) -> None:
        more = asyncio.Event()

        async def reply(request: Generate) -> AsyncIterator[ChatEvent]:
            yield TextDelta("Just a moment, ")
            yield TextDelta("I think.")
            await more.wait()
            yield TextDelta(" Yes.")

        s.chat_model.reply = reply
        s.submit(Generate(response_id="r"))
        await s.probe.until(lambda event: isinstance(event, OutputAudio))
        more.set()
        await s.done("r")
        assert [u.text for u in s.synthesizer.utterances] == ["Just a moment,", "I think.", "Yes."]

    play(scene)


def test_a_text_response_is_written_as_it_comes_and_nothing_is_spoken() -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta("It is "), TextDelta("<whisper>late</whisper>, "), TextDelta("my friend."), ChatDone())
        answer = await s.answer(user_text("hi"), modalities=("text",))
        assert answer.text == "It is late, my friend."
        assert sum(isinstance(event, OutputText) for event in answer.events) > 2
        assert not s.synthesizer.utterances

    play(scene)


def test_voice_speed_and_tone_reach_the_synthesizer() -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta("Come in. <whisper>Come closer.</whisper> <laugh> Fine!"), ChatDone())
        answer = await s.answer(user_text("hi"), voice="echo", speed=1.5)
        assert answer.transcript == "Come in. Come closer. Fine!"
        said = list(s.synthesizer.utterances)
        assert [u.text for u in said] == ["Come in.", "Come closer.", "Fine!"]
        assert [u.tone.whisper for u in said] == [False, True, False]
        assert [u.tone.laugh for u in said] == [False, False, True]
        assert {(u.voice, u.speed) for u in said} == {("echo", 1.5)}

    play(scene)


def test_a_laugh_that_no_words_follow_is_laughed_all_the_same() -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta("Good one. <laugh>"))
        answer = await s.answer(user_text("hi"))
        assert [(u.text, u.tone.laugh) for u in s.synthesizer.utterances] == [("Good one.", False), ("", True)]
        assert answer.transcript == "Good one."
        assert answer.marks[-1] == Mark(9, len(answer.pcm) // 2)

    play(scene)


def test_instructions_set_the_tone_of_everything() -> None:
    async def scene(s: Scene) -> None:
        await s.answer(user_text("hi"), instructions="Always whisper.")
        assert s.synthesizer.utterances[-1].tone.whisper
        assert s.synthesizer.utterances[-1].tone != Tone()

    play(scene)


def test_calls_keep_their_place_and_words_after_them_count_from_zero() -> None:
    async def scene(s: Scene) -> None:
        s.replies(
            TextDelta("Let me see"),
            ToolCallStarted("call_1", "look"),
            ToolCallArguments("call_1", '{"a":'),
            ToolCallStarted("call_2", "listen"),
            ToolCallArguments("call_1", "1}"),
            TextDelta(" Done."),
            ChatDone(),
        )
        events = (await s.answer(user_text("hi"))).events
        kinds = [type(event).__name__ for event in events if not isinstance(event, OutputAudio | OutputTranscript)]
        assert kinds == ["FunctionCallStarted", "FunctionCallArguments"] * 2 + ["GenerationDone"]
        first_call = events.index(FunctionCallStarted("r", "call_1", "look"))
        last_call = events.index(FunctionCallArguments("r", "call_1", "1}"))
        assert Answer(events[:first_call]).transcript == "Let me see"
        after = Answer(events[last_call:])
        assert after.transcript == "Done."
        assert after.marks[-1] == Mark(5, len(after.pcm) // 2)

    play(scene)


def test_the_reason_is_the_models_and_the_count_is_left_to_the_core() -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta("Hello"), ChatDone("content_filter", Usage(total_tokens=12)))
        for modality in ("audio", "text"):
            assert (await s.answer(user_text("hi"), modalities=(modality,))).end == GenerationDone(
                "r", "content_filter", None
            )

    play(scene)


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_what_was_said_before_the_model_fell_is_said(modality: Any) -> None:
    async def scene(s: Scene) -> None:
        s.replies(TextDelta("So far, so good. And "), EngineError("lost", "It fell."))
        answer = await s.answer(user_text("hi"), modalities=(modality,))
        assert (answer.transcript + answer.text).startswith("So far, so good.")
        assert answer.end == GenerationFailed("r", "lost", "It fell.")

    play(scene)


def test_a_voice_that_breaks_fails_the_response() -> None:
    async def scene(s: Scene) -> None:
        before = asyncio.all_tasks()

        async def speak(utterance: Utterance) -> AsyncIterator[Speech]:
            yield Speech(b"\0\0" * 100)
            raise EngineError("hoarse", "No voice.")

        s.synthesizer.speak = speak
        answer = await s.answer(user_text("WAIT for it. And more."))
        assert answer.end == GenerationFailed("r", "hoarse", "No voice.")
        await settle(before)
        assert s.chat_model.open == 0, "the model is not left writing"

    play(scene)


@pytest.mark.parametrize("how", ["stop", "close"])
def test_stopping_closes_the_model_and_the_voice(how: str) -> None:
    async def scene(s: Scene) -> None:
        before = asyncio.all_tasks()
        s.submit(Generate(response_id="r", items=(user_text("WAIT for me, please. " * 10),)))
        await s.probe.until(lambda event: isinstance(event, OutputAudio))
        assert (s.chat_model.open, s.synthesizer.open) == (1, 1)
        s.submit(StopGenerating("r")) if how == "stop" else s.probe.session.close()
        await settle(before)
        assert (s.chat_model.open, s.synthesizer.open) == (0, 0)

    play(scene)


def test_a_model_that_writes_fast_is_held_back_by_the_voice() -> None:
    async def scene(s: Scene) -> None:
        written = 0

        async def reply(request: Generate) -> AsyncIterator[ChatEvent]:
            nonlocal written
            for _ in range(1000):
                written += 1
                yield TextDelta("Another sentence. ")

        async def speak(utterance: Utterance) -> AsyncIterator[Speech]:
            await asyncio.Event().wait()
            yield Speech(b"")

        s.chat_model.reply = reply
        s.synthesizer.speak = speak
        s.submit(Generate(response_id="r"))
        await asyncio.sleep(0.02)
        assert 30 < written < 40
        s.probe.session.close()

    play(scene)
