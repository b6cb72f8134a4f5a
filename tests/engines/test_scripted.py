"""The scripted engine: its format, its turns, its time, and the conversation in its reference page."""

import asyncio
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.engines.fake_clock import run_on_fake_clock
from tests.engines.probe import Answer, Probe, user_text, with_speech
from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import (
    EngineEvent,
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
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.engines.scripted import Scripted
from vivavoce.engines.sine_voice import CHARACTER_MS, GAP_MS, VOICES, say
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import PCM, FunctionCallOutput, Item, Message, OutputAudioPart, OutputTextPart

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "scripted.md"


def scripted(*turns: dict[str, Any], **more: Any) -> Scripted:
    return Scripted({"script": {"turns": list(turns), **more}})


class Talk:
    """One session. Each `say` is one turn; `at` are the seconds on the fake clock at which its events came."""

    def __init__(self, engine: Scripted) -> None:
        self.probe = Probe(engine)
        self.items: list[Item] = []
        self.turns = 0

    async def say(self, words: str | Item, **fields: Any) -> Answer:
        self.items.append(user_text(words) if isinstance(words, str) else words)
        self.turns += 1
        request = Generate(response_id=f"r{self.turns}", items=tuple(self.items), **fields)
        return await self.probe.answer(request)

    async def written(self, words: str | Item) -> str:
        return (await self.say(words, modalities=("text",))).text


def timed(engine: Scripted, **fields: Any) -> list[tuple[float, EngineEvent]]:
    """The events of one turn and when they came, in seconds."""

    async def scene() -> list[tuple[float, EngineEvent]]:
        await engine.start()
        loop = asyncio.get_running_loop()
        events: list[tuple[float, EngineEvent]] = []
        over = asyncio.Event()

        def emit(event: EngineEvent) -> None:
            events.append((round(loop.time(), 3), event))
            if isinstance(event, GenerationDone | GenerationFailed):
                over.set()

        engine.open(emit).submit(Generate(response_id="r", items=(user_text("hi"),), **fields))
        await over.wait()
        return events

    return run_on_fake_clock(scene())


def answer_of(engine: Scripted, **fields: Any) -> Answer:
    return Answer([event for _, event in timed(engine, **fields)])


# --- which turn ---


def test_the_conversation_in_the_reference_page() -> None:
    yaml_text, conversation = re.findall(r"```(?:yaml|text)\n(.*?)```", REFERENCE.read_text(), re.DOTALL)

    async def scene() -> str:
        talk = Talk(Scripted({"script": yaml.safe_load(yaml_text)}))
        lines = []
        for line in conversation.splitlines():
            who, words = line[:11].strip(), line[11:]
            if who in ("user", "output"):
                lines.append(line)
                item = FunctionCallOutput(call_id="call_1", output=words) if who == "output" else words
                lines += told(await talk.say(item, modalities=("text",)))
        return "".join(line + "\n" for line in lines)

    assert run_on_fake_clock(scene()) == conversation


def told(answer: Answer) -> list[str]:
    """An answer as the reference page shows it."""
    lines = [f"assistant  {answer.text}"] if answer.text else []
    arguments = "".join(event.delta for event in answer.events if isinstance(event, FunctionCallArguments))
    lines += [f"call       {event.name} {arguments}" for event in answer.events if isinstance(event, FunctionCallStarted)]
    if isinstance(answer.end, GenerationFailed):
        lines.append(f"failed     {answer.end.code}: {answer.end.message}")
    return lines


def test_a_file_is_read_and_its_recordings_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text("turns:\n  - {say: Ding dong., audio: bell.wav}\n")
    with wave.open(str(tmp_path / "bell.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(np.full(2 * 4_000, 500, "<i2").tobytes())
    answer = answer_of(Scripted({"script": str(tmp_path / "script.yaml")}))
    assert answer.transcript == "Ding dong."
    assert answer.marks == [Mark(10, SAMPLE_HZ // 2)]
    assert len(answer.pcm) == SAMPLE_HZ  # half a second, two bytes a sample
    assert abs(np.frombuffer(answer.pcm, "<i2")[2000:-2000].astype(int) - 500).max() <= 1


def test_without_a_script_it_answers_every_turn_at_once() -> None:
    async def scene() -> list[str]:
        talk = Talk(Scripted())
        return [await talk.written("hi") for _ in range(4)]

    answers = run_on_fake_clock(scene())
    assert answers[0].startswith("Hello. I am the scripted engine")
    assert len(set(answers)) == 3
    assert answers[3] == answers[0]
    assert timed(Scripted())[-1][0] == 0


def test_plain_turns_come_in_order_and_turns_for_certain_words_whenever_these_are_said() -> None:
    engine = scripted({"say": "one"}, {"when": "stop|halt", "say": "stopping"}, {"say": "two"})

    async def scene() -> list[str]:
        talk = Talk(engine)
        return [await talk.written(words) for words in ("a", "Stop it", "b", "HALT", "c")]

    assert run_on_fake_clock(scene()) == ["one", "stopping", "two", "stopping", "one"]


def test_each_session_begins_at_the_beginning() -> None:
    async def scene() -> list[str]:
        engine = scripted({"say": "one"}, {"say": "two"})
        first, second = Talk(engine), Talk(engine)
        return [await first.written("a"), await second.written("a"), await first.written("b")]

    assert run_on_fake_clock(scene()) == ["one", "one", "two"]


def test_a_functions_output_is_not_taken_for_the_users_words() -> None:
    engine = scripted({"when": "sun", "say": "user"}, {"when_output": "sun", "say": "function"}, {"say": "plain"})

    async def scene() -> list[str]:
        talk = Talk(engine)
        output = FunctionCallOutput(call_id="c", output='{"sky": "sunny"}')
        return [await talk.written(said) for said in ("sunny", output, FunctionCallOutput(call_id="c", output="rain"))]

    assert run_on_fake_clock(scene()) == ["user", "function", "plain"]


def test_a_script_that_has_no_turn_says_so() -> None:
    end = answer_of(scripted({"when": "never", "say": "x"})).end
    assert end == GenerationFailed("r", "script_has_no_turn", "The script has no turn for 'hi'.")


def test_an_answer_can_tell_what_the_assistant_said_so_far() -> None:
    async def scene() -> Answer:
        talk = Talk(scripted({"say": "You heard: {so_far}"}))
        cut = Message(role="assistant", content=(OutputAudioPart("Once upon"),))
        talk.items = [cut, user_text("Stop."), Message(role="assistant", content=(OutputTextPart("Very well."),))]
        return await talk.say("What did I hear?")

    assert run_on_fake_clock(scene()).transcript == "You heard: Once upon Very well."


# --- what it does ---


def test_words_are_tones_with_exact_marks() -> None:
    answer = answer_of(scripted({"say": "Hi you all "}))
    two, three = 2 * CHARACTER_MS + GAP_MS, 3 * CHARACTER_MS + GAP_MS
    samples = [24 * ms for ms in (two, two + three, two + 2 * three)]
    assert answer.transcript == "Hi you all "
    assert answer.marks == [Mark(2, samples[0]), Mark(6, samples[1]), Mark(10, samples[2]), Mark(11, samples[2])]
    assert len(answer.pcm) == 2 * samples[2]
    tone = np.frombuffer(answer.pcm, "<i2")
    assert not tone[samples[0] - 24 * GAP_MS : samples[0]].any(), "silence between words"
    assert tone[: samples[0] - 24 * GAP_MS].any()


def test_voices_differ_and_speed_shortens() -> None:
    spoken = {voice: answer_of(scripted({"say": "Hello"}), voice=voice).pcm for voice in (*VOICES, "nobody")}
    assert len({*spoken.values()}) == len(VOICES)
    assert spoken["nobody"] == spoken["alloy"]
    assert len(answer_of(scripted({"say": "Hello"}), speed=1.5).pcm) == len(spoken["alloy"]) // 1.5


def test_an_endless_word_does_not_sound_endlessly() -> None:
    assert len(next(say("x" * 100_000)).pcm) < 2 * SAMPLE_HZ * 2


def test_time() -> None:
    events = timed(scripted({"after_ms": 300, "say": "one two", "first_audio_ms": 200, "pace": 2}))
    kinds = [(at, type(event)) for at, event in events]
    two_words = 2 * (3 * CHARACTER_MS + GAP_MS) / 1000
    assert kinds == [
        (0.3, OutputTranscript),
        (0.5, OutputAudio),
        (0.5, OutputTranscript),
        (0.5 + two_words / 4, OutputTranscript),
        (0.5 + two_words / 4, OutputAudio),
        (0.5 + two_words / 4, OutputTranscript),
        (0.5 + two_words / 2, GenerationDone),
    ]


def test_a_step_that_is_spoken_after_a_wait_goes_on_in_the_same_item() -> None:
    answer = answer_of(scripted({"do": [{"say": "One. "}, {"after_ms": 100, "say": "Two."}]}))
    assert answer.transcript == "One. Two."
    assert answer.marks[-1] == Mark(9, len(answer.pcm) // 2)


def test_calls_stream_and_differ() -> None:
    engine = scripted(
        {"do": [{"say": "Now.", "call": "a", "arguments": {"städte": ["Köln"]}}, {"call": "b", "arguments": "{oops"}]}
    )
    events = [event for _, event in timed(engine)]
    calls = [event for event in events if isinstance(event, FunctionCallStarted)]
    assert [call.name for call in calls] == ["a", "b"]
    assert len({call.call_id for call in calls}) == 2
    arguments = {
        call.name: [event.delta for event in events if getattr(event, "call_id", "") == call.call_id and event is not call]
        for call in calls
    }
    assert "".join(arguments["a"]) == '{"städte": ["Köln"]}'
    assert len(arguments["a"]) == 2
    assert "".join(arguments["b"]) == "{oops"


def test_after_a_call_marks_count_from_zero() -> None:
    events = [event for _, event in timed(scripted({"do": [{"say": "Now", "call": "a"}, {"say": "Done"}]}))]
    after = Answer(events[next(n for n, event in enumerate(events) if isinstance(event, FunctionCallStarted)) :])
    assert after.marks == [Mark(4, len(after.pcm) // 2)]


@pytest.mark.parametrize(
    ("step", "end"),
    [
        ({"fail": "x"}, GenerationFailed("r", "x", "The script says so.")),
        ({"fail": "x", "message": "Lost."}, GenerationFailed("r", "x", "Lost.")),
        ({"stop": "content_filter"}, GenerationDone("r", "content_filter")),
        ({"stop": "max_output_tokens"}, GenerationDone("r", "max_output_tokens")),
    ],
)
def test_endings(step: dict[str, Any], end: EngineEvent) -> None:
    answer = answer_of(scripted({"do": [{"say": "Well,", **step}, {"say": "never"}]}), modalities=("text",))
    assert answer.events == [OutputText("r", "Well,"), end]


def test_it_hangs_until_it_is_stopped() -> None:
    async def scene() -> None:
        talk = Talk(scripted({"say": "Wait", "hang": True}, {"say": "On"}))
        talk.probe.session.submit(Generate(response_id="r0", modalities=("text",)))
        await asyncio.sleep(3600)
        assert talk.probe.events == [OutputText("r0", "Wait")]
        talk.probe.session.submit(StopGenerating("r0"))
        assert await talk.written("hi") == "On"

    run_on_fake_clock(scene())


# --- what it hears ---


def test_transcripts_come_in_order_and_stay_with_their_item() -> None:
    engine = scripted(
        {"when": "second", "say": "heard"}, {"say": "{said}"}, transcripts=["The first.", {"text": "The second."}]
    )

    async def scene() -> None:
        talk = Talk(engine)
        assert await talk.written(with_speech(b"", "item_a")) == "The first."
        talk.probe.session.submit(Transcribe(item_id="item_b", audio=b"", format=PCM))
        await talk.probe.until(lambda event: event == TranscriptDone("item_b", "The second."))
        assert await talk.written(with_speech(b"", "item_b")) == "heard"
        talk.probe.session.submit(Transcribe(item_id="item_a", audio=b"", format=PCM))
        await talk.probe.until(lambda event: event == TranscriptDone("item_a", "The first."))
        deltas = [event.text for event in talk.probe.events if isinstance(event, TranscriptDelta)]
        assert deltas == ["The ", "second.", "The ", "first."]

    run_on_fake_clock(scene())


def test_transcription_takes_its_time_and_may_fail() -> None:
    engine = scripted({"say": "[{said}]"}, transcripts=[{"after_ms": 700, "fail": "deaf", "message": "No."}])

    async def scene() -> None:
        talk = Talk(engine)
        talk.probe.session.submit(Transcribe(item_id="i", audio=b"", format=PCM))
        await talk.probe.until(lambda event: event == TranscriptFailed("i", "deaf", "No."))
        assert asyncio.get_running_loop().time() == pytest.approx(0.7)
        assert await talk.written(with_speech(b"", "i")) == "[]"

    run_on_fake_clock(scene())


def test_without_transcripts_it_tells_the_length() -> None:
    async def scene() -> None:
        assert await Talk(scripted({"say": "{said}"})).written(with_speech(bytes(57_600))) == "(1.2 seconds of audio)"

    run_on_fake_clock(scene())


# --- mistakes in the script ---


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ([], "engines.scripted.script: expected a string or a table, got a list."),
        ({"turn": []}, "script: unknown field `turn`"),
        ({"turns": {"say": "x"}}, "script: turns: expected a list."),
        ({"turns": ["hello"]}, "script: turns[0]: a turn is a table, such as {say: Hello.}."),
        ({"turns": [{"sing": "x"}]}, "script: turns[0].do[0]: unknown field `sing`."),
        ({"turns": [{"say": "x", "do": []}]}, "script: turns[0]: say belongs into a step of `do`."),
        ({"turns": [{"say": 5}]}, "script: turns[0].do[0].say: expected a string, got an integer."),
        ({"turns": [{"after_ms": -1}]}, "script: turns[0].do[0].after_ms: expected an integer >= 0."),
        ({"turns": [{"stop": "now"}]}, "script: turns[0].do[0].stop: invalid enum value 'now'."),
        ({"turns": [{"when": "(", "say": "x"}]}, "script: turns[0].when: not a regular expression: "),
        ({"transcripts": "hello"}, "script: transcripts: expected a list."),
        ({"transcripts": [{"words": "x"}]}, "script: transcripts[0]: unknown field `words`."),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(script: Any, line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Scripted({"script": script})
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "Cannot read the script {path}: No such file or directory."),
        ("turns: [", "{path}: not valid YAML: "),
        ("- a\n", "{path}: a script is a table with `turns`."),
        ("turns: [{say: 1}]\n", "{path}: turns[0].do[0].say: expected a string, got an integer."),
    ],
)
def test_a_mistake_in_a_file_names_the_file(tmp_path: Path, text: str | None, line: str) -> None:
    path = tmp_path / "script.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        Scripted({"script": str(path)})
    assert str(raised.value).startswith(line.format(path=path))
    assert "\n" not in str(raised.value)


def test_a_recording_that_cannot_be_played_fails_at_start(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"RIFF of another kind")
    for name, why in (("gone.wav", "No such file"), ("no.wav", "cannot be read as WAV")):
        with pytest.raises(SettingsError, match=why):
            asyncio.run(scripted({"audio": str(tmp_path / name)}).start())
