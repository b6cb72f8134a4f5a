"""The Qwen-Omni engine over a conversation: what is heard ahead, what is kept, what is never done twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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
    with pytest.MonkeyPatch.context() as patch:
        for one, made in ((parts.think_one, counts.thought), (parts.talk_one, counts.talked)):
            patch.setattr(one, "step", lambda *given, made=made, step=one.step: (made.append(1), step(*given))[1])
        yield counts
    for hook in hooks:
        hook.remove()


def _reads(counts: list[int]) -> Any:
    return lambda _, args, kwargs: counts.append(kwargs["inputs_embeds"].shape[1])


class Stage:
    """The engine that the scenes share, on one loop: loading it takes longer than a scene."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._engine = QwenOmni({**OPTIONS, "model": str(tiny.folder())})
        self._runner.run(self._engine.start())

    def play(self, act: Callable[[Scene], Awaitable[None]]) -> None:
        """A session of its own for each scene."""

        async def run() -> None:
            with counted(self._engine) as counts:
                scene = Scene(self._engine, counts)
                await act(scene)
                scene.probe.session.close()

        self._runner.run(run())

    def close(self) -> None:
        self._runner.run(self._engine.close())
        self._runner.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


# --- hearing ahead ---


def test_all_but_the_tail_is_encoded_and_read_before_the_turn_is_over(stage):
    async def act(scene: Scene) -> None:
        before = spoken("item_1", pcm(0, 2))
        first = await scene.ask(before, instructions=INSTRUCTIONS)
        items = (before, said("item_2", first.transcript))
        audio = pcm(20, 37.5)
        scene.counts.clear()
        scene.listen("item_3", audio)
        await scene.heard()
        assert scene.counts.encoded == [800, 800]
        assert sum(scene.counts.thought) > 208
        assert sum(scene.counts.talked) > 208
        scene.listen("item_3", b"", final=True)
        await scene.heard()
        scene.counts.clear()
        answer = await scene.ask(*items, spoken("item_3", audio), instructions=INSTRUCTIONS)
        assert scene.counts.encoded == [150]
        assert scene.counts.thought[0] < 30
        assert scene.counts.talked[0] < 40
        fresh = await _alone(scene, *items, spoken("item_3", audio), instructions=INSTRUCTIONS)
        assert (answer.transcript, answer.pcm) == (fresh.transcript, fresh.pcm)

    stage.play(act)


def test_a_turn_has_something_to_read_ahead_from_its_first_moment(stage):
    """Before a block of it is closed: how the last answer ended, and all of a new session's instructions."""

    async def act(scene: Scene) -> None:
        instructions = INSTRUCTIONS * 20
        await scene.ask(typed("item_1", "hello"), instructions=instructions)
        scene.probe.session.close()
        scene.probe = Probe(scene.engine)
        scene.counts.clear()
        scene.listen("item_1", pcm(0, 1))
        await scene.heard()
        assert scene.counts.encoded == []
        assert sum(scene.counts.thought) > len(instructions) // 4
        scene.counts.clear()
        await scene.ask(spoken("item_1", pcm(0, 1)), instructions=instructions)
        assert scene.counts.thought[0] < 30

    stage.play(act)


def test_a_first_turn_is_read_ahead_with_the_instructions_of_the_session_before(stage):
    async def act(scene: Scene) -> None:
        await scene.ask(spoken("item_1", pcm(0, 2)), instructions=INSTRUCTIONS)
        scene.probe.session.close()
        scene.probe = Probe(scene.engine)
        scene.counts.clear()
        audio = pcm(20, 29)
        scene.listen("item_1", audio)
        await scene.heard()
        assert scene.counts.encoded == [800]
        assert sum(scene.counts.thought) > 104
        scene.counts.clear()
        await scene.ask(spoken("item_1", audio), instructions=INSTRUCTIONS)
        assert scene.counts.encoded == [100]
        assert scene.counts.thought[0] < 30

    stage.play(act)


def test_nothing_is_encoded_of_a_turn_that_came_to_nothing_and_its_id_can_come_again(stage):
    async def act(scene: Scene) -> None:
        scene.listen("item_1", pcm(0, 9))
        scene.probe.session.submit(StopListening("item_1"))
        await scene.heard()
        scene.counts.clear()
        audio = pcm(30, 32)
        scene.listen("item_1", audio, final=True)
        answer = await scene.ask(spoken("item_1", audio))
        assert sum(scene.counts.encoded) == 200
        fresh = Probe(scene.engine)
        again = await fresh.answer(Generate(response_id="resp_1", items=(spoken("item_1", audio),)))
        fresh.session.close()
        assert again.pcm == answer.pcm

    stage.play(act)


def test_a_draft_becomes_the_answer_or_is_forgotten(stage):
    async def act(scene: Scene) -> None:
        assert scene.engine.capabilities.drafts
        audio, silence = pcm(20, 22), b"\0\0" * 12_000
        scene.listen("item_1", audio)
        draft = await scene.ask(spoken("item_1", audio))
        scene.counts.clear()
        # Silence makes the item longer: it is not heard again.
        scene.listen("item_1", silence, final=True)
        whole = spoken("item_1", audio + silence)
        await scene.ask(whole, said("item_2", draft.transcript), typed("item_3", "hello"))
        assert scene.counts.encoded == []
        # The speaker goes on: the turn is told anew, and heard anew.
        scene.listen("item_4", audio)
        await scene.ask(whole, said("item_2", draft.transcript), spoken("item_4", audio))
        scene.probe.session.submit(StopListening("item_4"))
        longer = audio + pcm(22, 24)
        scene.listen("item_4", longer, final=True)
        scene.counts.clear()
        answer = await scene.ask(whole, said("item_2", draft.transcript), spoken("item_4", longer))
        assert scene.counts.encoded == [400]
        assert answer.pcm

    stage.play(act)


# --- one conversation ---


def test_over_ten_turns_nothing_is_heard_twice_and_the_last_costs_what_the_second_did(stage):
    async def act(scene: Scene) -> None:
        items: list[Item] = []
        prefills, openings = [], []
        for turn in range(10):
            items.append(spoken(f"user_{turn}", pcm(turn, turn + 2)))
            scene.counts.clear()
            answer = await scene.ask(*items, instructions=INSTRUCTIONS)
            items.append(said(f"answer_{turn}", answer.transcript))
            assert sum(scene.counts.encoded) == 200
            prefills.append(scene.counts.thought[0])
            openings.append(scene.counts.talked[0])
        assert set(prefills[1:]) == {prefills[1]}
        assert set(openings) == {openings[0]}

    stage.play(act)


def test_a_cut_answer_keeps_the_cache_up_to_the_cut(stage):
    async def act(scene: Scene) -> None:
        question, more = spoken("item_1", pcm(0, 9)), typed("item_3", "hello")
        answer = await scene.ask(question)
        words = answer.transcript.split()
        cut = " ".join(words[: len(words) // 2])
        scene.counts.clear()
        after = await scene.ask(question, said("item_2", cut), more)
        assert scene.counts.encoded == []
        assert scene.counts.thought[0] < 20
        fresh = await _alone(scene, question, said("item_2", cut), more)
        assert (after.transcript, after.pcm) == (fresh.transcript, fresh.pcm)

    stage.play(act)


@pytest.mark.parametrize("change", ["deleted", "inserted"])
def test_after_a_deletion_or_an_insertion_the_model_reads_what_is_there(stage, change):
    async def act(scene: Scene) -> None:
        first, second = spoken("item_1", pcm(0, 3)), spoken("item_3", pcm(12, 14))
        answer = await scene.ask(first)
        middle = said("item_2", answer.transcript)
        await scene.ask(first, middle, second)
        new = typed("item_9", "one apple")
        items = (second, new) if change == "deleted" else (new, first, middle, second)
        scene.counts.clear()
        after = await scene.ask(*items)
        assert scene.counts.encoded == []
        fresh = await _alone(scene, *items)
        assert (after.transcript, after.pcm) == (fresh.transcript, fresh.pcm)

    stage.play(act)


async def _alone(scene: Scene, *items: Item, **fields: Any) -> Answer:
    """What a session that knows nothing answers."""
    probe = Probe(scene.engine)
    answer = await probe.answer(Generate(response_id="resp_1", items=items, **fields))
    probe.session.close()
    return answer


def test_an_answer_beside_the_conversation_does_not_cost_it_its_cache(stage):
    async def act(scene: Scene) -> None:
        question = spoken("item_1", pcm(0, 9))
        answer = await scene.ask(question, instructions=INSTRUCTIONS)
        await scene.ask(typed("input_0", "one apple"), modalities=("text",))
        scene.counts.clear()
        items = (question, said("item_2", answer.transcript), typed("item_3", "hello"))
        await scene.ask(*items, instructions=INSTRUCTIONS)
        assert scene.counts.encoded == []
        assert scene.counts.thought[0] < 20

    stage.play(act)


def test_a_telephone_is_heard_too(stage):
    async def act(scene: Scene) -> None:
        encoder = Encoder("audio/pcmu")
        audio = encoder.feed(pcm(0, 2)) + encoder.flush()
        scene.probe.session.submit(Listen("item_1", audio[:4_000], PCMU))
        message = Message(id="item_1", role="user", content=(InputAudioPart(audio=audio, format=PCMU),))
        answer = await scene.ask(message)
        assert sum(scene.counts.encoded) == 200
        assert answer.pcm

    stage.play(act)


# --- stopping ---


def test_after_a_stop_there_is_no_further_step(stage):
    async def act(scene: Scene) -> None:
        scene.probe.session.submit(Generate(response_id="resp_1", items=(typed("item_1", tiny.LONG),)))
        await scene.probe.until(lambda event: isinstance(event, OutputAudio))
        scene.probe.session.submit(StopGenerating("resp_1"))
        await asyncio.sleep(0)  # the generator is closed: from here on the job counts as cancelled
        scene.engine._thread.call(scene.counts.clear)
        await scene.heard()
        assert len(scene.counts.talked) <= 1
        assert len(scene.engine._thread._jobs) == 0

    stage.play(act)


# --- functions ---


def test_a_function_is_called_and_its_result_answered(stage):
    async def act(scene: Scene) -> None:
        question = typed("item_1", "What is the weather in Oslo?")
        answer = await scene.ask(question, tools=(WEATHER,))
        [call] = [event for event in answer.events if isinstance(event, FunctionCallStarted)]
        pieces = [event.delta for event in answer.events if isinstance(event, FunctionCallArguments)]
        assert len(pieces) > 3
        assert json.loads("".join(pieces)) == {"city": "Oslo"}
        assert not answer.pcm
        assert not answer.transcript
        assert scene.counts.talked == []
        called = FunctionCall(id="item_2", call_id=call.call_id, name=call.name, arguments="".join(pieces))
        result = FunctionCallOutput(id="item_3", call_id=call.call_id, output="Sunny, 21 degrees.")
        scene.counts.clear()
        answer = await scene.ask(question, called, result, tools=(WEATHER,))
        assert answer.transcript == "It is sunny in Oslo."
        assert answer.pcm
        assert scene.counts.thought[0] < 50  # the call was in the cache, and only its result was read

    stage.play(act)


def test_a_function_that_the_client_wants_called_is_called(stage):
    async def act(scene: Scene) -> None:
        answer = await scene.ask(
            typed("item_1", "What is the weather in Oslo?"),
            tools=(WEATHER,),
            tool_choice=FunctionChoice(name="get_weather"),
        )
        assert [event.name for event in answer.events if isinstance(event, FunctionCallStarted)] == ["get_weather"]
        pieces = [event.delta for event in answer.events if isinstance(event, FunctionCallArguments)]
        assert json.loads("".join(pieces)) == {"city": "Oslo"}
        assert not answer.pcm

    stage.play(act)


# --- failures and settings ---


def test_a_conversation_that_does_not_fit_fails_and_the_session_lives_on(stage, monkeypatch):
    async def act(scene: Scene) -> None:
        monkeypatch.setattr(scene.engine._family, "context_positions", 60)
        answer = await scene.ask(typed("item_1", "word " * 200))
        assert isinstance(answer.end, GenerationFailed)
        assert answer.end.code == "context_length_exceeded"
        assert (await scene.ask(typed("item_2", "hello"))).transcript == "Hi."

    stage.play(act)


@pytest.mark.parametrize("reads", [1, 4])
def test_what_breaks_in_the_middle_of_a_step_leaves_no_trace(stage, reads):
    """The prefill fails, or a step of the answer: half of the layers' caches have grown, and half have not."""

    async def act(scene: Scene) -> None:
        question = typed("item_1", "one apple")
        before = await scene.ask(question)
        left = reads

        def fail(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise RuntimeError("the device is on fire")

        parts = scene.engine._family._parts
        hook = parts.thinker.layers[1].register_forward_pre_hook(fail)
        first, (before_attention, *others), *rest = parts.think_one._layers
        failing = lambda states: (fail(), before_attention(states))[1]  # noqa: E731
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts.think_one, "_layers", [first, (failing, *others), *rest])
            answer = await scene.ask(question, typed("item_2", tiny.LONG))
        hook.remove()
        assert isinstance(answer.end, GenerationFailed)
        assert (answer.end.code, "fire" in answer.end.message) == ("server_error", False)
        after = await scene.ask(question)
        assert (after.transcript, after.pcm) == (before.transcript, before.pcm)

    stage.play(act)


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


def test_a_voice_that_the_model_has_is_used_and_another_one_is_the_default(stage):
    async def act(scene: Scene) -> None:
        assert scene.engine.capabilities.voices == ("ethan", "chelsie", "aiden")
        ask = typed("item_1", tiny.LONG)
        sounds = {voice: (await scene.ask(ask, voice=voice)).pcm for voice in ("Ethan", "chelsie", "alloy")}
        assert sounds["alloy"] == sounds["Ethan"] != sounds["chelsie"]

    stage.play(act)


def test_two_long_answers_are_made_at_once(stage):
    """Each is heard before the other is over, and neither waits for more than a step of the other."""

    async def act(scene: Scene) -> None:
        other = Probe(scene.engine)
        order: list[str] = []
        for name, probe in (("one", scene.probe), ("other", other)):
            emit = probe._take
            probe._take = lambda event, name=name, emit=emit: (order.append(name), emit(event))[1]
        ask = Generate(response_id="resp_1", items=(typed("item_1", tiny.LONG),))
        one, two = await asyncio.gather(scene.probe.answer(ask), other.answer(ask))
        other.session.close()
        assert one.pcm == two.pcm
        assert {"one", "other"} == set(order[-6:])
        assert {"one", "other"} == set(order[:6])

    stage.play(act)


def test_the_users_words_are_a_side_job_of_a_transcriber_that_the_operator_chose():
    async def run() -> None:
        parrot = f"{__name__}:Parrot"
        engine = QwenOmni({**OPTIONS, "model": str(tiny.folder()), "transcriber": parrot, parrot: {"word": "croak"}})
        await engine.start()
        assert engine.capabilities.transcribes
        probe = Probe(engine)
        audio = pcm(0, 2)
        probe.session.submit(Listen("item_1", audio[:9_600], PCM))
        probe.session.submit(Listen("item_1", audio[9_600:], PCM, final=True))
        probe.session.submit(Transcribe(item_id="item_1", audio=audio, format=PCM))
        done = await probe.until(lambda event: isinstance(event, TranscriptDone))
        assert done.text == f"croak {len(audio)}"
        probe.session.close()
        await engine.close()

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
