"""The runner: one inbox, one consumer, a timer, and an engine that may speak from any thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.runner_world import Notebook, Watcher, World
from vivavoce.engine_api import (
    Capabilities,
    Emit,
    Generate,
    GenerationDone,
    OutputText,
    SpeechScore,
    StopGenerating,
    Transcribe,
)
from vivavoce.protocol.client_events import InputAudioBufferAppend, InputAudioBufferCommit, ResponseCreate, SessionUpdate
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import RateLimit
from vivavoce.protocol.server_events import (
    Error,
    InputAudioTranscriptionFailed,
    RateLimitsUpdated,
    ResponseDone,
    ResponseOutputTextDelta,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from vivavoce.runner import Admission, Runner
from vivavoce.session.boundary import Setup


def test_a_session_opens_answers_and_hands_commands_to_the_engine() -> None:
    world = World()
    assert isinstance(world.sent[0], SessionCreated)
    response_id = world.generate()
    world.engine.emit(OutputText(response_id, "Hi."))
    world.engine.emit(GenerationDone(response_id))
    assert not world.of(ResponseOutputTextDelta), "emit only wakes the loop"
    world.loop.run()
    assert [event.delta for event in world.of(ResponseOutputTextDelta)] == ["Hi."]
    assert world.of(ResponseDone)[0].response.status == "completed"


def test_a_rejected_frame_is_an_error_event_and_the_session_goes_on() -> None:
    world = World()
    world.runner.rejected(RequestError("invalid_json", "no", None, "mine"))
    world.runner.feed(SessionUpdate(session={"type": "realtime", "instructions": "x"}))
    assert world.of(Error)[0].error.event_id == "mine"
    assert world.of(SessionUpdated)


def emit_a_thousand_scores(world: World) -> None:
    for position in range(1000):
        world.engine.emit(SpeechScore(position * 768, 0.0))


@pytest.mark.parametrize(("from_a_thread", "wakings"), [(True, 1), (False, 0)])
def test_many_events_wake_the_loop_once_and_only_if_it_may_be_asleep(from_a_thread: bool, wakings: int) -> None:
    world = World()
    before = world.loop.wakings
    if from_a_thread:
        thread = threading.Thread(target=emit_a_thousand_scores, args=[world])
        thread.start()
        thread.join()
    else:
        emit_a_thousand_scores(world)
    assert world.loop.wakings == before + wakings
    world.loop.run()
    assert sum(isinstance(input, SpeechScore) for _, input, _ in world.watcher.steps) == 1000


def test_a_burst_gives_way_to_other_sessions_and_loses_nothing() -> None:
    world = World()
    response_id = world.generate()
    world.on_send = lambda event: setattr(world.loop, "now", world.loop.now + 0.0002)
    for number in range(100):
        world.engine.emit(OutputText(response_id, f"{number} "))
    turns = 0
    while world.loop.soon:
        world.loop.soon.popleft()()
        turns += 1
    assert turns > 20
    assert "".join(event.delta for event in world.of(ResponseOutputTextDelta)).split() == [str(n) for n in range(100)]


def test_events_from_several_threads_arrive_whole_and_in_each_threads_order() -> None:
    async def main() -> None:
        world = World(loop=asyncio.get_running_loop())
        threads, each = 4, 2000

        def speak(lane: int) -> None:
            for number in range(each):
                world.engine.emit(SpeechScore(number * threads + lane, 0.0))

        workers = [threading.Thread(target=speak, args=(lane,)) for lane in range(threads)]
        for worker in workers:
            worker.start()
        await asyncio.to_thread(lambda: [worker.join() for worker in workers])
        for _ in range(10_000):
            scores = [input.end_samples for _, input, _ in world.watcher.steps if isinstance(input, SpeechScore)]
            if len(scores) == threads * each:
                break
            await asyncio.sleep(0)
        for lane in range(threads):
            mine = [score for score in scores if score % threads == lane]
            assert mine == [number * threads + lane for number in range(each)]

    asyncio.run(main())


def test_the_timer_follows_the_sessions_deadline() -> None:
    world = World(duration_seconds=600.0)
    world.loop.advance(599.0)
    assert not world.closings
    world.loop.advance(2.0)
    assert world.of(Error)[0].error.code == "session_expired"
    assert world.closings == [(1001, "Your session hit the maximum duration of 10 minutes.")]
    assert world.runner.closed


class Poor:
    """An account with room for nothing."""

    def __init__(self) -> None:
        self.spent: list[int] = []

    def admit(self, tokens: int, now: float) -> Admission:
        return Admission("Try again in 20s.", (RateLimit("requests", 1, 0, 20.0),))

    def spend(self, tokens: int, now: float) -> None:
        self.spent.append(tokens)


def test_an_account_without_room_fails_the_response_at_once() -> None:
    world = World(account=Poor(), rate_limited=True)
    world.runner.feed(ResponseCreate())
    assert not any(isinstance(command, Generate) for command in world.engine.commands)
    done = world.of(ResponseDone)[0].response
    assert (done.status, done.status_details.error.code) == ("failed", "rate_limit_exceeded")
    assert world.of(RateLimitsUpdated)[0].rate_limits[0].remaining == 0


class Rich(Poor):
    """An account that admits everything and remembers the bill."""

    def admit(self, tokens: int, now: float) -> Admission:
        self.spent.append(tokens)
        return Admission(None, (RateLimit("tokens", 10**6, 10**6, 0.0),))


def test_what_a_response_really_cost_reaches_the_account() -> None:
    account = Rich()
    world = World(account=account, rate_limited=True)
    response_id = world.generate()
    world.engine.emit(OutputText(response_id, "One two three four five six seven eight."))
    world.engine.emit(GenerationDone(response_id))
    world.loop.run()
    assert sum(account.spent) == world.of(ResponseDone)[0].response.usage.total_tokens > 0


def test_an_engine_that_raises_has_failed_at_this_command_only() -> None:
    world = World()
    world.engine.raises = True
    world.runner.feed(ResponseCreate())
    done = world.of(ResponseDone)[0].response
    assert (done.status, done.status_details.error.message) == ("failed", "The engine failed.")
    world.engine.raises = False
    world.generate()
    assert not world.closings


def test_a_transcription_whose_engine_raises_has_failed_too() -> None:
    config = {"type": "realtime", "audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}}
    world = World(capabilities=Capabilities(transcribes=True))
    world.runner.feed(SessionUpdate(session=config))
    world.engine.raises = True
    world.runner.feed(InputAudioBufferAppend(audio=bytes(9600)))
    world.runner.feed(InputAudioBufferCommit())
    assert any(isinstance(command, Transcribe) for command in world.engine.commands)
    assert world.of(InputAudioTranscriptionFailed)[0].error.code == "engine_error"


def test_our_own_bug_closes_with_1011_and_tells_no_inner_details() -> None:
    watcher = Watcher(raises_on=ResponseCreate)
    world = World(watcher=watcher)
    world.runner.feed(ResponseCreate())
    error = world.sent[-1]
    assert isinstance(error, Error)
    assert (error.error.type, error.error.code) == ("server_error", "server_error")
    assert "sess_s" in error.error.message
    assert "inner" not in error.error.message
    assert world.closings == [(1011, "The server had an error.")]
    sent = len(world.sent)
    world.runner.feed(SessionUpdate(session={"type": "realtime"}))
    world.loop.advance(10_000)
    assert (len(world.sent), world.engine.closed, watcher.ended) == (sent, 1, 1)


def test_an_engine_that_cannot_be_opened_is_our_fault() -> None:
    class Broken(Notebook):
        def open(self, emit: Emit) -> Notebook:
            raise RuntimeError

    async def main() -> None:
        sent: list[ServerEvent] = []
        closings: list[int] = []
        setup = Setup(seed="s", config=SessionConfig(), capabilities=Capabilities(), expires_at=0)
        runner = Runner(setup, Broken(), send=sent.append, close=lambda code, _: closings.append(code))
        runner.start()
        assert isinstance(sent[0], Error)
        assert closings == [1011]

    asyncio.run(main())


def test_a_client_that_leaves_stops_what_runs() -> None:
    world = World()
    response_id = world.generate()
    sent = len(world.sent)
    world.runner.disconnected()
    assert StopGenerating(response_id) in world.engine.commands
    assert (len(world.sent), world.engine.closed, world.watcher.ended) == (sent, 1, 1)
    world.engine.emit(OutputText(response_id, "late"))
    world.runner.disconnected()
    world.loop.run()
    assert (len(world.sent), world.engine.closed, world.watcher.ended) == (sent, 1, 1)


def test_a_client_that_leaves_while_it_is_being_answered_ends_the_session_once() -> None:
    world = World()
    response_id = world.generate()
    world.on_send = lambda event: world.runner.disconnected()
    world.engine.emit(OutputText(response_id, "Hello"))
    world.loop.run()
    assert world.runner.closed
    assert (world.engine.closed, world.watcher.ended) == (1, 1)


def test_draining_waits_for_the_response_that_runs() -> None:
    world = World()
    response_id = world.generate()
    world.runner.drain()
    assert not world.closings
    world.engine.emit(GenerationDone(response_id))
    world.loop.run()
    assert world.of(ResponseDone)
    assert [code for code, _ in world.closings] == [1001]
    idle = World()
    idle.runner.drain()
    assert [code for code, _ in idle.closings] == [1001]


def test_stopping_does_not_wait() -> None:
    world = World()
    response_id = world.generate()
    world.runner.stop(1001, "now")
    assert world.of(ResponseDone)[0].response.status == "cancelled"
    assert world.closings == [(1001, "now")]
    assert StopGenerating(response_id) in world.engine.commands
