"""Two-stage barge-in: no byte of an answer is lost by a noise, none leaves too early, and what counts as words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audio import SAMPLE_HZ
from vivavoce.engine_api import Capabilities, GenerationDone, OutputAudio, OutputTranscript, SpeechScore, StopGenerating
from vivavoce.protocol.client_events import InputAudioBufferAppend, ResponseCreate
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.server_events import (
    InputAudioBufferSpeechStarted,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
)
from vivavoce.session.boundary import Input, Output, Setup, Tick
from vivavoce.session.interruption import has_words
from vivavoce.session.pacing import LEAD_SAMPLES, MOST_WAITING_BYTES
from vivavoce.session.session import Session

WINDOW_SAMPLES = 768
WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_HZ


class World:
    """A session with the option on, and a client that plays what it gets. A window of audio is 32 ms of the clock."""

    def __init__(self) -> None:
        setup = Setup(seed="", config=SessionConfig(), capabilities=Capabilities(), expires_at=0, confirm_barge_in_ms=600)
        self.session = Session(setup)
        self.session.open(0.0)
        self.now = 0.0
        self.windows = 0
        self.outputs: list[Output] = []
        self.pcm = bytearray()
        self.played_until = 0.0
        self.give(ResponseCreate())

    def give(self, event: Input) -> None:
        for output in self.session.handle(event, self.now):
            self.outputs.append(output)
            if isinstance(output, ResponseOutputAudioDelta):
                self.pcm.extend(output.delta)
                self.played_until = max(self.played_until, self.now) + len(output.delta) / 2 / SAMPLE_HZ
        ahead = self.played_until - self.now
        assert ahead <= LEAD_SAMPLES / SAMPLE_HZ + 1e-6, f"{ahead} s ahead of the loudspeaker"

    def until(self, now: float) -> None:
        """The clock goes on; the session's deadlines are met on the way."""
        ticks = 0
        while (due := self.session.deadline()) is not None and due <= now:
            self.now = max(due, self.now)
            self.give(Tick())
            ticks += 1
            assert ticks < 20_000, "a deadline that a tick does not move keeps the server busy"
        self.now = now

    def hear(self, probability: float, windows: int) -> None:
        for _ in range(windows):
            self.until(self.now + WINDOW_SECONDS)
            self.windows += 1
            self.give(InputAudioBufferAppend(audio=bytes(WINDOW_SAMPLES * 2)))
            self.give(SpeechScore(self.windows * WINDOW_SAMPLES, probability))

    def of(self, kind: type) -> list[Output]:
        return [output for output in self.outputs if isinstance(output, kind)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(0, 60_000)),
        st.tuples(st.just("words"), st.integers(0, 5)),
        st.tuples(st.just("noise"), st.integers(2, 15)),
        st.tuples(st.just("quiet"), st.integers(1, 40)),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_noise_delays_an_answer_and_loses_nothing_of_it(script: list[tuple[str, int]]) -> None:
    world = World()
    said, words = b"", ""
    for what, much in script:
        if what == "audio":
            pcm = bytes((len(said) // 2 + n) % 251 for n in range(much)) * 2
            said += pcm
            world.give(OutputAudio("resp_0", pcm))
        elif what == "words":
            words += "word " * much
            world.give(OutputTranscript("resp_0", "word " * much))
        else:
            world.hear(0.9 if what == "noise" else 0.02, much)
            if what == "noise":
                world.hear(0.02, 7)
    world.give(GenerationDone("resp_0"))
    world.until(world.now + len(said) / 2 / SAMPLE_HZ + 1.0)
    assert world.pcm == said
    assert "".join(delta.delta for delta in world.of(ResponseOutputAudioTranscriptDelta)) == words
    (done,) = world.of(ResponseDone)
    assert done.response.status == "completed"
    assert not world.of(InputAudioBufferSpeechStarted)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(2, 18))
def test_nothing_leaves_while_nobody_knows(before: int, noise: int) -> None:
    world = World()
    world.give(OutputAudio("resp_0", bytes(SAMPLE_HZ * 20)))
    world.hear(0.02, before)
    world.hear(0.9, 2)
    sent = len(world.pcm)
    world.hear(0.9, noise - 2)
    world.hear(0.02, 6)
    assert len(world.pcm) == sent
    world.hear(0.02, 1)
    assert len(world.pcm) > sent


def test_an_engine_ten_minutes_ahead_is_stopped_and_its_answer_ends_there() -> None:
    world = World()
    minute = bytes(MOST_WAITING_BYTES // 10)
    for _ in range(12):
        world.give(OutputAudio("resp_0", minute))
    assert len(world.of(StopGenerating)) == 1
    world.until(700.0)
    (done,) = world.of(ResponseDone)
    assert done.response.status == "incomplete"
    assert MOST_WAITING_BYTES <= len(world.pcm) <= MOST_WAITING_BYTES + len(minute)


@pytest.mark.parametrize(
    "text", ["", " ", "...", "Uh-huh.", "Mm-hmm, yeah.", "Okay, right.", "MHM", "Ja, genau!", "[", "はい", "Uh huh. Wow!"]
)
def test_a_murmur_has_no_words(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize("text", ["Stop!", "Okay, stop.", "Yeah, but why?", "2", "いいえ", "No.", "Right, and I'm off."])
def test_an_objection_has(text: str) -> None:
    assert has_words(text)
