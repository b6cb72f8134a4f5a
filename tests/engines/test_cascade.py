"""A transcriber, a chat model and a synthesizer as one engine. The parts are fakes: audio is text, a sample a character."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from tests.engines.fakes import CHARACTER_SAMPLES, FakeChatModel, FakeSynthesizer, FakeTranscriber, speech
from tests.engines.probe import WEATHER, Answer, Probe, settle, user_text, with_speech
from vivavoce.engine_api import (
    EngineEvent,
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    GenerationFailed,
    Listen,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
    StopGenerating,
    StopListening,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.cascade import Cascade, phrases_of
from vivavoce.engines.parts import (
    ChatDone,
    ChatEvent,
    Hints,
    Speech,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
    Transcript,
    Utterance,
)
from vivavoce.engines.tone import Tone
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import PCM, PCMU, FunctionTool, InputAudioPart, Item, Message, Usage


class Scene:
    """A cascade of fakes with one open session."""

    def __init__(self) -> None:
        self.transcriber = FakeTranscriber()
        self.chat_model = FakeChatModel()
        self.synthesizer = FakeSynthesizer()
        self.probe = Probe(Cascade.of(self.transcriber, self.chat_model, self.synthesizer))
        self.submit = self.probe.session.submit

    def replies(self, *events: ChatEvent | Exception) -> None:
        """From now on the chat model answers with these events."""

        async def reply(request: Generate) -> AsyncIterator[ChatEvent]:
            self.chat_model.requests.append(request)
            for event in events:
                await asyncio.sleep(0)
                if isinstance(event, Exception):
                    raise event
                yield event

        self.chat_model.reply = reply  # type: ignore[method-assign]

    async def answer(self, *items: Item, **fields: Any) -> Answer:
        self.probe.events.clear()
        return await self.probe.answer(Generate(response_id="r", items=items, **fields))

    async def transcript(self, item_id: str = "item_user", words: str = "hello", **fields: Any) -> EngineEvent:
        self.submit(Transcribe(item_id=item_id, audio=speech(words), format=PCM, **fields))
        return await self.probe.until(lambda event: isinstance(event, TranscriptDone | TranscriptFailed))

    def heard_by_the_model(self) -> list[str | None]:
        """The transcripts of the user's audio in the last request."""
        items = [item for item in self.chat_model.requests[-1].items if isinstance(item, Message)]
        return [part.transcript for item in items for part in item.content if isinstance(part, InputAudioPart)]


def play(scene: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await scene(Scene())

    asyncio.run(run())


def user_audio(words: str, item_id: str = "item_user") -> Message:
    return with_speech(speech(words), item_id)


# --- hearing ---


def test_one_recognition_feeds_the_client_and_the_model() -> None:
    async def scene(s: Scene) -> None:
        for chunk in ("what is ", "the ", "time"):
            s.submit(Listen("item_user", speech(chunk), PCM))
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
        s.submit(Listen("item_user", speech("one two three"), PCM, final=True))
        s.submit(Transcribe(item_id="item_user", audio=speech("one two three"), format=PCM))
        await s.probe.until(lambda event: event == TranscriptDelta("item_user", "one two "))
        s.transcriber.ready.set()
        await s.probe.until(lambda event: isinstance(event, TranscriptDone))
        assert s.probe.events[1:] == [TranscriptDelta("item_user", "three"), TranscriptDone("item_user", "one two three")]

    play(scene)


def test_what_was_not_fed_yet_is_taken_from_the_item() -> None:
    async def scene(s: Scene) -> None:
        s.submit(Listen("item_user", speech("hello "), PCM))
        await s.answer(user_audio("hello world"))
        assert s.heard_by_the_model() == ["hello world"]
        s.submit(Listen("item_user", speech("world"), PCM, final=True))  # too late: it was in the item
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
        s.submit(Listen("item_user", speech("hello"), PCM))
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
        await s.probe.until(lambda event: event == GenerationDone("r"))
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

        s.transcriber.recognize = recognize  # type: ignore[method-assign]
        s.submit(Listen("item_user", speech("hello"), PCM))
        s.submit(Listen("item_user", speech("hello"), PCM, final=True))
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

        s.transcriber.recognize = lambda hints, on_delta: Fickle(on_delta)  # type: ignore[method-assign,assignment]
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


# --- answering ---


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

        s.chat_model.reply = reply  # type: ignore[method-assign]
        s.submit(Generate(response_id="r"))
        await s.probe.until(lambda event: isinstance(event, OutputAudio))
        more.set()
        await s.probe.until(lambda event: event == GenerationDone("r"))
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

        s.synthesizer.speak = speak  # type: ignore[method-assign]
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

        s.chat_model.reply = reply  # type: ignore[method-assign]
        s.synthesizer.speak = speak  # type: ignore[method-assign]
        s.submit(Generate(response_id="r"))
        await asyncio.sleep(0.02)
        assert 30 < written < 40
        s.probe.session.close()

    play(scene)


# --- the engine ---


def test_capabilities_come_from_the_parts() -> None:
    cascade = Cascade.of(FakeTranscriber(), FakeChatModel(), FakeSynthesizer())
    assert cascade.capabilities.voices == ("alloy", "echo")
    assert cascade.capabilities.context_tokens == 1000
    assert cascade.capabilities.listens
    assert cascade.capabilities.transcribes


def test_g711_reaches_the_transcriber_as_it_came() -> None:
    async def scene(s: Scene) -> None:
        formats = []
        recognize = s.transcriber.recognize

        def noting(hints: Hints, on_delta: Callable[[Transcript], None]) -> Any:
            recognition = recognize(hints, on_delta)
            feed = recognition.feed
            recognition.feed = lambda audio, format: (formats.append(format), feed(audio, format))  # type: ignore[method-assign]
            return recognition

        s.transcriber.recognize = noting  # type: ignore[method-assign]
        await s.answer(Message(id="i", role="user", content=(InputAudioPart(speech("hello"), format=PCMU),)))
        assert formats == [PCMU]

    play(scene)


def test_a_part_that_cannot_start_is_named_and_the_others_are_closed() -> None:
    closed = []

    class NoVoice(FakeSynthesizer):
        async def start(self) -> None:
            raise EngineError("no_voice", "There is no voice.")

    class Model(FakeChatModel):
        async def close(self) -> None:
            closed.append("model")

    with pytest.raises(EngineError, match=r"NoVoice: There is no voice\.") as raised:
        asyncio.run(Cascade.of(FakeTranscriber(), Model(), NoVoice()).start())
    assert raised.value.code == "no_voice"
    assert closed == ["model"]


def test_parts_are_found_by_name_or_path_and_get_their_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("my_parts")
    for part in (FakeTranscriber, FakeChatModel, FakeSynthesizer):

        class WithOptions(part):  # type: ignore[misc,valid-type]
            def __init__(self, options: dict[str, Any]) -> None:
                super().__init__()
                self.options = options

        setattr(module, part.__name__, WithOptions)
    monkeypatch.setitem(sys.modules, "my_parts", module)
    cascade = Cascade(
        {
            "transcriber": "my_parts:FakeTranscriber",
            "chat_model": "my_parts:FakeChatModel",
            "synthesizer": "my_parts:FakeSynthesizer",
            "my_parts:FakeChatModel": {"mood": "fine"},
        }
    )
    assert cascade._chat_model.options == {"mood": "fine"}  # type: ignore[attr-defined]
    assert cascade._synthesizer.options == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"transcriber": "ears"}, "No transcriber named 'ears'. There are: "),
        ({"speaker": "espeak"}, "engines.cascade: unknown option 'speaker'. Known: transcriber, chat_model, synthesizer, "),
        ({"chat_model": 3}, "engines.cascade.chat_model: write a name or module:Class."),
        ({"chat_model": {}}, "engines.cascade.chat_model: write a name or module:Class."),
    ],
)
def test_options_that_are_wrong_are_named(options: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Cascade(options)
    assert str(raised.value).startswith(line)
