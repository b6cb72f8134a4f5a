"""The Qwen-Omni engine: stopping, functions, failures, what the operator chooses."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.engines.probe import WEATHER, Probe, in_use
from tests.engines.qwen3_scenes import OPTIONS, Scene, pcm, stage, typed
from tests.engines.tiny_models import qwen3_omni as tiny
from vivavoce.engine_api import (
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationFailed,
    Listen,
    OutputAudio,
    StopGenerating,
    Transcribe,
    TranscriptDone,
)
from vivavoce.engines.parts import Transcript
from vivavoce.engines.qwen_omni.engine import QwenOmni
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import (
    PCM,
    FunctionCall,
    FunctionCallOutput,
    FunctionChoice,
)

__all__ = ["stage"]


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

        def failing(states):
            fail()
            return before_attention(states)

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
        async with in_use(QwenOmni({**OPTIONS, "model": str(tiny.folder()), "speech": False})) as engine:
            assert not engine.capabilities.speaks
            answer = await Probe(engine).ask(typed("item_1", "one apple"), modalities=("text",))
            assert answer.text == "You have one apple."

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
