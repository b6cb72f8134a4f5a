"""The Qwen-Omni engine over a conversation: what is heard ahead, what is kept, what is never done twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.contract import WEATHER, Answer, Probe
from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.audio import Encoder
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationFailed,
    Listen,
    OutputAudio,
    StopGenerating,
    StopListening,
    Transcribe,
    TranscriptDone,
)
from vivavoce.engines.parts import Transcript
from vivavoce.engines.qwen_omni.engine import QwenOmni
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import (
    PCM,
    PCMU,
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
    InputAudioPart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
)

OPTIONS = {"device": "cpu", "threads": 1, "temperature": 0, "greedy_speech": True, "hurry": False}
SECOND = 24_000 * 2
"""Bytes of PCM."""
INSTRUCTIONS = "Be kind."


def pcm(start_seconds: float, end_seconds: float) -> bytes:
    """Recorded speech at 24,000 Hz: every second sample thrice. What is said matters, not how it sounds."""
    samples = (tiny.speech(start_seconds, end_seconds) * 32_767).astype("<i2")
    return np.repeat(samples[::2], 3).tobytes()


def spoken(item_id: str, audio: bytes) -> Message:
    return Message(id=item_id, role="user", content=(InputAudioPart(audio=audio),))


def typed(item_id: str, text: str) -> Message:
    return Message(id=item_id, role="user", content=(InputTextPart(text),))


def said(item_id: str, text: str) -> Message:
    return Message(id=item_id, role="assistant", content=(OutputAudioPart(text),))


class Counts:
    """What the model did: frames of mels that were encoded, positions that the thinker and the talker read."""

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.thought: list[int] = []
        self.talked: list[int] = []

    def clear(self) -> None:
        for counts in (self.encoded, self.thought, self.talked):
            counts.clear()


class Scene:
    """One session with an engine that counts."""

    def __init__(self, engine: QwenOmni, counts: Counts) -> None:
        self.engine = engine
        self.counts = counts
        self.probe = Probe(engine)
        self._asked = 0

    async def ask(self, *items: Item, **fields: Any) -> Answer:
        self._asked += 1
        return await self.probe.answer(Generate(response_id=f"resp_{self._asked}", items=items, **fields))

    def listen(self, item_id: str, audio: bytes, *, final: bool = False) -> None:
        for start in range(0, len(audio), 4_800):
            self.probe.session.submit(Listen(item_id, audio[start : start + 4_800], PCM))
        if final:
            self.probe.session.submit(Listen(item_id, b"", PCM, final=True))

    async def heard(self) -> None:
        """Everything that was submitted was taken, and what could be done of it was done."""
        idle = asyncio.Event()
        loop = asyncio.get_running_loop()

        def steps() -> Iterator[float]:
            while len(self.engine._thread._jobs) > 0:
                yield 1_000.0
            loop.call_soon_threadsafe(idle.set)

        self.engine._thread.run(steps(), print)
        await asyncio.wait_for(idle.wait(), 20)


@contextmanager
def counted(engine: QwenOmni) -> Iterator[Counts]:
    counts, parts = Counts(), engine._family._parts
    hooks = [
        parts.audio_tower.register_forward_pre_hook(lambda _, args: counts.encoded.append(args[0].shape[1])),
        parts.thinker.register_forward_pre_hook(_reads(counts.thought), with_kwargs=True),
        parts.talker.model.register_forward_pre_hook(_reads(counts.talked), with_kwargs=True),
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def _reads(counts: list[int]) -> Any:
    return lambda _, args, kwargs: counts.append(kwargs["inputs_embeds"].shape[1])


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    engine = QwenOmni({**OPTIONS, "model": str(tiny.folder()), **options})
    await engine.start()
    try:
        with counted(engine) as counts:
            scene = Scene(engine, counts)
            yield scene
            scene.probe.session.close()
    finally:
        await engine.close()


# --- hearing ahead ---


def test_all_but_the_tail_is_encoded_and_read_before_the_turn_is_over():
    async def run() -> None:
        async with scene() as stage:
            first = await stage.ask(spoken("item_1", pcm(0, 2)), instructions=INSTRUCTIONS)
            items = (spoken("item_1", pcm(0, 2)), said("item_2", first.transcript))
            audio = pcm(20, 37.5)
            stage.counts.clear()
            stage.listen("item_3", audio)
            await stage.heard()
            assert stage.counts.encoded == [800, 800]
            assert sum(stage.counts.thought) > 208
            assert sum(stage.counts.talked) > 208
            stage.listen("item_3", b"", final=True)
            await stage.heard()
            stage.counts.clear()
            answer = await stage.ask(*items, spoken("item_3", audio), instructions=INSTRUCTIONS)
            assert stage.counts.encoded == [150]
            assert stage.counts.thought[0] < 30
            assert stage.counts.talked[0] < 40
            ahead = (answer.transcript, answer.pcm)
        async with scene() as stage:
            await stage.ask(spoken("item_1", pcm(0, 2)), instructions=INSTRUCTIONS)
            answer = await stage.ask(*items, spoken("item_3", audio), instructions=INSTRUCTIONS)
            assert (answer.transcript, answer.pcm) == ahead

    asyncio.run(run())


def test_a_first_turn_is_read_ahead_with_the_instructions_of_the_session_before():
    async def run() -> None:
        async with scene() as stage:
            await stage.ask(spoken("item_1", pcm(0, 2)), instructions=INSTRUCTIONS)
            stage.probe.session.close()
            stage.probe = Probe(stage.engine)
            stage.counts.clear()
            audio = pcm(20, 29)
            stage.listen("item_1", audio)
            await stage.heard()
            assert stage.counts.encoded == [800]
            assert sum(stage.counts.thought) > 104
            stage.counts.clear()
            await stage.ask(spoken("item_1", audio), instructions=INSTRUCTIONS)
            assert stage.counts.encoded == [100]
            assert stage.counts.thought[0] < 30

    asyncio.run(run())


def test_nothing_is_encoded_of_a_turn_that_came_to_nothing_and_its_id_can_come_again():
    async def run() -> None:
        async with scene() as stage:
            stage.listen("item_1", pcm(0, 9))
            stage.probe.session.submit(StopListening("item_1"))
            await stage.heard()
            stage.counts.clear()
            audio = pcm(30, 32)
            stage.listen("item_1", audio, final=True)
            answer = await stage.ask(spoken("item_1", audio))
            assert sum(stage.counts.encoded) == 200
            fresh = Probe(stage.engine)
            again = await fresh.answer(Generate(response_id="resp_1", items=(spoken("item_1", audio),)))
            fresh.session.close()
            assert again.pcm == answer.pcm

    asyncio.run(run())


def test_a_draft_becomes_the_answer_or_is_forgotten():
    async def run() -> None:
        async with scene() as stage:
            assert stage.engine.capabilities.drafts
            audio, silence = pcm(20, 22), b"\0\0" * 12_000
            stage.listen("item_1", audio)
            draft = await stage.ask(spoken("item_1", audio))
            stage.counts.clear()
            # Silence makes the item longer: it is not heard again.
            stage.listen("item_1", silence, final=True)
            whole = spoken("item_1", audio + silence)
            await stage.ask(whole, said("item_2", draft.transcript), typed("item_3", "hello"))
            assert stage.counts.encoded == []
            # The speaker goes on: the turn is told anew, and heard anew.
            stage.listen("item_4", audio)
            await stage.ask(whole, said("item_2", draft.transcript), spoken("item_4", audio))
            stage.probe.session.submit(StopListening("item_4"))
            longer = audio + pcm(22, 24)
            stage.listen("item_4", longer, final=True)
            stage.counts.clear()
            answer = await stage.ask(whole, said("item_2", draft.transcript), spoken("item_4", longer))
            assert stage.counts.encoded == [400]
            assert answer.pcm

    asyncio.run(run())


# --- one conversation ---


def test_over_ten_turns_nothing_is_heard_twice_and_the_last_costs_what_the_second_did():
    async def run() -> None:
        async with scene() as stage:
            items: list[Item] = []
            prefills, openings = [], []
            for turn in range(10):
                items.append(spoken(f"user_{turn}", pcm(turn, turn + 2)))
                stage.counts.clear()
                answer = await stage.ask(*items, instructions=INSTRUCTIONS)
                items.append(said(f"answer_{turn}", answer.transcript))
                assert sum(stage.counts.encoded) == 200
                prefills.append(stage.counts.thought[0])
                openings.append(stage.counts.talked[0])
            assert set(prefills[1:]) == {prefills[1]}
            assert set(openings) == {openings[0]}

    asyncio.run(run())


def test_a_cut_answer_keeps_the_cache_up_to_the_cut():
    async def run() -> None:
        async with scene() as stage:
            question, more = spoken("item_1", pcm(0, 9)), typed("item_3", "hello")
            answer = await stage.ask(question)
            words = answer.transcript.split()
            cut = " ".join(words[: len(words) // 2])
            stage.counts.clear()
            after = await stage.ask(question, said("item_2", cut), more)
            assert stage.counts.encoded == []
            assert stage.counts.thought[0] < 20
            fresh = await _alone(stage, question, said("item_2", cut), more)
            assert (after.transcript, after.pcm) == (fresh.transcript, fresh.pcm)

    asyncio.run(run())


@pytest.mark.parametrize("change", ["deleted", "inserted"])
def test_after_a_deletion_or_an_insertion_the_model_reads_what_is_there(change):
    async def run() -> None:
        async with scene() as stage:
            first, second = spoken("item_1", pcm(0, 3)), spoken("item_3", pcm(12, 14))
            answer = await stage.ask(first)
            middle = said("item_2", answer.transcript)
            await stage.ask(first, middle, second)
            new = typed("item_9", "one apple")
            items = (second, new) if change == "deleted" else (new, first, middle, second)
            stage.counts.clear()
            after = await stage.ask(*items)
            assert stage.counts.encoded == []
            fresh = await _alone(stage, *items)
            assert (after.transcript, after.pcm) == (fresh.transcript, fresh.pcm)

    asyncio.run(run())


async def _alone(stage: Scene, *items: Item) -> Answer:
    """What a session that knows nothing answers."""
    probe = Probe(stage.engine)
    answer = await probe.answer(Generate(response_id="resp_1", items=items))
    probe.session.close()
    return answer


def test_an_answer_beside_the_conversation_does_not_cost_it_its_cache():
    async def run() -> None:
        async with scene() as stage:
            question = spoken("item_1", pcm(0, 9))
            answer = await stage.ask(question, instructions=INSTRUCTIONS)
            await stage.ask(typed("input_0", "one apple"), modalities=("text",))
            stage.counts.clear()
            items = (question, said("item_2", answer.transcript), typed("item_3", "hello"))
            await stage.ask(*items, instructions=INSTRUCTIONS)
            assert stage.counts.encoded == []
            assert stage.counts.thought[0] < 20

    asyncio.run(run())


def test_a_telephone_is_heard_too():
    async def run() -> None:
        async with scene() as stage:
            encoder = Encoder("audio/pcmu")
            audio = encoder.feed(pcm(0, 2)) + encoder.flush()
            stage.probe.session.submit(Listen("item_1", audio[:4_000], PCMU))
            message = Message(id="item_1", role="user", content=(InputAudioPart(audio=audio, format=PCMU),))
            answer = await stage.ask(message)
            assert sum(stage.counts.encoded) == 200
            assert answer.pcm

    asyncio.run(run())


# --- stopping ---


def test_after_a_stop_there_is_no_further_step():
    async def run() -> None:
        async with scene() as stage:
            stage.probe.session.submit(Generate(response_id="resp_1", items=(typed("item_1", tiny.LONG),)))
            await stage.probe.until(lambda event: isinstance(event, OutputAudio))
            stage.probe.session.submit(StopGenerating("resp_1"))
            await asyncio.sleep(0)  # the generator is closed: from here on the job counts as cancelled
            stage.engine._thread.call(stage.counts.clear)
            await stage.heard()
            assert len(stage.counts.talked) <= 1
            assert len(stage.engine._thread._jobs) == 0

    asyncio.run(run())


# --- functions ---


def test_a_function_is_called_and_its_result_answered():
    async def run() -> None:
        async with scene() as stage:
            question = typed("item_1", "What is the weather in Oslo?")
            answer = await stage.ask(question, tools=(WEATHER,))
            [call] = [event for event in answer.events if isinstance(event, FunctionCallStarted)]
            pieces = [event.delta for event in answer.events if isinstance(event, FunctionCallArguments)]
            assert len(pieces) > 3
            assert json.loads("".join(pieces)) == {"city": "Oslo"}
            assert not answer.pcm
            assert not answer.transcript
            assert stage.counts.talked == []
            called = FunctionCall(id="item_2", call_id=call.call_id, name=call.name, arguments="".join(pieces))
            result = FunctionCallOutput(id="item_3", call_id=call.call_id, output="Sunny, 21 degrees.")
            stage.counts.clear()
            answer = await stage.ask(question, called, result, tools=(WEATHER,))
            assert answer.transcript == "It is sunny in Oslo."
            assert answer.pcm
            assert stage.counts.thought[0] < 50  # the call was in the cache, and only its result was read

    asyncio.run(run())


def test_a_function_that_the_client_wants_called_is_called():
    async def run() -> None:
        async with scene() as stage:
            answer = await stage.ask(
                typed("item_1", "What is the weather in Oslo?"),
                tools=(WEATHER,),
                tool_choice=FunctionChoice(name="get_weather"),
            )
            assert [event.name for event in answer.events if isinstance(event, FunctionCallStarted)] == ["get_weather"]
            pieces = [event.delta for event in answer.events if isinstance(event, FunctionCallArguments)]
            assert json.loads("".join(pieces)) == {"city": "Oslo"}
            assert not answer.pcm

    asyncio.run(run())


# --- failures and settings ---


def test_a_conversation_that_does_not_fit_fails_and_the_session_lives_on():
    async def run() -> None:
        async with scene() as stage:
            stage.engine._family.context_positions = 60
            answer = await stage.ask(typed("item_1", "word " * 200))
            assert isinstance(answer.end, GenerationFailed)
            assert answer.end.code == "context_length_exceeded"
            assert (await stage.ask(typed("item_2", "hello"))).transcript == "Hi."

    asyncio.run(run())


def test_without_speech_every_answer_is_text():
    async def run() -> None:
        engine = QwenOmni({**OPTIONS, "model": str(tiny.folder()), "speech": False})
        await engine.start()
        assert not engine.capabilities.speaks
        probe = Probe(engine)
        answer = await probe.answer(Generate(response_id="r", items=(typed("item_1", "one apple"),), modalities=("text",)))
        assert answer.text == "You have one apple."
        probe.session.close()
        await engine.close()

    asyncio.run(run())


def test_a_voice_that_the_model_has_is_used_and_another_one_is_the_default():
    async def run() -> None:
        async with scene(voice="Chelsie") as stage:
            assert stage.engine.capabilities.voices == ("ethan", "chelsie", "aiden")
            ask = typed("item_1", tiny.LONG)
            sounds = {voice: (await stage.ask(ask, voice=voice)).pcm for voice in ("Ethan", "chelsie", "alloy")}
            assert sounds["alloy"] == sounds["chelsie"] != sounds["Ethan"]

    asyncio.run(run())


def test_the_users_words_are_a_side_job_of_a_transcriber_that_the_operator_chose():
    async def run() -> None:
        async with scene(transcriber=f"{__name__}:Parrot", **{f"{__name__}:Parrot": {"word": "croak"}}) as stage:
            assert stage.engine.capabilities.transcribes
            audio = pcm(0, 2)
            stage.listen("item_1", audio, final=True)
            stage.probe.session.submit(Transcribe(item_id="item_1", audio=audio, format=PCM))
            done = await stage.probe.until(lambda event: isinstance(event, TranscriptDone))
            assert done.text == f"croak {len(audio)}"
            assert (await stage.ask(spoken("item_1", audio))).pcm

    asyncio.run(run())


class Parrot:
    """A transcriber that says how much it heard."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._word = options["word"]

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def recognize(self, hints: Any, on_delta: Any) -> "Parrot":
        self._bytes = 0
        return self

    def feed(self, audio: bytes, format: Any) -> None:
        self._bytes += len(audio)

    async def finish(self) -> Transcript:
        return Transcript(f"{self._word} {self._bytes}")

    def cancel(self) -> None: ...


def test_what_the_operator_got_wrong_is_one_line(tmp_path: Path):
    def start(**options: Any) -> None:
        asyncio.run(QwenOmni({**OPTIONS, **options}).start())

    with pytest.raises(SettingsError, match="unknown option 'voise'"):
        QwenOmni({"voise": "ethan"})
    with pytest.raises(SettingsError, match="No transcriber named 'nobody'"):
        QwenOmni({"transcriber": "nobody"})
    with pytest.raises(SettingsError, match="has no readable config"):
        start(model=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(SettingsError, match="holds a 'bert' model"):
        start(model=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_omni_moe"}')
    with pytest.raises(EngineError, match="cannot load"):
        start(model=str(tmp_path))
    with pytest.raises(SettingsError, match="PyTorch sees no GPU"):
        start(model=str(tiny.folder()), device="cuda")
    with pytest.raises(EngineError, match="is not started"):
        QwenOmni(OPTIONS).open(print)
