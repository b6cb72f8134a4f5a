"""Qwen3-Omni, streamed: what it says is what transformers' `generate()` says, and it never waits for a whole.

Everything runs on a tiny model (`tiny_models/qwen3_omni.py`), loaded by the real loading code.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3OmniMoeForConditionalGeneration

from tests.engines.qwen3_reference import (
    AUDIO,
    FRAME,
    GREEDY,
    SPEECH_HZ,
    Made,
    counted,
    counted_steps,
    extractor,
    family,
    generated,
    heard,
    prompt,
    read,
    reference,
)
from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.engines.qwen_omni import sampling as sampling_module
from vivavoce.engines.qwen_omni.family import Manner
from vivavoce.engines.qwen_omni.qwen3_conversation import Qwen3Conversation
from vivavoce.engines.qwen_omni.qwen3_vocoder import Vocoder, lost_samples
from vivavoce.engines.qwen_omni.sampling import Sampling, choose, odds

# --- the same as generate() ---


def test_text_codes_and_sound_equal_those_of_generate_over_two_turns():
    recordings = [tiny.speech(10, 20.3), tiny.speech(20, 23.1)]
    ears = [heard(recording) for recording in recordings]
    conversation = family().open()
    messages: list[dict[str, Any]] = []
    for turn in range(2):
        messages.append(AUDIO)
        wanted = prompt(messages, ears[: turn + 1])
        read(conversation, wanted)
        made = Made(conversation)
        tokens, codes, samples = generated(wanted, recordings[: turn + 1])
        assert made.tokens == tokens
        assert made.codes.shape[-1] > 4
        assert torch.equal(made.codes, codes)
        assert made.reason == "completed"
        assert len(made.pcm) == len(samples)
        assert np.abs(made.pcm - samples).max() < 1e-3
        messages.append({"role": "assistant", "content": family().decode(made.tokens)})
    assert len(ears[0].blocks) == 2


def test_what_was_heard_decides_what_is_said_aloud():
    """The comparison above could not fail if speech did not matter."""
    codes = []
    for recording in (tiny.speech(45, 49), tiny.speech(50, 56)):
        conversation = family().open()
        read(conversation, prompt([AUDIO], [heard(recording)]))
        codes.append(Made(conversation).codes)
    assert codes[0].shape != codes[1].shape or not torch.equal(codes[0], codes[1])


@pytest.mark.parametrize("voice", ["ethan", "chelsie"])
def test_limits_and_voices_are_those_of_generate(voice):
    wanted = prompt([{"role": "user", "content": tiny.LONG}])
    conversation = family().open()
    read(conversation, wanted, at_once=1_000)
    made = Made(conversation, Manner(voice=voice, temperature=0.0, greedy_speech=True, max_text_tokens=12, max_frames=9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "greedy", lambda model, ask=tiny.greedy: {**ask(model), "speaker": voice})
        tokens, codes, _ = generated(wanted, thinker_max_new_tokens=12, talker_max_new_tokens=10)
    assert made.tokens == tokens
    assert len(tokens) == 12
    assert torch.equal(made.codes, codes)
    assert made.codes.shape[-1] == 9
    assert made.reason == "max_output_tokens"


def test_conversations_share_nothing():
    """Two answers, a step of each in turn, are what they are alone."""
    prompts = [prompt([{"role": "user", "content": "one apple"}]), prompt([AUDIO], [heard(tiny.speech(5, 9))])]
    alone = []
    for wanted in prompts:
        conversation = family().open()
        read(conversation, wanted)
        alone.append(Made(conversation))
    answers = []
    for wanted in prompts:
        conversation = family().open()
        read(conversation, wanted)
        answers.append(conversation.answer(GREEDY))
    told: list[list[int]] = [[], []]
    sounds = [b"", b""]
    running = {0, 1}
    while running:
        for number in sorted(running):
            step = answers[number].step()
            told[number] += [] if step.token is None else [step.token]
            sounds[number] += step.pcm
            if step.done:
                running.remove(number)
    assert told == [made.tokens for made in alone]
    assert sounds == [b"".join(made.pieces) for made in alone]


def test_a_cropped_conversation_is_a_shorter_one():
    ears = [heard(tiny.speech(0, 3)), heard(tiny.speech(12, 14))]
    first, second = prompt([AUDIO], ears[:1]), prompt([AUDIO], ears[1:])
    used: Qwen3Conversation = family().open()
    read(used, first)
    Made(used)
    read(used, second)
    fresh: Qwen3Conversation = family().open()
    read(fresh, second, at_once=100)
    assert used.entries == fresh.entries
    assert torch.allclose(used.scores, fresh.scores, atol=1e-4)
    assert torch.equal(Made(used).codes, Made(fresh).codes)


# --- hearing ---


@pytest.mark.parametrize("seconds", [0.2, 0.99, 1.0, 2.7, 8.0, 8.5, 9.0, 17.31])
def test_features_equal_those_of_the_whole_recording(seconds):
    samples = tiny.speech(20, 20 + seconds)
    features = torch.cat([block.features for block in heard(samples).blocks])
    whole = tiny.encoded(reference(), extractor(), samples)
    assert features.shape == whole.shape
    assert torch.allclose(features, whole, atol=1e-5)


def test_shorter_blocks_would_not_be_exact():
    """Why 8 s: the encoder attends that far."""
    samples = tiny.speech(20, 28)
    pieces = [tiny.encoded(reference(), extractor(), samples[start : start + 32_000]) for start in range(0, 128_000, 32_000)]
    whole = tiny.encoded(reference(), extractor(), samples)
    assert torch.cat(pieces).shape == whole.shape
    assert not torch.allclose(torch.cat(pieces), whole, atol=1e-3)


def test_a_closed_block_is_encoded_while_the_user_speaks():
    ear = family().ear()
    ear.feed(tiny.speech(20, 28))
    assert not ear.encode()
    assert not ear.blocks
    ear.feed(tiny.speech(28, 28.01))
    assert not ear.encode()
    assert [block.positions for block in ear.blocks] == [104]


def test_only_what_lies_below_the_new_floor_is_encoded_again():
    """Somebody gets louder: blocks with silence in them change, and blocks without stay the same object."""
    noise = np.random.default_rng(3).normal(0, 0.05, 9 * SPEECH_HZ).astype(np.float32)
    quiet = np.concatenate((noise[: 4 * SPEECH_HZ], np.zeros(4 * SPEECH_HZ, np.float32)))
    loud = (noise * 16).clip(-1, 1)
    samples = np.concatenate((noise[: 8 * SPEECH_HZ], quiet, loud))
    ear = family().ear()
    ear.feed(samples[: 17 * SPEECH_HZ])
    while ear.encode():
        pass
    before = list(ear.blocks)
    ear.feed(samples[17 * SPEECH_HZ :])
    while ear.encode(final=True):
        pass
    assert len(before) == 2
    assert ear.blocks[0] is before[0]
    assert ear.blocks[1] is not before[1]
    whole = tiny.encoded(reference(), extractor(), samples)
    assert torch.allclose(torch.cat([block.features for block in ear.blocks]), whole, atol=1e-5)


# --- streaming ---


def test_the_first_sound_takes_the_same_steps_however_long_the_answer():
    steps, runs = [], []
    for words in ("one apple", tiny.LONG):
        conversation = family().open()
        read(conversation, prompt([{"role": "user", "content": words}]))
        parts = family()._parts
        with counted(parts.talker.model) as prefills, counted(parts.code2wav) as vocoder, counted_steps() as steps_made:
            answer = conversation.answer(GREEDY)
            count = 1
            while not answer.step().pcm:
                count += 1
            answer.close()
        steps.append(count)
        runs.append((steps_made.count("thinker"), len(prefills) + steps_made.count("talker"), len(vocoder)))
    assert steps == [4, 4]
    assert runs == [(3, 4, 1), (3, 4, 1)]


def test_sound_leaves_in_chunks_of_4_and_25_frames():
    conversation = family().open()
    read(conversation, prompt([{"role": "user", "content": tiny.LONG}]))
    made = Made(conversation)
    frames = made.codes.shape[-1]
    lost = lost_samples(reference().code2wav)
    assert lost == 555
    assert frames > 29
    samples = [len(piece) // 2 for piece in made.pieces]
    assert samples[:2] == [4 * FRAME - lost, 25 * FRAME]
    assert sum(samples) == frames * FRAME - lost


def test_frames_leave_early_where_the_listener_would_run_dry():
    conversation = family().open()
    read(conversation, prompt([{"role": "user", "content": tiny.LONG}]))
    answer = conversation.answer(GREEDY)
    samples = [len(answer.step(hurry=True).pcm) // 2 for _ in range(17)]
    assert [place for place, count in enumerate(samples) if count] == [3, 7, 11, 15]
    answer.close()


def test_joined_chunks_are_one_whole_decode():
    """Exactly so for the vocoder's convolutions, which 25 frames of context cover; its attention reaches further."""
    code2wav = Qwen3OmniMoeForConditionalGeneration.from_pretrained(tiny.folder()).code2wav.eval()
    codes = torch.randint(0, tiny.CODEBOOK, (1, tiny.CODE_GROUPS, 90), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        whole = code2wav(codes)[0, 0].numpy()
        exact = 29 * FRAME - 555  # as long as the context holds everything that was before
        assert np.abs(_in_chunks(code2wav, codes)[:exact] - whole[:exact]).max() < 1e-4
        for name, weight in code2wav.named_parameters():
            if "layer_scale" in name:
                weight.zero_()
        whole = code2wav(codes)[0, 0].numpy()
        joined = _in_chunks(code2wav, codes)
    assert len(joined) == len(whole) == 90 * FRAME - 555
    assert np.abs(joined - whole).max() < 1e-4
    assert np.sqrt(np.mean(whole**2)) > 0.02


def _in_chunks(code2wav: Any, codes: torch.Tensor) -> np.ndarray:
    vocoder = Vocoder(code2wav)
    pieces = [vocoder.push(frame) for frame in codes.unbind(-1)]
    return np.frombuffer(b"".join([*pieces, vocoder.flush()]), "<i2").astype(np.float32) / 32_767


@torch.inference_mode()
def test_a_frame_has_the_codes_that_the_library_predicts():
    """For any state of the talker, not only for those that greedy answers happen to meet."""
    talker = reference().talker
    generator = torch.Generator().manual_seed(8)
    for first in range(12):
        hidden = torch.randn((1, 1, tiny.TALKER_HIDDEN), generator=generator)
        code = torch.tensor([[first]])
        inputs = torch.cat((hidden, talker.get_input_embeddings()(code)), dim=1)
        expected = talker.code_predictor.generate(
            inputs_embeds=inputs, max_new_tokens=tiny.CODE_GROUPS - 1, do_sample=False, return_dict_in_generate=True
        ).sequences
        codes, total = family()._parts.predictor.frame(hidden, code, Sampling(temperature=0))
        assert codes[:, 1:].tolist() == expected.tolist()
        tables = [talker.get_input_embeddings(), *talker.code_predictor.get_input_embeddings()]
        whole = sum(table(one[None]) for table, one in zip(tables, codes[0], strict=True))
        assert torch.allclose(total[0], whole, atol=1e-5)


# --- calls, text ---


def test_a_call_never_starts_the_talker():
    conversation = family().open()
    read(conversation, prompt([{"role": "user", "content": "What is the weather in Oslo?"}], tools=[tiny.WEATHER_TOOL]))
    with counted(family()._parts.talker.model) as talker, counted_steps() as steps:
        made = Made(conversation)
    assert made.tokens[0] == family().tool_call_token
    assert family().decode(made.tokens) == tiny.CALL
    assert (talker, set(steps), made.pieces) == ([], {"thinker"}, [])


def test_speech_ends_where_a_call_begins():
    """A call behind words: the words are spoken as if they were all, and the call is not."""
    spoken = prompt([{"role": "user", "content": "one apple"}])
    conversation = family().open()
    read(conversation, spoken)
    alone = Made(conversation)
    script = iter([*alone.tokens, family().tool_call_token, *family().encode("{}"), family()._parts.im_end_id])
    read(conversation, spoken)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vivavoce.engines.qwen_omni.qwen3_answer.choose", _scripted(script))
        made = Made(conversation)
    assert len(made.tokens) > len(alone.tokens)
    assert torch.equal(made.codes, alone.codes)


def _scripted(script: Iterator[int]) -> Callable[..., torch.Tensor]:
    """Lets the thinker say what the script says; the talker chooses for itself."""

    def chosen(scores: torch.Tensor, sampling: Sampling, *rest: Any) -> torch.Tensor:
        return choose(scores, sampling, *rest) if rest else torch.tensor([[next(script)]])

    return chosen


def test_text_alone_leaves_the_talker_alone():
    conversation = family().open()
    with counted(family()._parts.talker.model) as talker, counted_steps() as steps:
        read(conversation, prompt([{"role": "user", "content": "one apple"}]))
        made = Made(conversation, Manner(temperature=0.0))
    assert family().decode(made.tokens) == "You have one apple."
    assert (talker, set(steps), made.pieces) == ([], {"thinker"}, [])


# --- sampling ---


def test_tokens_are_drawn_as_transformers_draws_them():
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    generator = torch.Generator().manual_seed(2)
    scores = torch.randn((1, 200), generator=generator) * 4
    said = torch.tensor([[3, 7, 7, 150]])
    rules = LogitsProcessorList(
        [RepetitionPenaltyLogitsProcessor(1.3), TemperatureLogitsWarper(0.7), TopKLogitsWarper(40), TopPLogitsWarper(0.8)]
    )
    expected = rules(said, scores.clone()).softmax(-1)
    sampling = Sampling(temperature=0.7, top_k=40, top_p=0.8, repetition_penalty=1.3)
    penalised = sampling_module._penalised(scores, said, 1.3)
    assert torch.allclose(odds(penalised, sampling), expected, atol=1e-6)
    torch.manual_seed(4)
    drawn = torch.cat([choose(scores, sampling, said) for _ in range(4_000)])
    counts = torch.bincount(drawn[:, 0], minlength=200) / 4_000
    assert torch.allclose(counts, expected[0], atol=0.05)
    assert int(choose(scores, Sampling(temperature=0), suppressed=scores.argmax(-1))) != int(scores.argmax())
