"""Marks: which words were heard when."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.speaker import SENTENCE, Speaker, Spoken
from tests.engines.voice_measures import loudness, seconds
from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Mark
from vivavoce.engines.speakable import Words

pytest.importorskip("espeakng_loader", reason="needs vivavoce[offline]")


def heard_until(spoken: Spoken, text: str, samples: int) -> str:
    """The words that truncation would keep."""
    return text[: max((mark.characters for mark in spoken.marks if mark.samples <= samples), default=0)]


TEXTS = {
    "plain": SENTENCE,
    "umlauts": "Größe und Übermaß: naïve cafés – “señor” Müller's, élève!",
    "other planes": "So 🙂 done 👨‍👩‍👧 and 𝒳 marks the spot 日本 here.",
    "numbers": "It costs 1,234 dollars and $5.50, at 3:30pm on 2024-05-01, 100% sure.",
    "markdown": "# Title\n\n- **bold** item with `snake_case_name`\n- [a link](https://example.com/x) here\n\n| a | b |",
    "code": "```python\nprint(x != 3)\n```\nprints a -> b.",
    "spaces": "  two   spaces\n\nand lines \t",
    "one word": "Hello",
    "no words": "…",
    "nothing to say": "🙂 **",
    "chinese": "今天天气很好。我们去公园吧！",
    "control characters": "a\0b\x07c \ufeffd",
    "surrogates": "lone \ud83d surrogate",
    "phonemes": "[[h@l'oU]] <speak>not SSML</speak> &amp;",
    "long": " ".join([SENTENCE] * 6),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_marks_grow_and_end_with_text_and_audio(speaker: Speaker, text: str) -> None:
    spoken = speaker.say(text)
    assert spoken.marks[-1] == Mark(len(text), len(spoken.pcm))
    for earlier, later in pairwise(spoken.marks):
        assert earlier.characters <= later.characters
        assert earlier.samples <= later.samples


@given(st.text(max_size=60), st.sampled_from([0.25, 1.0, 1.5]))
@settings(max_examples=60, deadline=None)
def test_any_text_has_sound_marks(speaker: Speaker, text: str, speed: float) -> None:
    spoken = speaker.say(text, speed=speed)
    assert spoken.marks[-1] == Mark(len(text), len(spoken.pcm))
    assert spoken.marks == sorted(spoken.marks, key=lambda mark: (mark.characters, mark.samples))
    assert all(0 <= mark.samples <= len(spoken.pcm) for mark in spoken.marks)
    words = Words(text)
    assert {mark.characters for mark in spoken.marks} <= {len(text), *(words.end(word) for word in range(len(words)))}


def test_marks_stand_at_the_ends_of_words(speaker: Speaker) -> None:
    text = "Größe zählt, *naïve* cafés auch."
    spoken = speaker.say(text)
    words = ["Größe", "Größe zählt,", "Größe zählt, *naïve*", "Größe zählt, *naïve* cafés", text, text]
    assert [text[: mark.characters] for mark in spoken.marks] == words


@pytest.mark.parametrize("speed", [0.25, 1.0, 1.5])
def test_a_mark_falls_into_the_pause_after_its_word(speaker: Speaker, speed: float) -> None:
    text = "One, two, three, four."
    spoken = speaker.say(text, speed=speed)
    assert [text[: mark.characters] for mark in spoken.marks[:3]] == ["One,", "One, two,", "One, two, three,"]
    span = round(0.06 / speed * SAMPLE_HZ)
    for mark in spoken.marks[:3]:
        pause = spoken.pcm[mark.samples - span : mark.samples - span // 3]
        word = spoken.pcm[mark.samples + span // 3 : mark.samples + 4 * span]
        assert loudness(pause) < 0.1 * loudness(word)


def test_barge_in_keeps_the_words_that_were_heard(speaker: Speaker) -> None:
    spoken = speaker.say(SENTENCE)
    assert heard_until(spoken, SENTENCE, 0) == ""
    half = heard_until(spoken, SENTENCE, len(spoken.pcm) // 2)
    assert half in ("Well, the weather in Paris is mild", "Well, the weather in Paris is mild today,")
    assert heard_until(spoken, SENTENCE, len(spoken.pcm)) == SENTENCE


def test_the_pause_after_a_text_suits_its_end(speaker: Speaker) -> None:
    def rest_seconds(text: str) -> float:
        pcm = speaker.say(text).pcm
        return (len(pcm) - int(np.flatnonzero(np.abs(pcm.astype(int)) > 60)[-1])) / SAMPLE_HZ

    assert rest_seconds("One moment") < 0.05
    assert 0.1 < rest_seconds("One moment,") < 0.18
    assert 0.18 < rest_seconds("One moment.") < 0.26


def test_pieces_are_not_heard(speaker: Speaker) -> None:
    """A long text is spoken in pieces that take turns with other sessions; it lasts as long as in one go."""
    text = " ".join([SENTENCE] * 3)
    pieces = seconds(speaker.say(text).pcm)
    alone = seconds(speaker.say(SENTENCE).pcm)
    assert pieces == pytest.approx(3 * alone + 2 * 0.1, rel=0.03), "0.3 s of espeak's own pause in place of our 0.2 s"
