"""Which word is heard when, where the voice does not say."""

from itertools import pairwise

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Generate, GenerationDone, Mark, OutputAudio, OutputText, OutputTranscript
from vivavoce.engines.proportional_marks import CHARACTERS_PER_SECOND
from vivavoce.engines.spoken_answer import PIECE_BYTES, SpokenAnswer, SpokenItem

SPOKEN = Generate(response_id="resp_1")


def test_words_are_passed_on_at_once_and_space_only_before_words() -> None:
    item = SpokenItem()
    assert [item.say(text) for text in ("  Hel", "lo ", " ", "there. ", "\n")] == ["Hel", "lo", "", "  there.", ""]
    assert item.transcript == "Hello  there."


def test_the_sound_is_shared_out_over_the_words() -> None:
    item = SpokenItem()
    item.say("one two four")
    item.sound(12_000, now=0.0)
    assert item.end() == (Mark(3, 3_000), Mark(7, 7_000), Mark(12, 12_000))


def test_words_after_their_sound_get_marks_all_the_same() -> None:
    item = SpokenItem()
    item.sound(12_000, now=0.0)
    item.say("one two four")
    assert item.end()[-1] == Mark(12, 12_000)


def test_nobody_hears_faster_than_time_passes() -> None:
    """Three seconds of sound come at once: after one second, words of one second were heard."""
    item = SpokenItem()
    item.say("one two three four five six seven eight nine ten ")
    assert item.sound(3 * SAMPLE_HZ, now=10.0) == ()
    marks = item.sound(0, now=11.0)
    assert marks[-1].characters == len("one two three")
    assert marks[-1].samples <= SAMPLE_HZ
    assert marks[-1] == Mark(13, round(13 * SAMPLE_HZ / CHARACTERS_PER_SECOND))
    every = [*marks, *item.end()]
    assert every[-1] == Mark(48, 3 * SAMPLE_HZ)
    assert all(before.samples < after.samples for before, after in pairwise(every))


def test_the_last_word_may_still_grow() -> None:
    item = SpokenItem()
    item.say("one tw")
    assert [mark.characters for mark in item.sound(SAMPLE_HZ, now=0.0) + item.sound(0, now=5.0)] == [3]
    item.say("o")
    assert item.end() == (Mark(7, SAMPLE_HZ),)


def test_no_marks_without_words_or_without_sound() -> None:
    silent, wordless = SpokenItem(), SpokenItem()
    silent.say("Hello there.")
    wordless.sound(4_800, now=0.0)
    assert silent.end() == wordless.end() == ()


def test_words_after_a_call_are_a_new_item() -> None:
    answer = SpokenAnswer(SPOKEN)
    events = [
        *answer.words("Let me look."),
        *answer.sound(bytes(4_800), 0.0),
        *answer.call("call_1", "look"),
        *answer.words(" Found."),
        *answer.sound(bytes(2_400), 0.0),
        *answer.end("completed", None),
    ]
    marks = [event.marks for event in events if isinstance(event, OutputTranscript) and event.marks]
    assert [last[-1] for last in marks] == [Mark(12, 2_400), Mark(6, 1_200)]
    assert [event.text for event in events if isinstance(event, OutputTranscript) and event.text] == [
        "Let me look.",
        "Found.",
    ]
    assert events[-1] == GenerationDone("resp_1")


def test_a_written_answer_is_text_and_nothing_else() -> None:
    answer = SpokenAnswer(Generate(response_id="resp_1", modalities=("text",)))
    events = [*answer.words(" Hello "), *answer.sound(bytes(4_800), 0.0), *answer.end("content_filter", None)]
    assert events == [OutputText("resp_1", " Hello "), GenerationDone("resp_1", "content_filter")]


def test_minutes_of_sound_leave_second_by_second() -> None:
    sounds = [e for e in SpokenAnswer(SPOKEN).sound(bytes(PIECE_BYTES * 2 + 2), 0.0) if isinstance(e, OutputAudio)]
    assert [len(event.pcm) for event in sounds] == [PIECE_BYTES, PIECE_BYTES, 2]
