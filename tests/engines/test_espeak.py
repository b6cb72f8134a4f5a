"""The offline voice: what it sounds like is measured, not believed."""

import asyncio
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from tests.engines.speaker import SENTENCE, Speaker
from tests.engines.voice_measures import Pcm, brightness_hz, loudness, melody, periodicity, pitch_hz, seconds
from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Mark
from vivavoce.engines.espeak_voices import VOICES, language_of
from vivavoce.engines.tone import NEUTRAL, Tone, spans, tone_of
from vivavoce.protocol.errors import SettingsError

pytest.importorskip("espeakng_loader", reason="needs vivavoce[offline]")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "voices.md"


def in_manner(name: str) -> Tone:
    return spans(f"<{name}>x", NEUTRAL)[0].tone


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
