"""The Qwen-Omni engine over a conversation: what is heard ahead, what is kept, what is never done twice."""

import pytest

from tests.engines.probe import Probe
from tests.engines.qwen3_scenes import INSTRUCTIONS, Scene, alone, pcm, said, spoken, stage, typed
from vivavoce.audio import Encoder
from vivavoce.engine_api import (
    Generate,
    Listen,
    StopListening,
)
from vivavoce.protocol.objects import (
    PCMU,
    InputAudioPart,
    Item,
    Message,
)

__all__ = ["stage"]


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
        fresh = await alone(scene, *items, spoken("item_3", audio), instructions=INSTRUCTIONS)
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
        fresh = await alone(scene, question, said("item_2", cut), more)
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
        fresh = await alone(scene, *items)
        assert (after.transcript, after.pcm) == (fresh.transcript, fresh.pcm)

    stage.play(act)


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
