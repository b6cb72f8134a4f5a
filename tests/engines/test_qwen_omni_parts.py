"""The pieces of the Qwen-Omni engine that know no tensors: the line of jobs, words, marks, calls, prompts."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace

import pytest

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import FunctionCallArguments, FunctionCallStarted, Generate
from vivavoce.engines.qwen_omni.engine import planned
from vivavoce.engines.qwen_omni.family import AudioBlock, common_prefix, positions_of
from vivavoce.engines.qwen_omni.inference_thread import InferenceThread, Steps
from vivavoce.engines.qwen_omni.marks import SAMPLES_PER_CHARACTER, GrowingMarks
from vivavoce.engines.qwen_omni.prompt import draft, entries, opening
from vivavoce.engines.qwen_omni.real_time import behind_real_time
from vivavoce.engines.qwen_omni.replying import Listener
from vivavoce.engines.qwen_omni.said import Said, Sayings
from vivavoce.engines.qwen_omni.tool_calls import Call, CallText
from vivavoce.engines.qwen_omni.words import Words
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
    FunctionTool,
    InputAudioPart,
    InputTextPart,
    Message,
    OutputAudioPart,
)

WEATHER = FunctionTool(name="get_weather", parameters={"type": "object", "properties": {}})


# --- the line ---


class Line:
    """An inference thread whose jobs write down whose step it was. The clock stands still."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps: list[str] = []
        self.failures: list[Exception] = []
        self._gate = threading.Event()
        self.thread = InferenceThread("test", now=lambda: self.now)
        self.thread.start()
        self.thread.call(self._gate.wait)

    def job(self, name: str, leads: Sequence[float]) -> Steps:
        try:
            for lead in leads:
                self.steps.append(name)
                yield lead
        finally:
            self.steps.append(f"{name} ends")

    def add(self, name: str, leads: Sequence[float]) -> object:
        return self.thread.run(self.job(name, leads), self.failures.append)

    def run(self) -> list[str]:
        """Let the jobs run, all that were added; what they wrote down."""
        self._gate.set()
        done = threading.Event()
        self.thread.run(self._last(done), self.failures.append)
        assert done.wait(20)
        self.thread.close()
        return self.steps

    def _last(self, done: threading.Event) -> Steps:
        """Is never missed, so it makes its steps when nobody else has any."""
        before = -1
        while before != len(self.steps):
            before = len(self.steps)
            yield 1_000.0
            self.now += 0.5
        done.set()


def test_jobs_take_turns():
    line = Line()
    for name in ("a", "b", "c"):
        line.add(name, [0.0] * 3)
    assert line.run()[:9] == ["a", "b", "c"] * 3


def test_a_job_that_is_far_ahead_leaves_its_turn_to_those_that_are_missed():
    line = Line()
    line.add("ahead", [5.0, 5.0])
    line.add("missed", [0.0] * 4)
    assert line.run()[:6] == ["ahead", "missed", "missed", "missed", "missed", "missed ends"]


def test_a_cancelled_job_makes_no_further_step_and_frees_what_it_holds():
    line = Line()
    job = line.add("a", [0.0] * 100)
    line.thread.run(_cancelling(line, job), line.failures.append)
    assert line.run() == ["a", "cancel", "a ends"]


def _cancelling(line: Line, job: object) -> Steps:
    job.cancel()
    line.steps.append("cancel")
    yield 0.0


def test_a_job_that_fails_is_told_and_the_others_go_on():
    line = Line()

    def failing() -> Steps:
        yield 0.0
        raise EngineError("broken", "It broke.")

    line.thread.run(failing(), line.failures.append)
    line.add("b", [0.0] * 3)
    assert line.run() == ["b", "b", "b", "b ends"]
    assert [error.code for error in line.failures] == ["broken"]


def test_closing_ends_every_job():
    line, begun = Line(), threading.Event()

    def endless() -> Steps:
        try:
            while True:
                begun.set()
                yield 0.0
        finally:
            line.steps.append("ended")

    line.thread.run(endless(), line.failures.append)
    line._gate.set()
    assert begun.wait(20)
    line.thread.close()
    assert line.steps == ["ended"]


def test_a_call_tells_what_it_returned_or_raised():
    thread = InferenceThread("test")
    thread.start()
    assert thread.call(lambda: 6 * 7).result(20) == 42
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0).result(20)
    thread.close()


# --- real time ---


def test_an_answer_that_falls_behind_is_counted_once():
    now = 0.0
    listener = Listener(lambda: now)
    before = behind_real_time._value.get()
    assert (listener.lead_seconds, listener.runs_dry) == (0.0, False)
    listener.hear(SAMPLE_HZ)
    assert (listener.lead_seconds, listener.runs_dry) == (1.0, False)
    now = 0.9
    assert listener.runs_dry
    now = 1.5
    listener.hear(SAMPLE_HZ // 2)
    assert behind_real_time._value.get() == before + 1
    assert listener.lead_seconds == pytest.approx(0.5)
    now = 3.0
    listener.hear(SAMPLE_HZ)
    assert behind_real_time._value.get() == before + 1


# --- words and marks ---

BYTES = {number: bytes([number]) for number in range(256)}


def decode(tokens: Sequence[int]) -> str:
    return b"".join(BYTES[token] for token in tokens).decode("utf-8", "replace")


def test_words_come_whole_and_without_white_space_at_the_ends():
    words = Words(decode)
    told = [words.push(byte) for byte in " Grüße,  ja! ".encode()]
    assert "\ufffd" not in "".join(told)
    assert "".join(told) == "Grüße,  ja!"
    said = words.said()
    assert said.text == "Grüße,  ja!"
    assert bytes(said.tokens) == " Grüße,  ja! ".encode()
    assert said.ends[0] == 0
    assert said.ends[-1] == len(said.text)


def test_bytes_that_never_become_a_character_are_told_as_broken():
    words = Words(decode)
    assert "".join(words.push(0xFF) for _ in range(8)) == "\ufffd" * 8


def test_an_answer_that_was_cut_keeps_its_tokens_before_the_cut():
    sayings = Sayings()
    sayings.remember(Said("one two three", (1, 2, 3), (4, 8, 13)))
    assert list(sayings.tokens("one two three", lambda text: [])) == [1, 2, 3]
    assert list(sayings.tokens("one two t", lambda text: [ord(letter) for letter in text])) == [1, 2, ord("t")]
    assert list(sayings.tokens("One", lambda text: [9] * len(text))) == [9, 9, 9]


def test_marks_go_by_the_pace_of_speech_and_end_exactly():
    marks = GrowingMarks()
    marks.add("The sea")
    marks.add(" is wide.")
    second = marks.heard(SAMPLE_HZ // 2)
    assert [mark.characters for mark in second] == [3, 7]
    assert all(mark.samples == round(mark.characters * SAMPLES_PER_CHARACTER) for mark in second)
    rest = marks.end(SAMPLE_HZ * 2)
    assert [mark.characters for mark in rest] == [10, 16]
    assert rest[-1].samples == SAMPLE_HZ * 2
    assert all(before.samples < after.samples for before, after in pairwise([*second, *rest]))
    assert marks.heard(SAMPLE_HZ * 9) == ()


# --- calls ---


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_arguments_stream_as_they_are_written(size):
    written = '\n{"name": "get_weather", "arguments": {"city": "Os\\"lo}", "days": [1, {"a": 2}]}}\n</tool_call>'
    call = CallText()
    told = [call.push(written[start : start + size]) for start in range(0, len(written), size)]
    assert call.name == "get_weather"
    assert "".join(told) == '{"city": "Os\\"lo}", "days": [1, {"a": 2}]}'
    assert call.done
    assert call.push("more") == call.finish() == ""
    assert size > 3 or len(list(filter(None, told))) > 5


def test_a_call_in_another_order_waits_until_it_is_whole():
    call = CallText()
    assert call.push('{"arguments": {"city": "Oslo"}, ') == ""
    assert call.push('"name": "get_weather"}</tool_call>') == '{"city":"Oslo"}'
    assert call.name == "get_weather"


@pytest.mark.parametrize("written", ["Hello</tool_call>", '{"arguments": {}}</tool_call>'])
def test_what_is_no_call_fails(written):
    with pytest.raises(EngineError) as failure:
        CallText().push(written)
    assert failure.value.code == "invalid_tool_call"


def test_a_call_that_breaks_off_fails():
    call = CallText()
    call.push('{"name": "get_weather", "arguments": {"city": ')
    with pytest.raises(EngineError):
        call.finish()


def test_a_call_that_was_begun_for_the_model_is_told_from_its_beginning():
    call = Call("resp_1", decode, '{"name": "get_weather", "arguments": ')
    events = [event for byte in b'{"a": 1}}' for event in call.push(byte)]
    assert isinstance(events[0], FunctionCallStarted)
    assert events[0].name == "get_weather"
    assert "".join(event.delta for event in events if isinstance(event, FunctionCallArguments)) == '{"a": 1}'


# --- prompts ---


class Letters:
    """A family whose tokens are letters and whose template is plain."""

    audio_token = "🔊"

    def render(self, messages, tools, *, answer):
        lines = [f"tools {[tool['function']['name'] for tool in tools]}\n"] if tools else []
        for message in messages:
            content = message["content"]
            text = content if isinstance(content, str) else "".join(part.get("text", self.audio_token) for part in content)
            calls = "".join(
                f"<{call['function']['name']} {call['function']['arguments']}>" for call in message.get("tool_calls", ())
            )
            lines.append(f"{message['role']}: {text}{calls}\n")
        return "".join(lines) + ("assistant: " if answer else "")

    def encode(self, text):
        return [ord(letter) for letter in text]


def asked(*items, **fields):
    return Generate(response_id="resp_1", items=items, **fields)


def text_of(found):
    return "".join("▮" if isinstance(entry, AudioBlock) else chr(entry) for entry in found)


BLOCK = AudioBlock(None, 104)


def prompt_of(request, sayings=None, *, answer=True):
    return entries(Letters(), draft(request), lambda _: [BLOCK], sayings or Sayings(), answer=answer)


def test_a_prompt_is_everything_in_order():
    request = asked(
        Message(id="1", role="user", content=(InputTextPart("Look:"), InputAudioPart(audio=b"12"))),
        FunctionCall(call_id="c", name="get_weather", arguments='{"city": 1}'),
        FunctionCallOutput(call_id="c", output="Sunny"),
        Message(role="assistant", content=(OutputAudioPart("It is sunny."),)),
        Message(role="user", content=(InputTextPart("Thanks."),)),
        instructions="Be brief.",
        tools=(WEATHER,),
    )
    assert text_of(prompt_of(request)) == (
        "tools ['get_weather']\nsystem: Be brief.\nuser: Look:▮\nassistant: <get_weather {\"city\": 1}>\ntool: Sunny\n"
        "assistant: It is sunny.\nuser: Thanks.\nassistant: "
    )


def test_a_prompt_of_somebody_who_is_still_talking_ends_with_the_speech():
    request = asked(Message(id="1", role="user", content=(InputAudioPart(audio=b""),)), instructions="Be brief.")
    assert text_of(prompt_of(request, answer=False)) == "system: Be brief.\nuser: ▮"


def test_answers_keep_the_tokens_they_were_said_with():
    sayings = Sayings()
    sayings.remember(Said("Hello there.", (1_000, 1_001), (6, 12)))
    request = asked(Message(role="assistant", content=(OutputAudioPart("Hello there."),)))
    assert text_of(prompt_of(request, sayings)) == f"assistant: {chr(1_000)}{chr(1_001)}\nassistant: "


def test_what_was_said_and_not_heard_is_not_there():
    request = asked(Message(role="assistant", content=(OutputAudioPart(""),)))
    assert text_of(prompt_of(request)) == "assistant: "


def test_nobody_types_control_tokens():
    typed = "<|im_end|> \ue0000\ue001 <|audio_pad|>"
    request = asked(Message(role="user", content=(InputTextPart(typed),)), instructions=typed)
    assert text_of(prompt_of(request)) == (
        "system: < |im_end|> 0 < |audio_pad|>\nuser: < |im_end|> 0 < |audio_pad|>\nassistant: "
    )


def test_tool_choice_shapes_prompt_and_opening():
    assert opening(asked(tools=(WEATHER,))) == ""
    assert opening(asked(tools=(WEATHER,), tool_choice="required")) == '<tool_call>\n{"name": "'
    assert opening(asked(tools=(WEATHER,), tool_choice=FunctionChoice(name="get_weather"))).endswith(
        '"get_weather", "arguments": '
    )
    assert draft(asked(tools=(WEATHER,), tool_choice="none")).tools == ()
    assert opening(asked(tool_choice="required")) == ""


def test_prefixes_compare_tokens_by_value_and_speech_by_identity():
    other = AudioBlock(None, 104)
    assert common_prefix([1, BLOCK, 2], [1, BLOCK, 3]) == 2
    assert common_prefix([1, BLOCK, 2], [1, other, 2]) == 1
    assert common_prefix([1], [1, 2]) == 1
    assert positions_of([1, BLOCK, 2]) == 106


@pytest.mark.parametrize(("positions", "a_second"), [(32_768, 25.0), (32_768, 13.0), (65_536, 13.0)])
def test_what_the_core_plans_with_fits_even_if_it_is_all_speech(positions, a_second):
    seconds = planned(SimpleNamespace(context_positions=positions, positions_per_second=a_second)) / 10
    assert 0.8 * positions < seconds * a_second < 0.95 * positions


def test_a_model_that_takes_less_for_speech_than_the_core_counts_gains_nothing():
    assert planned(SimpleNamespace(context_positions=1_000, positions_per_second=5.0)) == 900
