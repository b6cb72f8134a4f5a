"""Qwen2.5-Omni against the `generate` of transformers, on a tiny model: the same text, the same codes, the same sound."""

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, Qwen2_5OmniForConditionalGeneration, WhisperFeatureExtractor

from tests.engines.tiny_models import qwen25_omni as tiny
from tests.engines.tiny_models.qwen3_omni import CALL, LONG, WEATHER_TOOL
from vivavoce.engines.qwen_omni import qwen25, qwen25_speech
from vivavoce.engines.qwen_omni.caches import crop
from vivavoce.engines.qwen_omni.family import AudioBlock, Conversation, Entry, LoadOptions, Manner, Step, positions_of
from vivavoce.engines.qwen_omni.growing_cache import growing_cache
from vivavoce.engines.qwen_omni.qwen25 import Qwen25
from vivavoce.engines.qwen_omni.qwen25_chat import PERSONA, with_persona, with_tools
from vivavoce.engines.qwen_omni.qwen25_mel import Flow
from vivavoce.engines.qwen_omni.qwen25_speech import CHUNK_BLOCKS, Speech
from vivavoce.protocol.errors import EngineError

Samples = NDArray[np.float32]
SPOKEN = Manner(voice="ethan", greedy_speech=True)
WRITTEN = Manner()
FIRST_CHUNK_STEPS = 24 + 9
"""Codes of two blocks, and the Runge-Kutta steps of a solution."""
BLOCK_SAMPLES = 32_000


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def family() -> Qwen25:
    return qwen25.load(tiny.folder(), LoadOptions())


@pytest.fixture(scope="module")
def model() -> Any:
    """The reference."""
    return tiny.as_published(Qwen2_5OmniForConditionalGeneration.from_pretrained(tiny.folder()).eval())


@pytest.fixture(scope="module")
def extractor() -> Any:
    return WhisperFeatureExtractor.from_pretrained(tiny.folder())


def voice(name: str = "hello-world") -> Samples:
    """A recorded voice at 16,000 Hz."""
    with wave.open(str(Path(__file__).parents[3] / "shared" / "audio" / f"{name}.wav")) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768
    times = np.arange(int(samples.size * 16_000 / rate)) * rate / 16_000
    return np.interp(times, np.arange(samples.size), samples).astype(np.float32)


def hear(family: Qwen25, samples: Samples) -> list[AudioBlock]:
    ear = family.ear()
    ear.feed(samples)
    while ear.encode(final=True):
        pass
    return list(ear.blocks)


def entries_of(family: Qwen25, text: str, heard: Sequence[Sequence[AudioBlock]] = ()) -> list[Entry]:
    """A rendered prompt, the blocks of each stretch of speech in place of its token."""
    first, *others = text.split(family.audio_token)
    entries: list[Entry] = list(family.encode(first))
    for blocks, rest in zip(heard, others, strict=True):
        entries += [*blocks, *family.encode(rest)]
    return entries


def ask(family: Qwen25, words: str) -> list[Entry]:
    return entries_of(family, family.render([{"role": "user", "content": words}], [], answer=True))


class Answered:
    """An answer to its end."""

    def __init__(self, family: Qwen25, conversation: Conversation, manner: Manner) -> None:
        answer = conversation.answer(manner)
        self.steps: list[Step] = []
        self.codes: list[int] = []
        while not self.steps or not self.steps[-1].done:
            self.steps.append(answer.step())
            if answer._speaking is not None:  # type: ignore[attr-defined]
                self.codes = answer._speaking._speech.codes  # type: ignore[attr-defined]
        answer.close()
        self.tokens = [step.token for step in self.steps if step.token is not None]
        self.text = family.decode(self.tokens)
        self.pcm = b"".join(step.pcm for step in self.steps)


def answer_to(family: Qwen25, words: str, manner: Manner = SPOKEN) -> Answered:
    conversation = family.open()
    conversation.extend(ask(family, words))
    return Answered(family, conversation, manner)


class Reference:
    """What `generate` makes of a whole conversation."""

    def __init__(self, model: Any, family: Qwen25, extractor: Any, text: str, speeches: Sequence[Samples]) -> None:
        mels = [
            extractor(speech, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt") for speech in speeches
        ]
        for mel in mels:
            frames = int(mel.attention_mask.sum())
            text = text.replace(family.audio_token, "§" * (((frames - 1) // 2 + 1 - 2) // 2 + 1), 1)
        ids = torch.tensor([family.encode(text.replace("§", family.audio_token))])
        inputs = {
            "input_features": torch.cat([mel.input_features for mel in mels]),
            "feature_attention_mask": torch.cat([mel.attention_mask for mel in mels]),
        }
        self.codes: list[int] = []
        decode = model.token2wav.forward
        model.token2wav.forward = lambda codes, **given: self.codes.extend(codes[0].tolist()) or decode(codes, **given)
        try:
            said, self.wave = model.generate(
                ids, attention_mask=torch.ones_like(ids), speaker="Ethan", **inputs, **tiny.greedy(model)
            )
        finally:
            model.token2wav.forward = decode
        self.tokens = said[0, ids.shape[1] :].tolist()


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


def chunk_codes(speech: Speech, hurry_at: int = -1) -> list[int]:
    """After how many of 60 codes a chunk is full."""
    full = []
    for number in range(1, 61):
        speech.add(number % 7, hurry=number == hurry_at)
        if speech.is_decoding:
            full.append(number)
        while speech.is_decoding:
            speech.decode()
    return full


def test_in_a_hurry_half_a_chunk_is_enough(family: Qwen25) -> None:
    assert CHUNK_BLOCKS[:4] == (1, 1, 2, 4)
    with torch.inference_mode():
        assert chunk_codes(family.speech(family.voice("ethan"))) == [24, 36, 60]
        assert chunk_codes(family.speech(family.voice("ethan")), hurry_at=48) == [24, 36, 48]
        assert chunk_codes(family.speech(family.voice("ethan")), hurry_at=47) == [24, 36, 60]


def test_a_chunk_is_decoded_in_steps_beside_those_of_others(family: Qwen25) -> None:
    conversation = family.open()
    conversation.extend(ask(family, LONG))
    answer = conversation.answer(SPOKEN)
    steps = [answer.step() for _ in range(FIRST_CHUNK_STEPS)]
    assert [step.token is None for step in steps] == [False] * 24 + [True] * 9
    assert [bool(step.pcm) for step in steps] == [False] * 32 + [True]
    answer.close()


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


# --- hearing ---


def whole_features(model: Any, extractor: Any, samples: Samples) -> Any:
    mel = extractor(samples, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt")
    with torch.inference_mode():
        return model.thinker.get_audio_features(mel.input_features, mel.attention_mask).last_hidden_state


def joined(blocks: Sequence[AudioBlock]) -> Any:
    return torch.cat([block.features for block in blocks])


def noise(samples: int, loudness: float = 0.1) -> Samples:
    drawn = np.random.default_rng(samples).standard_normal(samples) * loudness
    return drawn.astype(np.float32)


LENGTHS = [1, 159, 321, 640, 16_000, BLOCK_SAMPLES - 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 39, BLOCK_SAMPLES + 41, 100_003]


@pytest.mark.parametrize("length", LENGTHS)
def test_blocks_equal_the_whole_encode(family: Qwen25, model: Any, extractor: Any, length: int) -> None:
    samples = noise(length)
    blocks = hear(family, samples)
    whole = whole_features(model, extractor, samples) if length > 320 else torch.zeros(0, tiny.HIDDEN)
    assert positions_of(blocks) == len(whole)
    if blocks:
        torch.testing.assert_close(joined(blocks), whole, atol=1e-4, rtol=1e-4)


def test_a_block_is_encoded_while_the_user_speaks(family: Qwen25) -> None:
    ear = family.ear()
    samples = noise(5 * BLOCK_SAMPLES // 2)
    encoded = []
    for start in range(0, len(samples), 1_600):
        ear.feed(samples[start : start + 1_600])
        assert not ear.encode()
        encoded.append(len(ear.blocks))
    # The block's last frame hears 2.5 ms of the next one.
    assert (encoded.index(1), encoded.index(2)) == (20, 40)
    early = list(ear.blocks)
    assert not ear.encode(final=True)
    assert list(ear.blocks[:2]) == early
    assert [block.positions for block in ear.blocks] == [50, 50, 25]


def test_a_louder_moment_encodes_again_what_lies_below_the_new_floor(family: Qwen25, model: Any, extractor: Any) -> None:
    quiet, clear, loud = np.zeros(BLOCK_SAMPLES, np.float32), noise(BLOCK_SAMPLES, 0.01), noise(BLOCK_SAMPLES, 0.5)
    quiet[:100] = 1e-4
    ear = family.ear()
    ear.feed(np.concatenate([quiet, clear]))
    while ear.encode():
        pass
    [before] = ear.blocks
    ear.feed(loud)
    while ear.encode(final=True):
        pass
    assert before is not ear.blocks[0]
    whole = whole_features(model, extractor, np.concatenate([quiet, clear, loud]))
    torch.testing.assert_close(joined(ear.blocks), whole, atol=1e-4, rtol=1e-4)


def test_where_nothing_lies_below_the_new_floor_blocks_stay(family: Qwen25) -> None:
    ear = family.ear()
    ear.feed(noise(BLOCK_SAMPLES + 100, 0.05))
    assert not ear.encode()
    [before] = ear.blocks
    ear.feed(noise(BLOCK_SAMPLES, 0.5))
    while ear.encode(final=True):
        pass
    assert ear.blocks[0] is before


# --- sound ---


def sound(speech: Speech) -> bytes:
    """What waits to be decoded."""
    pcm = b""
    while speech.is_decoding:
        pcm += speech.decode()
    return pcm


def decode_whole(family: Qwen25, codes: list[int]) -> NDArray[np.int16]:
    speech = Speech(family._token2wav, family.voice("ethan"), Flow())
    speech.codes = codes
    with torch.inference_mode():
        speech.finish()
        return np.frombuffer(sound(speech), np.int16)


def decode_in_chunks(family: Qwen25, codes: list[int]) -> NDArray[np.int16]:
    speech = family.speech(family.voice("ethan"))
    pcm = b""
    with torch.inference_mode():
        for code in codes:
            speech.add(code)
            pcm += sound(speech)
        speech.finish()
        return np.frombuffer(pcm + sound(speech), np.int16)


def some_codes(length: int) -> list[int]:
    return np.random.default_rng(3).integers(0, tiny.CODES, length).tolist()


def error(chunks: NDArray[np.int16], whole: NDArray[np.int16]) -> float:
    """RMS of the difference, in parts of the whole's."""
    return float(np.std(chunks.astype(float) - whole) / np.std(whole.astype(float)))


def test_a_whole_decode_equals_the_published_one(family: Qwen25, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = some_codes(30)
    drawn = torch.randn(1, 60, 16, generator=torch.Generator().manual_seed(0))
    speaker = model.speaker_map["Ethan"]
    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr(torch, "randn", lambda *_, **__: drawn)
        published = model.token2wav(torch.tensor([codes]), speaker["cond"], speaker["ref_mel"])
    assert error(decode_whole(family, codes), (published.numpy() * 32_767)) < 1e-3


@pytest.fixture
def nothing_ahead(family: Qwen25) -> Iterator[None]:
    """The flow-matching model with no layer that looks ahead."""
    layers = family._token2wav.code2wav_dit_model.transformer_blocks
    before = [layer.look_ahead_block for layer in layers]
    for layer in layers:
        layer.look_ahead_block = 0
    yield
    for layer, blocks in zip(layers, before, strict=True):
        layer.look_ahead_block = blocks


def test_chunks_equal_the_whole_decode_where_no_layer_looks_ahead(family: Qwen25, nothing_ahead: None) -> None:
    codes = some_codes(70)
    chunks, whole = decode_in_chunks(family, codes), decode_whole(family, codes)
    assert len(chunks) == len(whole) == 70 * family.frame_samples
    assert error(chunks, whole) < 1e-3


def test_where_one_looks_ahead_each_block_ahead_brings_them_nearer(family: Qwen25, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = some_codes(70)
    whole = decode_whole(family, codes)
    errors = []
    for ahead in (0, 1, 2):
        monkeypatch.setattr(qwen25_speech, "AHEAD_BLOCKS", ahead)
        errors.append(error(decode_in_chunks(family, codes), whole))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0
    assert errors[1] < 0.05


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
