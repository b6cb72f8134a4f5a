"""Tone directions: in prose, in tags, in tags that arrive in pieces."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivavoce.engines.directions import PROSE_CHARACTERS, read_directions
from vivavoce.engines.manners import MANNERS, tag_literals
from vivavoce.engines.tone import NEUTRAL, Span, TagReader, Tone, join, spans, tone_of

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "voices.md").read_text()

# --- prose ---

DIRECTIONS = """
whisper         | Speak in a whisper
whisper         | Whisper.
whisper         | Please whisper everything.
whisper         | You must always whisper.
whisper         | I want you to whisper.
whisper         | Use a whispering voice.
whisper         | Say this in a soft whisper: hello there
whisper         | Don't be afraid to whisper.
whisper         | Don't shout, whisper!
whisper, slow   | Speak slowly, in a whisper.
                | Don't whisper.
                | don’t whisper
                | Never whisper, shout or laugh.
                | Do not speak in a whisper.
                | Avoid whispering.
                | If the user asks you to whisper, whisper.
                | You can whisper with <whisper> tags.
                | You are Whisper, a transcription bot.
                | Use the whisper model for transcription.
                | Say exactly: "Please speak slowly and whisper."
excited         | You are an excited host
excited         | You are a friendly and enthusiastic guide.
excited         | Respond with enthusiasm.
excited         | Deliver everything with great excitement.
excited         | Talk as if you were excited, be excited
very excited    | Be extremely excited!
slightly excited | Be a little excited
                | You are not excited.
calm, slow      | talk slowly and calmly
calm, slow      | Speak calmly and slowly to the user.
calm            | Stay calm.
calm            | Answer in a calm tone.
calm            | Respond in a warm, calm, soothing voice.
calm            | You should remain calm at all times
calm            | When speaking, use a calm tone.
calm            | Speak calmly, and if the user is upset, whisper.
calm, fast      | Speak fast but stay calm
                | When the caller is angry, speak slowly.
                | The user needs a calm app.
deep            | deep voice
deep            | Speak with a deep male voice
deep            | in a deep, gravelly voice
deep            | Speak in a low pitch.
very deep       | You have a very deep voice
                | You know all about deep learning.
                | You are a deep learning voice assistant.
high            | Speak in a high-pitched voice.
                | Help high school students.
slow            | Can you speak slowly?
slow            | Could you please talk slower
slow            | Slow down.
slow            | Speak slowly, not loudly.
slow, deep      | Use a slow, deep voice
very slow       | Speak very slowly.
slightly slow   | Speak a bit slower.
slightly slow   | Please talk slightly more slowly
                | Never speak slowly or quietly.
                | Explain how to slowly lower the temperature.
                | Speak slowly when the user is confused.
                | Your name is Echo. You work at Slow Food Inc.
fast            | Speak quickly.
fast            | Talk at a fast pace.
very fast       | talk really fast
not so fast     | Don't talk so fast.
not so fast     | Don't speak too quickly
                | Don't speak fast.
                | Respond quickly.
                | Give quick answers.
                | You are a fast food ordering assistant.
                | You talk to fast food customers.
                | Talk about how to quickly fix a leak.
                | Read the quick brown fox.
sad             | Speak sadly.
sad             | Use a sad voice.
slightly sad    | Sound slightly sad
                | You help sad people.
                | Tell me a sad story.
angry           | Be angry
angry           | Answer in an angry voice.
                | You are an assistant for angry customers.
loud            | Speak loudly, please.
loud            | SHOUT EVERYTHING
loud            | Do not whisper but speak loudly
                | Say hello to the loud neighbour.
soft            | Talk quietly.
soft            | lower your voice
soft            | You are soft-spoken.
happy           | You are a cheerful assistant.
happy           | Use an upbeat tone.
flat            | Speak in a monotone.
flat            | Speak like a robot.
calm, deep      | Voice: calm, deep
calm            | **Tone**: Calm and composed.
slow            | - Pace: slow
fast            | Speed: high
loud            | Volume: high
soft            | Volume: low
deep            | Pitch: low
                | You are a helpful assistant.
"""


def described(instructions: str) -> str:
    """The manners found, as the tables here and on the page write them."""
    degrees = {1.5: "very ", 1.0: "", 0.5: "slightly ", -0.5: "not so "}
    found = {manner.name: degrees[degree] for manner, degree in read_directions(instructions).manners}
    return ", ".join(found[manner.name] + manner.name for manner in MANNERS if manner.name in found)


@pytest.mark.parametrize(("manner", "text"), re.findall(r"^(.*?) *\| (.*)$", DIRECTIONS, re.MULTILINE))
def test_directions_in_prose(manner: str, text: str) -> None:
    assert described(text) == manner


def test_directions_in_a_real_prompt() -> None:
    prompt = """You are a support agent for Acme Telecom.

# Personality and Tone
## Identity
You are a calm, warm veteran of the trade.
## Pacing
Speak at an unhurried pace, but speed up when the caller sounds impatient.
## Emotion
Never sound angry, even if the caller is.

# Rules
- If the caller wants a human, whisper to a colleague.
- When you look something up, say so: "One moment, I will speak quickly."
# Products
Fast 50 and Deep Sea are our tariffs.
"""
    assert described(prompt) == "calm, slow"
    assert tone_of(prompt).direction == (
        "You are a calm, warm veteran of the trade. "
        "Speak at an unhurried pace, but speed up when the caller sounds impatient. "
        "Never sound angry, even if the caller is."
    )


def test_a_tone_holds_the_numbers_of_its_manners() -> None:
    tone = tone_of("Speak in a whisper. Use a deep voice. Talk very slowly.")
    assert tone.whisper
    assert tone.pitch == pytest.approx(0.72)
    assert tone.pace == pytest.approx(0.95 * 0.75**1.5)
    assert tone_of("Don't talk so fast.").pace == pytest.approx(1.3**-0.5)


def test_directions_that_no_rule_knows_reach_synthesizers_that_follow_prose() -> None:
    tone = tone_of("You are Sam. Speak with a Scottish accent.\nIf asked, whisper. You sell shoes.")
    assert tone == Tone(direction="Speak with a Scottish accent.")


def test_no_instructions_no_tone() -> None:
    assert tone_of("") == NEUTRAL
    assert tone_of("You are a helpful voice assistant.") == NEUTRAL


def test_all_manners_together_are_still_speech() -> None:
    tone = tone_of(". ".join(f"Speak in a very {manner.name} voice" for manner in MANNERS))
    assert 0.4 <= tone.pace <= 2
    assert 0.5 <= tone.pitch <= 2
    assert 0.1 <= tone.pitch_range <= 2.5
    assert 0.2 <= tone.volume <= 2


words = st.sampled_from(
    [
        *("you are", "a", "the", "calm", "very", "excited", "slow", "fast", "deep", "voice", "tone", "speak", "whisper"),
        *("never", "don't", "not", "so", "if", "when", ",", ".", ";", ":", "and", "be", "—", "\n", '"', "*"),
    ]
)


@given(st.lists(words, max_size=60).map(" ".join) | st.text(max_size=200))
def test_any_instructions_can_be_read(instructions: str) -> None:
    tone = tone_of(instructions)
    assert not tone.laugh
    assert len(tone.direction) <= PROSE_CHARACTERS


# --- tags ---


def manner(name: str) -> Tone:
    return spans(f"<{name}>x", NEUTRAL)[0].tone


def shown(text: str) -> str:
    """The spans in one line: `text{manner}`, a laugh as `{laugh}`."""
    names = {manner(each.name): each.name for each in MANNERS if not each.sounds and not each.silent}
    shown = []
    for span in spans(text, NEUTRAL):
        if span.tone.laugh:
            shown.append("{laugh}")
        else:
            name = names.get(span.tone, "?")
            shown.append(span.text + ("" if span.tone == NEUTRAL else "{" + name + "}"))
    return "|".join(shown)


TAGS = [
    # closed, unclosed, nested, stray
    ("Hear this: <whisper>come closer</whisper> now.", "Hear this:| come closer{whisper}| now."),
    ("<excited>Yes!</excited>", "Yes!{excited}"),
    ("<EXCITED>Yes!</Excited> No.", "Yes!{excited}| No."),
    ("<whisper>to the end", "to the end{whisper}"),
    ("back </whisper>again", "back again"),
    ("<whisper>a <normal>b</normal> c</whisper> d", "a{whisper}| b| c{whisper}| d"),
    ("<sad>a</slow> b", "a b{sad}"),
    ("<whispering>a</whisper> b", "a{whisper}| b"),
    ("<calm><calm>a</calm> b", "a{?}| b{calm}"),
    ("secret<whisper>psst</whisper>!", "secret|psst{whisper}|!"),
    # sounds
    ("That is <laugh> funny.", "That is|{laugh}| funny."),
    ("Ha! <laugh/>Funny.", "Ha!|{laugh}| Funny."),
    ("<laugh>Stop it</laugh> now", "{laugh}|Stop it now"),
    ("So funny (laughs).", "So funny|{laugh}|."),
    ("*chuckles* Well.", "{laugh}|Well."),
    ("[laughs] [laughs] Oh.", "{laugh}|{laugh}|Oh."),
    # stage directions
    ("[whispers] Come here. Now.", "Come here. Now.{whisper}"),
    ("(whispering) Come.\nAnd loud again.", "Come.{whisper}|\nAnd loud again."),
    ("*whispers* One. [excitedly] Two.", "One.{whisper}| Two.{excited}"),
    ("[whispers]\nOn the next line.\nOver.", "On the next line.{whisper}|\nOver."),
    ("[whispers] a [/whispers] b", "a{whisper}| b"),
    ("Well (sighs), all right.", "Well, all right."),
    ("[clears throat] Ladies and gentlemen", "Ladies and gentlemen"),
    # not ours
    ("a < b and c > d", "a < b and c > d"),
    ("<html><b>bold</b></html>", "<html><b>bold</b></html>"),
    ("List<int> and List<Calm>s", "List<int> and List|s{calm}"),
    ("**bold** and *slow* and (slow) and [high]", "**bold** and *slow* and (slow) and [high]"),
    ("`<whisper>` whispers", "`<whisper>` whispers"),
    ("f(laughs) x[calm] 2*laughs*3", "f(laughs) x[calm] 2*laughs*3"),
    ("<whisper", "<whisper"),
    ("<whisper kind", "<whisper kind"),
    ("(laughs out loud)", "(laughs out loud)"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), TAGS)
def test_tags(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_tags_come_on_top_of_the_sessions_tone() -> None:
    base = tone_of("Speak slowly.")
    whispered, after = spans("<whisper>a</whisper> b", base)
    assert whispered.tone.whisper
    assert whispered.tone.pace == pytest.approx(0.75 * 0.95)
    assert whispered.tone.direction == "Speak slowly. Whisper."
    assert after.tone == base
    assert spans("<normal>a", base) == [Span("a", NEUTRAL)]


def test_every_tag_is_taken_out() -> None:
    for literal in tag_literals():
        assert "".join(span.text for span in spans(f"before {literal} after", NEUTRAL)) == "before after", literal


pieces = st.lists(
    st.sampled_from(
        [*list(tag_literals())[::7], "<whis", "per>", " ", "\n", "\n\n", "a", "word", ".", ",", "<", "[", "(", "*", "`", ">"]
    )
    | st.text(max_size=4),
    max_size=12,
)


@given(pieces.map("".join), st.lists(st.integers(0, 80), max_size=10))
@example("a<whisper>(laughs) b", [10])
@example("`<laugh> ", [1])
def test_cutting_changes_nothing(text: str, cuts: list[int]) -> None:
    reader = TagReader(NEUTRAL)
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    read = [span for start, end in pairwise(ends) for span in reader.feed(text[start:end])]
    assert join([*read, *reader.flush()]) == spans(text, NEUTRAL)


@given(pieces.map("".join))
def test_letter_by_letter(text: str) -> None:
    reader = TagReader(NEUTRAL)
    read = [span for letter in text for span in reader.feed(letter)]
    assert join([*read, *reader.flush()]) == spans(text, NEUTRAL)


@given(st.text())
def test_plain_text_passes_unchanged(text: str) -> None:
    if not any(literal in text.lower() for literal in tag_literals()):
        assert spans(text, NEUTRAL) == ([Span(text, NEUTRAL)] if text else [])


@given(pieces.map("".join))
def test_a_span_is_words_or_a_laugh(text: str) -> None:
    for span in spans(text, NEUTRAL):
        assert bool(span.text) != span.tone.laugh


def test_plain_text_is_not_held_back() -> None:
    reader = TagReader(NEUTRAL)
    for delta in ("Hello", " there", ", my", " <", "b> friend"):
        reader.feed(delta)
    assert [reader.feed(delta) for delta in ("Well", ".")] == [[Span("Well", NEUTRAL)], [Span(".", NEUTRAL)]]
    assert reader.feed(" <whis") == []
    assert reader.feed("pers in the wind") == [Span(" <whispers in the wind", NEUTRAL)]


# --- the page about it ---


def heard_as(name: str) -> str:
    row = next(each for each in MANNERS if each.name == name)
    if row.sounds:
        return "a laugh, at this place"
    if row.resets:
        return "the voice's own manner again"
    if row.silent:
        return "left out: no voice here can act it"
    numbers = {"pace": row.pace, "pitch": row.pitch, "melody": row.pitch_range, "volume": row.volume}
    parts = ["no voice, only breath"] if row.whisper else []
    return ", ".join(parts + [f"{word} × {number:g}" for word, number in numbers.items() if number != 1])


def test_the_page_shows_the_manners() -> None:
    rows = []
    for each in MANNERS:
        acts = f" `[{each.acts[0]}]` `({each.acts[0]})`" if each.acts else ""
        rows.append(f"| `<{each.name}>`{acts} | {heard_as(each.name)} |")
    assert "\n".join(["| write | heard as |", "|---|---|", *rows, ""]) in PAGE


def test_the_examples_on_the_page_are_true() -> None:
    table = PAGE.split("| instructions | manner |\n|---|---|\n")[1].split("\n\n")[0]
    examples = re.findall(r"^\| (.*) \| (.*?) ?\|$", table, re.MULTILINE)
    assert len(examples) == 13
    for text, expected in examples:
        assert described(text) == expected, text
