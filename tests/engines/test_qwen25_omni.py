"""Qwen2.5-Omni against the `generate` of transformers, on a tiny model: the same text, the same codes, turn after turn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tests.engines.qwen25_scene import (
    FIRST_CHUNK_STEPS,
    SPOKEN,
    Answered,
    Reference,
    answer_to,
    ask,
    entries_of,
    extractor,
    family,
    hear,
    model,
    voice,
)
from tests.engines.tiny_models import qwen25_omni as tiny
from tests.engines.tiny_models.qwen3_omni import CALL, LONG, WEATHER_TOOL
from vivavoce.engines.qwen_omni import qwen25
from vivavoce.engines.qwen_omni.caches import crop
from vivavoce.engines.qwen_omni.family import LoadOptions, Manner, Step
from vivavoce.engines.qwen_omni.growing_cache import growing_cache
from vivavoce.engines.qwen_omni.qwen25 import Qwen25
from vivavoce.engines.qwen_omni.qwen25_chat import PERSONA, with_persona, with_tools
from vivavoce.protocol.errors import EngineError

__all__ = ["extractor", "family", "model"]

WRITTEN = Manner()


# --- text and codes ---


def test_text_and_codes_equal_generate_over_two_turns(family: Qwen25, model: Any, extractor: Any) -> None:
    speeches = [voice(), np.concatenate([voice(), voice()[::-1]])]
    user = {"role": "user", "content": [{"type": "audio"}]}
    messages: list[dict[str, Any]] = []
    conversation, heard = family.open(), []
    for turn, speech in enumerate(speeches):
        messages.append(user)
        heard.append(hear(family, speech))
        text = family.render(messages, [], answer=True)
        entries = entries_of(family, text, heard)
        # Nothing that the thinker has read is read again.
        known = len(conversation.entries)
        assert [*conversation.entries] == entries[:known]
        conversation.extend(entries[known:])
        answered = Answered(family, conversation, SPOKEN)
        reference = Reference(model, family, extractor, text, speeches[: turn + 1])
        assert answered.tokens == reference.tokens[:-1]
        assert len(answered.tokens) > 3
        assert answered.codes == reference.codes
        assert len(answered.pcm) // 2 == len(reference.wave)
        messages.append({"role": "assistant", "content": answered.text})


def test_the_first_samples_leave_after_a_constant_number_of_steps(family: Qwen25) -> None:
    long, short = answer_to(family, LONG), answer_to(family, "three pineapples")
    [first] = [n for n, step in enumerate(long.steps, 1) if step.pcm][:1]
    assert first == FIRST_CHUNK_STEPS
    assert len(long.steps[first - 1].pcm) == 2 * 12 * family.frame_samples
    assert sum(bool(step.pcm) for step in long.steps) > 1
    assert len(short.pcm) == 2 * len(short.codes) * family.frame_samples


def test_two_conversations_at_once_say_what_each_says_alone(family: Qwen25) -> None:
    questions = ("one apple", "three pineapples")
    alone = [answer_to(family, words) for words in questions]
    conversations = [family.open() for _ in questions]
    for conversation, words in zip(conversations, questions, strict=True):
        conversation.extend(ask(family, words))
    answers = [conversation.answer(SPOKEN) for conversation in conversations]
    said: list[list[Step]] = [[], []]
    while any(not steps or not steps[-1].done for steps in said):
        for answer, steps in zip(answers, said, strict=True):
            if not steps or not steps[-1].done:
                steps.append(answer.step())
    for before, now in zip(alone, said, strict=True):
        assert [step.token for step in now if step.token is not None] == before.tokens
        assert b"".join(step.pcm for step in now) == before.pcm


def test_voices_differ_and_an_unknown_one_is_the_default(family: Qwen25) -> None:
    assert family.voices == ("chelsie", "ethan")
    chelsie, ethan, alloy = (
        answer_to(family, "one apple", Manner(voice=name, greedy_speech=True)).pcm for name in ("chelsie", "ethan", "alloy")
    )
    assert chelsie == alloy != ethan


def test_speech_is_drawn_by_chance_unless_it_is_greedy(family: Qwen25) -> None:
    torch.manual_seed(1)
    drawn = [answer_to(family, "one apple", Manner(voice="ethan")).codes for _ in range(4)]
    assert len({tuple(codes) for codes in drawn}) > 1


def test_a_written_answer_has_no_sound_and_a_limit_ends_it(family: Qwen25) -> None:
    written = answer_to(family, "one apple", WRITTEN)
    assert (written.text, written.pcm, written.steps[-1].reason) == ("You have one apple.", b"", "completed")
    cut = answer_to(family, "one apple", Manner(max_text_tokens=3))
    assert (cut.tokens, cut.steps[-1].reason) == (written.tokens[:3], "max_output_tokens")


def test_a_limit_of_frames_ends_the_speech(family: Qwen25) -> None:
    cut = answer_to(family, LONG, Manner(voice="ethan", greedy_speech=True, max_frames=20))
    assert len(cut.pcm) == 2 * 20 * family.frame_samples
    assert cut.steps[-1].reason == "max_output_tokens"


# --- memory ---


def test_cut_to_what_was_heard_it_goes_on_as_if_no_more_had_been_said(family: Qwen25) -> None:
    entries = ask(family, "one apple")
    conversation, fresh = family.open(), family.open()
    conversation.extend(entries)
    said = Answered(family, conversation, SPOKEN)
    conversation.crop(len(entries) + 2)
    more = [*family.encode("<|im_end|>\n"), *ask(family, "three pineapples")]
    conversation.extend(more)
    fresh.extend([*entries, *said.tokens[:2], *more])
    again, afresh = Answered(family, conversation, SPOKEN), Answered(family, fresh, SPOKEN)
    assert (again.tokens, again.codes) == (afresh.tokens, afresh.codes)


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "not settled"])
def test_an_earlier_item_deleted_the_rest_is_read_anew(family: Qwen25, settled: bool) -> None:
    conversation = family.open()
    conversation.extend(ask(family, LONG))
    if settled:
        conversation.settle()
    conversation.crop(20)
    conversation.extend(ask(family, "one apple")[20:])
    assert conversation.entries == ask(family, "one apple")
    assert Answered(family, conversation, SPOKEN).codes == answer_to(family, "one apple").codes


def test_an_answer_that_is_stopped_leaves_the_conversation_whole(family: Qwen25) -> None:
    entries = ask(family, LONG)
    conversation = family.open()
    conversation.extend(entries)
    answer = conversation.answer(SPOKEN)
    for _ in range(30):
        answer.step()
    answer.close()
    answer.close()
    conversation.crop(len(entries) - 1)
    conversation.extend(entries[-1:])
    assert Answered(family, conversation, SPOKEN).codes == answer_to(family, LONG).codes


def test_settling_early_changes_nothing(family: Qwen25) -> None:
    conversation = family.open()
    entries = ask(family, "one apple")
    for start in range(0, len(entries), 50):
        conversation.extend(entries[start : start + 50])
        conversation.settle()
    assert Answered(family, conversation, SPOKEN).codes == answer_to(family, "one apple").codes


def test_a_growing_cache_holds_what_a_dynamic_one_holds_and_stays_where_it_is() -> None:
    growing, dynamic = growing_cache(), DynamicCache()
    places = set()
    for positions, cut in ((300, 0), (1, 0), (1, 40), (7, 0), (100, 409), (1, 0)):
        keys, values = torch.randn(2, 1, 2, positions, 4)
        for layer in (0, 1):
            held = growing.update(keys, values + layer, layer)
            for mine, theirs in zip(held, dynamic.update(keys, values + layer, layer), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        places.add(held[0].data_ptr())
        crop(growing, growing.get_seq_length() - cut)
        crop(dynamic, dynamic.get_seq_length() - cut)
    assert growing.get_seq_length() == dynamic.get_seq_length() == 1
    assert len(places) == 1


# --- tools ---


def test_a_call_never_starts_the_talker_and_its_result_goes_back_in(family: Qwen25) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    conversation = family.open()
    conversation.extend(family.encode(family.render(messages, [WEATHER_TOOL], answer=True)))
    called = Answered(family, conversation, SPOKEN)
    assert called.tokens[0] == family.tool_call_token
    assert (called.text, called.pcm, called.codes) == (CALL, b"", [])
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    messages += [
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
        {"role": "tool", "content": "Sunny, 21 degrees."},
    ]
    entries = family.encode(family.render(messages, [WEATHER_TOOL], answer=True))
    known = len(conversation.entries)
    assert entries[:known] == conversation.entries
    conversation.extend(entries[known:])
    told = Answered(family, conversation, SPOKEN)
    assert told.text == "It is sunny in Oslo."
    assert told.pcm


def test_the_persona_comes_before_the_instructions() -> None:
    user = {"role": "user", "content": "hello"}
    told = with_persona([{"role": "system", "content": "Be brief."}, user])
    assert told == [{"role": "system", "content": f"{PERSONA}\nBe brief."}, user]
    assert with_persona(told) == told
    assert with_persona([user])[0] == {"role": "system", "content": PERSONA}


def test_tools_calls_and_results_are_written_out() -> None:
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    messages = [
        {"role": "system", "content": "S"},
        {"role": "assistant", "content": "Wait.", "tool_calls": [call, call]},
        {"role": "tool", "content": [{"type": "text", "text": "2"}]},
    ]
    system, assistant, result = with_tools(messages, [{"name": "add"}])
    assert system["content"].startswith("S\n\n# Tools\n")
    assert '<tools>\n{"name": "add"}\n</tools>' in system["content"]
    written = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    assert assistant == {"role": "assistant", "content": f"Wait.\n{written}\n{written}"}
    assert result == {"role": "user", "content": "<tool_response>\n2\n</tool_response>"}


# --- loading ---


def test_without_speech_every_answer_is_text() -> None:
    mute = qwen25.load(tiny.folder(), LoadOptions(speech=False))
    assert mute.voices == ()
    said = answer_to(mute, "one apple")
    assert (said.text, said.pcm) == ("You have one apple.", b"")
    mute.close()


def test_a_folder_that_is_no_model_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Qwen2\.5-Omni cannot be loaded from") as caught:
        qwen25.load(tmp_path, LoadOptions())
    assert "\n" not in caught.value.message
