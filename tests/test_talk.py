"""`vivavoce talk`, whole, with a fake sound card: a server, a microphone, a loudspeaker, a keyboard."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.client.fake_sound import FakeSound
from tests.live import live
from vivavoce.audio import Samples
from vivavoce.cli import main
from vivavoce.client.recording import read_recording, resampled

AUDIO = (Path(__file__).parents[1] / "../shared/audio").resolve()
STORY = "This is a long story, and it takes its time, for it has nowhere to go and nobody to please."
SCRIPT = {"turns": [{"say": STORY}, {"say": "Now I am short."}]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live(engines={"scripted": {"script": SCRIPT}}) as url:
        yield url


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("VIVAVOCE_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture
def talk(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run the command on a sound card until its blocks end; Ctrl-C ends it. What it printed, by lines."""

    def run(sound: FakeSound, *arguments: str, keyboard: io.TextIOBase | None = None) -> list[str]:
        monkeypatch.setitem(sys.modules, "sounddevice", sound)
        if keyboard is not None:
            monkeypatch.setattr(sys, "stdin", keyboard)
        sound.on_end = lambda: os.kill(os.getpid(), signal.SIGINT)
        assert main(["talk", "--url", url, *arguments]) == 0
        assert [(stream.runs, stream.closed) for stream in sound.streams] == [(False, True)] * 2
        return capsys.readouterr().out.splitlines()

    return run


def voice(name: str, rate_hz: int = 24_000) -> Samples:
    samples = read_recording(str(AUDIO / name)).samples
    return np.rint(resampled(samples.astype(float), 24_000, rate_hz)).astype(np.int16)


def sounding_seconds(sound: FakeSound) -> float:
    """From the first sound to the last."""
    where = np.flatnonzero(sound.sound)
    return float(where[-1] - where[0]) / sound.rates_hz["output"] if where.size else 0.0


def is_quiet(sound: FakeSound, seconds: float = 0.4) -> bool:
    return not sound.sound[-int(seconds * sound.rates_hz["output"]) :].any()


def test_a_question_and_an_answer(talk: Callable[..., list[str]]) -> None:
    sound = FakeSound()

    def scene() -> Iterator[Samples]:
        yield from sound.says(voice("cards-001.wav"))
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > 3 and is_quiet(sound))

    sound.blocks = scene()
    lines = talk(sound)
    assert lines[1] == "ready      speak"
    assert lines[2].startswith("you        (1.")
    assert lines[3] == f"answer     {STORY}"
    assert re.fullmatch(r" +\(first sound after \d+ ms\)", lines[4])
    assert sounding_seconds(sound) == pytest.approx(0.06 * len(STORY), rel=0.1)


@pytest.mark.parametrize(("input_hz", "output_hz"), [(24_000, 24_000), (44_100, 48_000), (16_000, 16_000)])
def test_speaking_over_the_answer_stops_it_at_once(talk: Callable[..., list[str]], input_hz: int, output_hz: int) -> None:
    sound = FakeSound(input_hz, output_hz)
    at_barge_in: list[float] = []

    def scene() -> Iterator[Samples]:
        yield from sound.says(voice("cards-001.wav", input_hz))
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > 1)
        yield from sound.says(voice("hello-world.wav", input_hz))
        at_barge_in.append(sounding_seconds(sound))
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > at_barge_in[0] + 0.5 and is_quiet(sound))

    sound.blocks = scene()
    lines = talk(sound)
    [cut] = [line for line in lines if line.startswith("cut")]
    heard = float(cut.split()[-2])
    assert 1 < heard < 0.06 * len(STORY)
    assert lines[-2] == "answer     Now I am short."
    # The loudspeaker fell silent after just so much of the first answer, until the second began.
    where = np.flatnonzero(sound.sound)
    pause = int(np.argmax(np.diff(where)))
    assert (where[pause] - where[0]) / output_hz == pytest.approx(heard, abs=0.08)


def test_half_duplex_does_not_hear_itself(talk: Callable[..., list[str]]) -> None:
    sound = FakeSound()

    def scene() -> Iterator[Samples]:
        yield from sound.says(voice("cards-001.wav"))
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > 1)
        yield from sound.says(voice("hello-world.wav"))
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > 3 and is_quiet(sound))

    sound.blocks = scene()
    lines = talk(sound, "--half-duplex")
    assert not [line for line in lines if line.startswith("cut")]
    assert len([line for line in lines if line.startswith("you")]) == 1


class Keyboard(io.TextIOBase):
    """Lines that are typed when their time has come."""

    def __init__(self, *lines: tuple[Callable[[], bool], str]) -> None:
        self._lines = iter(lines)
        self.typed = 0

    def isatty(self) -> bool:
        return True

    def readline(self, size: int = -1) -> str:
        import time

        for holds, line in self._lines:
            while not holds():
                time.sleep(0.01)
            self.typed += 1
            return line + "\n"
        return ""


def test_a_typed_line_is_a_message(talk: Callable[..., list[str]]) -> None:
    sound = FakeSound()
    keyboard = Keyboard(
        (lambda: len(sound.played) > 4800, "Tell me a story"), (lambda: sounding_seconds(sound) > 0.5, "Stop")
    )

    def scene() -> Iterator[Samples]:
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > 1 and is_quiet(sound))

    sound.blocks = scene()
    lines = talk(sound, keyboard=keyboard)
    assert [line[:11].strip() for line in lines if line[0] != " "] == ["server", "ready", "answer", "cut", "answer"]
    assert lines[-2] == "answer     Now I am short."


def test_push_to_talk_by_the_enter_key(talk: Callable[..., list[str]]) -> None:
    sound = FakeSound()
    spoken: list[bool] = []
    keyboard = Keyboard((lambda: len(sound.played) > 4800, ""), (lambda: bool(spoken), ""))

    def scene() -> Iterator[Samples]:
        yield from sound.says(voice("hello-world.wav")[:4800])  # before the key: nobody listens
        yield from sound.is_silent_until(lambda: keyboard.typed == 1)
        yield from sound.says(voice("cards-001.wav"))
        spoken.append(True)
        yield from sound.is_silent_until(lambda: sounding_seconds(sound) > 3 and is_quiet(sound))

    sound.blocks = scene()
    lines = talk(sound, "--push-to-talk", keyboard=keyboard)
    assert lines[1] == "ready      Enter to speak, Enter again to send"
    assert lines[2].startswith("you        (1.")
    assert lines[3] == f"answer     {STORY}"


# --- what is missing ---


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["talk", *arguments]) == 2
    return capsys.readouterr().err


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    expected = "vivavoce: the microphone needs the sounddevice package: pip install 'vivavoce[talk]'\n"
    assert said(capsys) == expected


@pytest.mark.parametrize(("kinds", "missing"), [(["output"], "microphone"), (["input"], "loudspeaker")])
def test_without_a_device(
    url: str, kinds: list[str], missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSound(kinds=kinds))
    assert said(capsys, "--url", url) == f"vivavoce: there is no {missing} on this machine.\n"
