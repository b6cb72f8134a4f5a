"""A cascade that answers before the turn is over: each turn is recognised once, whatever becomes of the draft."""

import asyncio

import pytest

from tests.engines.cascade_scene import Scene, play
from tests.engines.fakes import FakeChatModel, FakeSynthesizer, FakeTranscriber, speech
from tests.engines.probe import settle
from vivavoce.engine_api import (
    GenerationFailed,
    Listen,
    StopGenerating,
    StopListening,
    WordsHeard,
)
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.pocketsphinx import Pocketsphinx
from vivavoce.protocol.objects import PCM
from vivavoce.registry import Ensemble

SILENCE = " " * 12
"""What the fake transcriber would hear as so many spaces, if it were asked."""


def test_a_cascade_drafts_also_beside_other_parts() -> None:
    cascade = Cascade.of(FakeTranscriber(), FakeChatModel(), FakeSynthesizer())
    assert cascade.capabilities.drafts
    assert Ensemble(cascade).capabilities.drafts


def test_unless_its_transcriber_had_better_not_hear_a_turn_twice() -> None:
    class Slow(FakeTranscriber):
        drafts = False

    assert not Cascade.of(Slow(), FakeChatModel(), FakeSynthesizer()).capabilities.drafts
    assert not Pocketsphinx.drafts


def test_a_turn_that_was_drafted_is_recognised_once_for_everybody() -> None:
    async def scene(s: Scene) -> None:
        s.listen("what time ")
        s.listen("is it")
        s.generate("draft", "what time is it")
        await s.done("draft")
        s.listen(SILENCE)
        s.listen(SILENCE, final=True)
        whole = "what time is it" + 2 * SILENCE
        assert (await s.transcript(words=whole)).text == "what time is it"
        s.generate("later", whole)
        await s.done("later")
        assert s.recognised == ["what time is it"]

    play(scene)


def test_the_silence_may_come_before_the_draft_has_begun_its_work() -> None:
    async def scene(s: Scene) -> None:
        s.listen("what time is it")
        s.generate("draft", "what time is it")
        s.listen(SILENCE)  # in the same turn of the loop
        await s.done("draft")
        s.listen(SILENCE, final=True)
        assert (await s.transcript(words="what time is it" + 2 * SILENCE)).text.rstrip() == "what time is it"
        assert len(s.recognised) == 1

    play(scene)


def test_a_turn_end_model_may_cut_the_silence_shorter_than_it_was_listened_to() -> None:
    async def scene(s: Scene) -> None:
        s.listen("what time is it")
        s.generate("draft", "what time is it")
        await s.done("draft")
        s.listen(3 * SILENCE)
        s.listen("", final=True)
        assert (await s.transcript(words="what time is it" + SILENCE)).text == "what time is it"
        assert len(s.recognised) == 1

    play(scene)


@pytest.mark.parametrize("drafted_first", [True, False], ids=["after it was recognised", "while it is"])
def test_a_speaker_who_goes_on_is_heard_from_the_beginning(drafted_first: bool) -> None:
    async def scene(s: Scene) -> None:
        before = asyncio.all_tasks()
        s.listen("open the door")
        s.generate("draft", "open the door")
        if drafted_first:
            await s.done("draft")
        else:
            await asyncio.sleep(0)
        s.submit(StopGenerating("draft"))
        s.submit(StopListening("item_user"))
        s.listen("open the door please not")
        s.listen(SILENCE, final=True)
        s.generate("answer", "open the door please not" + SILENCE)
        await s.done("answer")
        assert s.recognised[-1].rstrip() == "open the door please not"
        assert len(s.recognised) == 1 + drafted_first
        await settle(before)

    play(scene)


def test_a_draft_that_could_not_hear_does_not_spoil_the_turn() -> None:
    """The recogniser's failure may have been its mood: what was committed is recognised anew, once."""

    async def scene(s: Scene) -> None:
        s.listen("BUG")
        s.generate("draft", "BUG")
        await s.probe.until(lambda event: isinstance(event, GenerationFailed))
        s.listen(SILENCE, final=True)
        for response_id in ("answer", "again"):
            s.generate(response_id, "BUG" + SILENCE)
            await s.probe.until(lambda event, wanted=response_id: getattr(event, "response_id", "") == wanted)
        assert [words.rstrip() for words in s.recognised] == ["BUG", "BUG"]

    play(scene)


def test_other_audio_under_the_same_id_is_other_audio() -> None:
    async def scene(s: Scene) -> None:
        s.listen("what time is it")
        s.generate("draft", "what time is it")
        await s.done("draft")
        s.listen(SILENCE, final=True)
        s.generate("other", "what did you say" + SILENCE)
        await s.done("other")
        assert s.recognised == ["what time is it", "what did you say" + SILENCE]

    play(scene)


def test_words_are_told_while_they_are_spoken_to_whoever_asked_for_that() -> None:
    async def scene(s: Scene) -> None:
        s.submit(Listen("item_quiet", speech("nobody asked "), PCM))
        for words in ("hold on ", "a mo", "ment "):
            s.submit(Listen("item_user", speech(words), PCM, words=True))
        await s.probe.until(lambda event: event == WordsHeard("item_user", "moment "))
        s.submit(Listen("item_user", b"", PCM, final=True))
        assert (await s.transcript(words="hold on a moment ")).text == "hold on a moment "
        heard = [event for event in s.probe.events if isinstance(event, WordsHeard)]
        assert "".join(event.text for event in heard) == "hold on a moment "
        assert {event.item_id for event in heard} == {"item_user"}

    play(scene)
