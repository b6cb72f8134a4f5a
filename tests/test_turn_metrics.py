"""What `/metrics` tells of turns: drafts kept, dropped and the time saved; interruptions."""

from __future__ import annotations

from vivavoce.engine_api import Capabilities, GenerationDone, GenerationFailed, OutputAudio, OutputText, SpeechScore
from vivavoce.protocol.client_events import InputAudioBufferAppend, ResponseCreate
from vivavoce.protocol.config import SessionConfig
from vivavoce.server.metrics import Metrics, SessionMeter
from vivavoce.session.boundary import Disconnected, Input, Setup
from vivavoce.session.session import Session

WINDOW_SAMPLES = 768
CHUNK = InputAudioBufferAppend(audio=bytes(WINDOW_SAMPLES * 2))


class World:
    """A session that drafts, and a meter that looks on. A window of audio is 32 ms of the clock."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.meter = SessionMeter(self.metrics)
        capabilities = Capabilities(drafts=True, listens=True)
        config = SessionConfig(model="m")
        self.session = Session(Setup(seed="", config=config, capabilities=capabilities, expires_at=1, draft_after_ms=150))
        self.now = 0.0
        self.windows = 0
        self.meter.step(0.0, None, self.session.open(0.0))

    def give(self, event: Input) -> None:
        self.meter.step(self.now, event, self.session.handle(event, self.now))

    def hear(self, probability: float, windows: int) -> None:
        for _ in range(windows):
            self.now += 0.032
            self.windows += 1
            self.give(CHUNK)
            self.give(SpeechScore(self.windows * WINDOW_SAMPLES, probability))

    def drafts(self) -> tuple[float | None, float | None, float | None]:
        """Kept, dropped, seconds saved in all."""
        registry = self.metrics._registry
        kept, dropped = (
            registry.get_sample_value("vivavoce_drafts_total", {"outcome": name}) for name in ("kept", "dropped")
        )
        return kept, dropped, registry.get_sample_value("vivavoce_draft_saved_seconds_sum")


def test_a_draft_whose_audio_was_there_in_time_saves_all_that_the_engine_took() -> None:
    world = World()
    world.hear(0.9, 10)
    world.hear(0.02, 8)  # the draft begins with the fifth window
    world.give(OutputAudio("resp_draft_0", bytes(480)))
    world.give(OutputAudio("resp_draft_0", bytes(480)))
    world.hear(0.02, 8)
    world.give(GenerationDone("resp_draft_0"))
    kept, dropped, saved = world.drafts()
    assert (kept, dropped, round(saved or 0, 3)) == (1.0, None, 3 * 0.032)


def test_one_whose_audio_came_later_saves_the_head_start() -> None:
    world = World()
    world.hear(0.9, 10)
    world.hear(0.02, 16)  # the turn ends with the sixteenth
    world.now += 0.5
    world.give(OutputAudio("resp_draft_0", bytes(480)))
    kept, dropped, saved = world.drafts()
    assert (kept, dropped, round(saved or 0, 3)) == (1.0, None, 11 * 0.032)


def test_drafts_that_were_dropped_failed_or_left_alone_are_counted_once() -> None:
    world = World()
    world.hear(0.9, 10)
    world.hear(0.02, 5)
    world.hear(0.9, 5)
    world.hear(0.02, 5)
    world.give(GenerationFailed("resp_draft_1", "x", "y"))
    world.hear(0.9, 5)
    world.hear(0.02, 5)
    world.give(Disconnected())
    assert world.drafts() == (None, 3.0, 0.0)


def test_a_written_answer_saves_no_audio_and_an_ordinary_response_is_no_draft() -> None:
    world = World()
    world.give(ResponseCreate())
    world.give(OutputAudio("resp_0", bytes(480)))
    world.give(GenerationDone("resp_0"))
    world.hear(0.9, 10)
    world.hear(0.02, 5)
    world.give(OutputText("resp_draft_0", "Yes."))
    world.hear(0.02, 11)
    world.give(GenerationDone("resp_draft_0"))
    assert world.drafts() == (1.0, None, 0.0)


def test_interruptions_are_counted_by_what_became_of_them() -> None:
    metrics, capabilities = Metrics(), Capabilities(listens=True)
    setup = Setup(seed="", config=SessionConfig(), capabilities=capabilities, expires_at=1, confirm_barge_in_ms=300)
    session, meter = Session(setup), SessionMeter(metrics)
    inputs: list[Input] = [ResponseCreate()]
    for number, loud in enumerate([0.9] * 5 + [0.02] * 10 + [0.9] * 15, 1):
        inputs += [CHUNK, SpeechScore(number * WINDOW_SAMPLES, loud)]
    session.open(0.0)
    for event in inputs:
        meter.step(0.0, event, session.handle(event, 0.0))
    for outcome in ("dismissed", "confirmed"):
        assert metrics._registry.get_sample_value("vivavoce_interruptions_total", {"outcome": outcome}) == 1.0
