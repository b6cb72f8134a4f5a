"""The runner around a front end: the order of events, what it learns from the server's events, and its end."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.runner_world import News, Notebook
from vivavoce.audio import g711_decode, g711_encode
from vivavoce.engine_api import Generate, OutputAudio, Transcribe
from vivavoce.front_end.cleaned import CleanedRunner
from vivavoce.front_end.front_ends import FrontEnds
from vivavoce.front_end.microphone import Microphone, Wish
from vivavoce.protocol.client_events import (
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCreate,
    SessionUpdate,
)
from vivavoce.protocol.config import Audio, AudioInput, NoiseReduction, SessionConfig
from vivavoce.protocol.errors import EngineError, RequestError, SettingsError
from vivavoce.protocol.objects import PCM, PCMU
from vivavoce.protocol.server_events import Error, InputAudioBufferCommitted, ServerEvent
from vivavoce.runner import Runner
from vivavoce.session.boundary import Setup
from vivavoce.settings import Settings

PATIENCE_SECONDS = 20
NEAR = NoiseReduction("near_field")


class Negative:
    """A canceller of which one can see what it took, and what it was shown."""

    def __init__(self, gate=None):
        self.gate, self.far = gate, []

    def process(self, near, far):
        if self.gate is not None:
            assert self.gate.acquire(timeout=PATIENCE_SECONDS)
        if far is not None:
            self.far.append(far)
        return ~near


def negated(audio):
    return bytes(~value & 0xFF for value in audio)


class Driven:
    """A session whose microphone is cleaned by `Negative`."""

    def __init__(self, *, gate=None, noise=NEAR, echo=False, format=PCM, threads=None, most_bytes=64 * 2**20):
        self.engine, self.sent, self.inputs, self.closed = Notebook(), [], [], []
        self.news = News()
        self.until = self.news.until
        self.cancellers = []
        audio = AudioInput(noise_reduction=noise, turn_detection=None, format=format)
        config = SessionConfig(audio=Audio(input=audio))
        setup = Setup(
            seed="s",
            config=config,
            capabilities=self.engine.capabilities,
            expires_at=0,
            duration_seconds=1e12,
            max_buffered_bytes=most_bytes,
        )
        self.gate = gate
        self.threads = threads or ThreadPoolExecutor(2)
        self.runner = CleanedRunner(
            setup,
            self.engine,
            send=self._send,
            close=lambda code, reason: self.closed.append(code),
            observers=[self],
            wishes=lambda audio: self._wish(audio, echo),
            listen=lambda wish: Microphone(wish, self._make),
            threads=self.threads,
        )
        self.runner.start()

    def _wish(self, audio, echo):
        noise = audio.noise_reduction.type if audio.noise_reduction else None
        return Wish(audio.format.type, noise, echo) if noise or echo else None

    def _make(self, wish):
        self.cancellers.append(Negative(self.gate))
        return self.cancellers[-1]

    def _send(self, event: ServerEvent):
        self.sent.append(event)
        self.news.set()

    def step(self, now, input, outputs):
        self.inputs.append(input)
        self.news.set()

    def end(self): ...

    def feed(self, *events):
        for event in events:
            self.runner.feed(event)

    def of(self, kind):
        return [event for event in self.inputs if isinstance(event, kind)]

    @property
    def heard(self):
        return b"".join(event.audio for event in self.of(InputAudioBufferAppend))


def append(audio, **fields):
    return InputAudioBufferAppend(audio=audio, **fields)


def update(**audio_input):
    return SessionUpdate(session={"type": "realtime", "audio": {"input": audio_input}})


SOUND = bytes(range(240)) * 40
"""200 ms."""


def test_with_nothing_to_clean_an_event_goes_straight_through():
    async def act():
        driven = Driven(noise=None)
        driven.feed(append(SOUND), InputAudioBufferCommit())
        assert driven.inputs[-2:] == [append(SOUND), InputAudioBufferCommit()]  # Nothing was awaited.
        assert driven.cancellers == []

    asyncio.run(act())


def test_events_stay_in_order_while_audio_is_cleaned():
    async def act():
        gate = threading.Semaphore(0)
        driven = Driven(gate=gate)
        events = [append(SOUND, event_id="a"), InputAudioBufferCommit(), append(SOUND[:4_800]), append(SOUND[4_800:])]
        driven.feed(*events, InputAudioBufferCommit(), InputAudioBufferClear())
        driven.runner.rejected(RequestError("invalid_json", "Not JSON."))
        assert driven.inputs == [None], "all of it waits for the first frame"
        for _ in range(40):
            gate.release()
        await driven.until(lambda: any(isinstance(event, Error) for event in driven.sent))
        kinds = [type(event).__name__ for event in driven.inputs[1:]]
        one, clear = ["InputAudioBufferAppend", "InputAudioBufferCommit"], ["InputAudioBufferClear", "Rejected"]
        assert kinds == one + one[:1] + one + clear
        assert driven.inputs[1].event_id == "a"
        assert driven.heard == negated(SOUND) * 2

    asyncio.run(act())


def test_a_commit_in_the_middle_of_a_frame_gets_every_byte_before_it():
    async def act():
        driven = Driven()
        pieces = [SOUND[:5_001], SOUND[5_001:8_123], SOUND[8_123:]]
        driven.feed(append(pieces[0]), append(pieces[1]), InputAudioBufferCommit(), append(pieces[2]), append(SOUND))
        driven.feed(InputAudioBufferCommit())
        await driven.until(lambda: len(driven.of(InputAudioBufferCommit)) == 2)
        cut = driven.inputs.index(InputAudioBufferCommit())
        before = b"".join(event.audio for event in driven.inputs[:cut] if isinstance(event, InputAudioBufferAppend))
        assert len(before) == 8_123
        assert len(driven.heard) == 2 * len(SOUND)
        assert before[:7_680] == negated(SOUND[:7_680])
        assert sum(isinstance(event, InputAudioBufferCommitted) for event in driven.sent) == 2

    asyncio.run(act())


def test_an_update_begins_and_ends_cleaning_where_it_stands():
    async def act():
        driven = Driven(noise=None)
        driven.feed(append(SOUND), update(noise_reduction={"type": "far_field"}), append(SOUND))
        driven.feed(update(noise_reduction=None), append(SOUND), InputAudioBufferCommit())
        await driven.until(lambda: driven.of(InputAudioBufferCommit))
        assert [event.audio for event in driven.of(InputAudioBufferAppend)] == [SOUND, negated(SOUND), SOUND]

    asyncio.run(act())


def test_a_telephones_bytes_are_cleaned_in_its_own_frames():
    async def act():
        driven = Driven(format=PCMU)
        audio = bytes(range(250))
        driven.feed(append(audio), InputAudioBufferCommit())
        await driven.until(lambda: driven.of(InputAudioBufferCommit))
        assert driven.heard == g711_encode(~g711_decode(audio, "audio/pcmu"), "audio/pcmu")

    asyncio.run(act())


def test_two_sessions_do_not_wait_for_each_other():
    async def act():
        threads, gate = ThreadPoolExecutor(2), threading.Semaphore(0)
        slow, quick = Driven(gate=gate, threads=threads), Driven(threads=threads)
        slow.feed(append(SOUND))
        quick.feed(append(SOUND[::-1]), InputAudioBufferCommit())
        await quick.until(lambda: quick.of(InputAudioBufferCommit))
        assert quick.heard == negated(SOUND[::-1])
        assert slow.heard == b""
        for _ in range(20):
            gate.release()
        await slow.until(lambda: slow.heard)
        assert slow.heard == negated(SOUND)

    asyncio.run(act())


@pytest.mark.parametrize("end", [lambda runner: runner.disconnected(), lambda runner: runner.stop(1001, "Restarting.")])
def test_a_session_that_ends_while_frames_are_cleaned_hears_nothing_more(end, caplog):
    async def act():
        gate = threading.Semaphore(0)
        driven = Driven(gate=gate)
        driven.feed(append(SOUND), InputAudioBufferCommit())
        end(driven.runner)
        assert driven.runner.closed
        for _ in range(20):
            gate.release()
        await asyncio.to_thread(driven.threads.shutdown)
        await asyncio.sleep(0)
        assert driven.heard == b""

    with caplog.at_level(logging.WARNING):
        asyncio.run(act())
    assert caplog.text == ""


def test_threads_that_are_gone_leave_the_audio_as_it_is():
    async def act():
        driven = Driven()
        driven.threads.shutdown()
        driven.feed(append(SOUND), InputAudioBufferCommit())
        await driven.until(lambda: driven.of(InputAudioBufferCommit))
        assert driven.heard == SOUND

    asyncio.run(act())


def test_who_sends_more_than_may_wait_is_told_so():
    async def act():
        gate = threading.Semaphore(0)
        driven = Driven(gate=gate, most_bytes=10_000)
        driven.feed(append(SOUND), append(SOUND, event_id="too_much"))
        (error,) = [event.error for event in driven.sent if isinstance(event, Error)]
        assert (error.code, error.event_id) == ("input_audio_buffer_full", "too_much")
        for _ in range(20):
            gate.release()
        await driven.until(lambda: driven.heard)
        driven.feed(InputAudioBufferCommit())
        await driven.until(lambda: driven.engine.of(Transcribe) or driven.of(InputAudioBufferCommit))
        assert driven.heard == negated(SOUND)

    asyncio.run(act())


# --- what is played ---


def test_answers_reach_the_canceller_until_the_client_stops_playing():
    async def act():
        driven = Driven(echo=True, noise=None)
        driven.feed(append(SOUND), ResponseCreate())
        await driven.until(lambda: driven.engine.of(Generate))
        (generate,) = driven.engine.of(Generate)
        driven.engine.emit(OutputAudio(generate.response_id, b"\x10\x00" * 4_800))
        await driven.until(lambda: any("audio.delta" in type(event).__struct_config__.tag for event in driven.sent))
        playback = driven.runner._microphone._echo._playback
        driven.feed(append(SOUND))
        await driven.until(lambda: len(driven.of(InputAudioBufferAppend)) == 2)
        assert playback.end == 4_800 + 4_800
        assert playback.read(4_790, 9_600).tolist() == [0] * 10 + [16] * 4_800
        item_id = next(event.item_id for event in driven.sent if hasattr(event, "item_id"))
        driven.feed(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=0))
        driven.engine.emit(OutputAudio(generate.response_id, bytes(2)))
        return driven

    asyncio.run(act())


# --- what the settings allow ---


def test_without_the_library_noise_reduction_is_said_to_do_nothing_once(monkeypatch, caplog):
    monkeypatch.setattr("vivavoce.front_end.front_ends.installed", lambda: False)
    front_ends = FrontEnds(Settings())
    wanting = AudioInput(noise_reduction=NEAR)
    with caplog.at_level(logging.WARNING, logger="vivavoce.front_end"):
        assert front_ends._wish(wanting) is None
        assert front_ends._wish(wanting) is None
        assert front_ends._wish(AudioInput()) is None
    (record,) = caplog.records
    assert "pip install 'vivavoce[audio-processing]'" in record.getMessage()


def test_echo_cancellation_without_the_library_is_an_error_at_start(monkeypatch):
    monkeypatch.setattr("vivavoce.front_end.front_ends.installed", lambda: False)
    with pytest.raises(SettingsError, match=r"pip install 'vivavoce\[audio-processing\]'"):
        FrontEnds(Settings(echo_cancellation="cancel"))


def test_a_library_that_does_not_work_is_one_line_at_start():
    def broken(wish):
        raise ImportError("liblivekit_ffi.so: cannot open shared object file")

    with pytest.raises(EngineError, match=r"the package livekit does not work: liblivekit_ffi\.so"):
        asyncio.run(FrontEnds(Settings(echo_cancellation="cancel"), broken).start())
    asyncio.run(FrontEnds(Settings(), broken).start())  # Nobody needs it yet.


@pytest.mark.parametrize(
    ("settings", "noise", "wish"),
    [
        (Settings(), None, None),
        (Settings(), NEAR, Wish("audio/pcm", "near_field", False)),
        (Settings(noise_reduction="off", echo_cancellation="cancel"), NEAR, Wish("audio/pcm", None, True)),
        (Settings(echo_cancellation="cancel"), NEAR, Wish("audio/pcm", "near_field", True)),
    ],
)
def test_what_is_done_is_what_client_and_operator_want(settings, noise, wish):
    front_ends = FrontEnds(settings, lambda wish: Negative())
    assert front_ends._wish(AudioInput(noise_reduction=noise)) == wish
    front_ends.close()


def test_with_both_off_there_is_no_front_end():
    async def act():
        front_ends = FrontEnds(Settings(noise_reduction="off"))
        engine = Notebook()
        setup = Setup(seed="s", config=SessionConfig(), capabilities=engine.capabilities, expires_at=0)
        runner = front_ends.runner(setup, engine, send=lambda event: None, close=lambda code, reason: None)
        assert type(runner) is Runner

    asyncio.run(act())


def test_frames_are_samples_of_the_microphones_rate():
    """What `Negative` does to a sample, it does to its bytes: the other tests rest on that."""
    samples = np.frombuffer(SOUND, "<i2")
    assert (~samples).tobytes() == negated(SOUND)
