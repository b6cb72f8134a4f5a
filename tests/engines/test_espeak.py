"""The offline voice: what it says is measured, not believed."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from tests.engines.voice_measures import Pcm, brightness_hz, loudness, melody, periodicity, pitch_hz, seconds
from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Mark
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.espeak_library import EspeakLibrary, EspeakThread, Prosody, Word
from vivavoce.engines.espeak_voices import VOICES, language_of
from vivavoce.engines.parts import Utterance
from vivavoce.engines.speakable import Words
from vivavoce.engines.tone import NEUTRAL, Tone, spans, tone_of
from vivavoce.protocol.errors import EngineError, SettingsError

pytest.importorskip("espeakng_loader", reason="needs vivavoce[offline]")

SENTENCE = "Well, the weather in Paris is mild today, with some clouds in the afternoon."
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "voices.md"


class Spoken(Struct, frozen=True):
    pcm: Pcm
    marks: list[Mark]


class Speaker:
    """An `Espeak` that has started, for tests without `await`."""

    def __init__(self, runner: asyncio.Runner, **options: str) -> None:
        self.runner = runner
        self.espeak = Espeak(options)
        runner.run(self.espeak.start())

    def say(self, text: str, *, voice: str = "alloy", speed: float = 1.0, tone: Tone = NEUTRAL) -> Spoken:
        async def collect() -> Spoken:
            utterance = Utterance(text=text, voice=voice, speed=speed, tone=tone)
            speeches = [speech async for speech in self.espeak.speak(utterance)]
            pcm = np.frombuffer(b"".join(speech.pcm for speech in speeches), np.int16)
            return Spoken(pcm, [mark for speech in speeches for mark in speech.marks])

        return self.runner.run(collect())

    def close(self) -> None:
        self.runner.run(self.espeak.close())


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def speaker(runner: asyncio.Runner) -> Iterator[Speaker]:
    speaker = Speaker(runner)
    yield speaker
    speaker.close()


def in_manner(name: str) -> Tone:
    return spans(f"<{name}>x", NEUTRAL)[0].tone


def heard_until(spoken: Spoken, text: str, samples: int) -> str:
    """The words that truncation would keep."""
    return text[: max((mark.characters for mark in spoken.marks if mark.samples <= samples), default=0)]


# --- voices ---


def test_no_two_voices_sound_alike(speaker: Speaker) -> None:
    """A listener tells 6 % of pitch apart, or another accent and timbre."""
    takes = [(name, speaker.say(SENTENCE, voice=name).pcm) for name in VOICES]
    measures = [(name, np.log(pitch_hz(pcm)), np.log(brightness_hz(pcm))) for name, pcm in takes]
    for (one, pitch, colour), (other, other_pitch, other_colour) in combinations(measures, 2):
        assert abs(pitch - other_pitch) > 0.06 or abs(colour - other_colour) > 0.08, (one, other)

    pitches = sorted(np.exp(pitch) for _, pitch, _ in measures)
    assert pitches[0] < 85, "an old man"
    assert pitches[-1] > 225, "a girl"
    assert sum(pitch < 140 for pitch in pitches) == 5, "both sexes"

    levels = [loudness(pcm) for _, pcm in takes]
    assert max(levels) / min(levels) < 2, "none much louder than another"


def test_an_unknown_voice_gets_the_default(speaker: Speaker) -> None:
    default = speaker.say("Hello there.").pcm
    for name in ("nobody", "", "../../../etc/passwd", "en-us+f2/../x", "x" * 10_000, "a\0b", "voix é"):
        assert pitch_hz(speaker.say("Hello there.", voice=name).pcm) == pytest.approx(pitch_hz(default), rel=0.05)


def test_espeaks_own_voice_names_are_understood(speaker: Speaker) -> None:
    german, frenchwoman = speaker.say("Guten Tag.", voice="de"), speaker.say("Bonjour.", voice="fr+f2")
    assert pitch_hz(german.pcm) < 140 < pitch_hz(frenchwoman.pcm)


def test_a_language_of_the_operators(runner: asyncio.Runner, speaker: Speaker) -> None:
    """One library, two settings: they share it, and the second one closing takes nothing from the first."""
    german = Speaker(runner, language="de", voice="cedar")
    assert seconds(speaker.say("www").pcm) > 1.5 * seconds(german.say("www").pcm), "double-u is a long name for a letter"
    assert pitch_hz(german.say("Schönen guten Tag", voice="nobody").pcm) < 85, "the default voice is cedar"
    german.close()
    assert len(speaker.say("Still here.").pcm) > SAMPLE_HZ / 2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello, мир", "en-us"),
        ("Привет, world как дела", "ru"),
        ("今天天气很好", "cmn"),
        ("今日は天気がいい", "ja"),
        ("안녕하세요", "ko"),
        ("Καλημέρα", "el"),
        ("Où est l'été ?", "en-us"),
        ("12 €", "en-us"),
    ],
)
def test_the_script_chooses_the_language(text: str, language: str) -> None:
    assert language_of(text, "en-us") == language


def test_a_voice_for_another_script_reads_its_own() -> None:
    assert language_of("Добър ден", "bg") == "bg"


@pytest.mark.parametrize("options", [{"language": "klingonese"}, {"voice": "nobody"}, {"volume": "11"}])
def test_settings_that_name_nothing_are_errors_that_name_them(runner: asyncio.Runner, options: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        Speaker(runner, **options)


# --- speed and tone ---


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.75, 1.25, 1.5])
def test_speed_is_honoured(speaker: Speaker, speed: float) -> None:
    usual, changed = speaker.say(SENTENCE), speaker.say(SENTENCE, speed=speed)
    assert seconds(usual.pcm) / seconds(changed.pcm) == pytest.approx(speed, rel=0.1)
    assert pitch_hz(changed.pcm) == pytest.approx(pitch_hz(usual.pcm), rel=0.08), "speed is not pitch"
    assert changed.marks[-1] == Mark(len(SENTENCE), len(changed.pcm))


Difference = Callable[[Pcm, Pcm], bool]

AUDIBLE: dict[str, Difference] = {
    "whisper": lambda it, usual: periodicity(it) < 0.4 < 0.7 < periodicity(usual),
    "excited": lambda it, usual: pitch_hz(it) > 1.15 * pitch_hz(usual) and seconds(it) < 0.93 * seconds(usual),
    "happy": lambda it, usual: pitch_hz(it) > 1.06 * pitch_hz(usual) and melody(it) > melody(usual),
    "calm": lambda it, usual: seconds(it) > 1.07 * seconds(usual) and melody(it) < 0.96 * melody(usual),
    "slow": lambda it, usual: seconds(it) > 1.25 * seconds(usual),
    "fast": lambda it, usual: seconds(it) < 0.8 * seconds(usual),
    "deep": lambda it, usual: pitch_hz(it) < 0.85 * pitch_hz(usual),
    "high": lambda it, usual: pitch_hz(it) > 1.2 * pitch_hz(usual),
    "sad": lambda it, usual: pitch_hz(it) < 0.95 * pitch_hz(usual) and seconds(it) > 1.12 * seconds(usual),
    "angry": lambda it, usual: loudness(it) > 1.3 * loudness(usual) and seconds(it) < 0.95 * seconds(usual),
    "loud": lambda it, usual: loudness(it) > 1.35 * loudness(usual),
    "soft": lambda it, usual: loudness(it) < 0.65 * loudness(usual),
    "flat": lambda it, usual: melody(it) < 1.12 < 1.2 < melody(usual),
}


@pytest.mark.parametrize("voice", ["alloy", "ash", "marin"])
@pytest.mark.parametrize("manner", AUDIBLE)
def test_every_manner_is_audible(speaker: Speaker, manner: str, voice: str) -> None:
    usual = speaker.say(SENTENCE, voice=voice).pcm
    toned = speaker.say(SENTENCE, voice=voice, tone=in_manner(manner)).pcm
    assert AUDIBLE[manner](toned, usual)


def test_instructions_are_audible(speaker: Speaker) -> None:
    usual = speaker.say(SENTENCE).pcm
    toned = speaker.say(SENTENCE, tone=tone_of("You are a narrator. Speak very slowly, in a deep voice.")).pcm
    assert seconds(toned) > 1.4 * seconds(usual)
    assert pitch_hz(toned) < 0.85 * pitch_hz(usual)


def test_a_laugh_is_heard_and_not_written(speaker: Speaker) -> None:
    usual, laughing = speaker.say("That is funny."), speaker.say("That is funny.", tone=Tone(laugh=True))
    longer = len(laughing.pcm) - len(usual.pcm)
    assert 0.5 < longer / SAMPLE_HZ < 1.5
    assert [mark.characters for mark in laughing.marks] == [mark.characters for mark in usual.marks]
    assert laughing.marks[0].samples - usual.marks[0].samples == pytest.approx(longer, abs=SAMPLE_HZ // 50)
    assert pitch_hz(laughing.pcm[:longer]) > 1.2 * pitch_hz(usual.pcm)


def test_a_laugh_alone(speaker: Speaker) -> None:
    spoken = speaker.say("", tone=Tone(laugh=True))
    assert seconds(spoken.pcm) > 0.5
    assert spoken.marks == [Mark(0, len(spoken.pcm))]


# --- marks ---


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


# --- threads ---


def test_a_long_utterance_lets_others_speak_first(speaker: Speaker) -> None:
    long_text = " ".join([SENTENCE] * 40)

    async def both() -> tuple[int, int]:
        heard, total = 0, 0
        long = aiter(speaker.espeak.speak(Utterance(text=long_text)))
        await anext(long)

        async def read_long() -> None:
            nonlocal total
            async for speech in long:
                total += len(speech.pcm)

        reading = asyncio.create_task(read_long())
        async for _ in speaker.espeak.speak(Utterance(text="Sure, one moment.")):
            pass
        heard = total
        await reading
        return heard, total

    heard, total = speaker.runner.run(both())
    assert heard < total / 4


def test_closing_the_iterator_stops_the_synthesis(speaker: Speaker) -> None:
    async def speak_and_close() -> None:
        speeches = speaker.espeak.speak(Utterance(text=" ".join([SENTENCE] * 200)))
        first = await anext(speeches)
        assert 0 < len(first.pcm) < SAMPLE_HZ
        await speeches.aclose()

    speaker.runner.run(speak_and_close())
    assert seconds(speaker.say("Next.").pcm) < 1.5


def test_a_cancelled_task_stops_the_synthesis(speaker: Speaker) -> None:
    async def cancel() -> None:
        async def read() -> None:
            async for _ in speaker.espeak.speak(Utterance(text=" ".join([SENTENCE] * 200))):
                pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    speaker.runner.run(cancel())
    assert seconds(speaker.say("Next.").pcm) < 1.5


def test_many_sessions_at_once_each_hear_their_own(speaker: Speaker) -> None:
    async def one(number: int) -> float:
        voice = ("cedar", "shimmer")[number % 2]
        pcm = b"".join([speech.pcm async for speech in speaker.espeak.speak(Utterance(text=SENTENCE, voice=voice))])
        return pitch_hz(np.frombuffer(pcm, np.int16))

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(one(number) for number in range(12)))

    pitches = speaker.runner.run(all_of_them())
    assert max(pitches[0::2]) < 90
    assert min(pitches[1::2]) > 200


def in_thread(work: Callable[[EspeakLibrary], None]) -> None:
    """Run `work` where the library may be called, and raise what it raises."""
    outcome: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def run() -> None:
        thread = await asyncio.to_thread(EspeakThread.acquire)
        loop = asyncio.get_running_loop()

        def job(library: EspeakLibrary) -> None:
            try:
                work(library)
                error = None
            except BaseException as raised:
                error = raised
            loop.call_soon_threadsafe(outcome.put_nowait, error)

        thread.submit(job, urgent=True)
        error = await outcome.get()
        await asyncio.to_thread(thread.release)
        if error:
            raise error

    asyncio.run(run())


def test_the_library_stops_at_once_when_told_to() -> None:
    heard: list[int] = []

    def stop(pcm: Pcm, words: list[Word]) -> bool:
        heard.append(len(pcm))
        return True

    for wpm in (175.0, 40.0):
        heard.clear()
        prosody = Prosody(voice="en-us", words_per_minute=wpm)
        in_thread(lambda library, prosody=prosody: library.synthesize(SENTENCE, prosody, stop, end_pause=False))
        assert len(heard) == 1, wpm


def test_an_error_in_the_callback_comes_back_out() -> None:
    def fail(pcm: Pcm, words: list[Word]) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_thread(lambda library: library.synthesize(SENTENCE, Prosody(voice="en-us"), fail, end_pause=False))


def test_a_voice_that_espeak_lacks_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="klingonese"):
        in_thread(lambda library: library.synthesize("Hi", Prosody(voice="klingonese"), lambda *_: False, end_pause=False))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(EngineError, match=r"vivavoce\[offline\]"):
        EspeakLibrary()


def test_speaking_before_the_start_is_an_engine_error() -> None:
    async def speak() -> None:
        async for _ in Espeak().speak(Utterance(text="Hello")):
            pass

    with pytest.raises(EngineError, match="not started"):
        asyncio.run(speak())


def test_it_can_be_started_again_after_it_was_closed() -> None:
    """In a process of its own: the last `close` frees the library."""
    script = """
import asyncio, sys, threading
from vivavoce.engines.espeak import Espeak
from vivavoce.engines.parts import Utterance
assert "espeakng_loader" not in sys.modules, "the base must not need the extra"
async def once():
    espeak = Espeak({})
    await espeak.start()
    samples = sum([len(speech.pcm) // 2 async for speech in espeak.speak(Utterance(text="Hello there."))])
    await espeak.close()
    return samples
lengths = [asyncio.run(once()) for _ in range(3)]
assert all(12_000 < length < 36_000 for length in lengths), lengths
assert "espeak-ng" not in [thread.name for thread in threading.enumerate()]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# --- the page about it ---


def test_the_page_shows_the_voices() -> None:
    rows = [f"| `{name}` | {voice.description} | `{voice.english}+{voice.variant}` |" for name, voice in VOICES.items()]
    assert "\n".join(["| voice | sounds like | espeak-ng |", "|---|---|---|", *rows]) in PAGE.read_text()


def test_the_tone_of_an_utterance_does_not_outlive_it(speaker: Speaker) -> None:
    before = speaker.say(SENTENCE).pcm
    speaker.say(SENTENCE, speed=1.5, tone=replace(in_manner("excited"), whisper=True))
    after = speaker.say(SENTENCE).pcm
    assert seconds(after) == pytest.approx(seconds(before), rel=0.01)
    assert pitch_hz(after) == pytest.approx(pitch_hz(before), rel=0.03)
