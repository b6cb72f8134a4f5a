"""Silero VAD: the engine around the network."""

import asyncio
import itertools
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.silero_reference import AUDIO, minute, network, published, scores_of
from vivavoce.audio import Decoder, Encoder, Resampler, bytes_to_samples
from vivavoce.engine_api import DetectSpeech, SpeechScore, StopGenerating
from vivavoce.engines.silero import SCORE_SAMPLES, Silero, _Stream
from vivavoce.protocol.errors import SettingsError
from vivavoce.protocol.objects import PCM, PCMA, PCMU

__all__ = ["network", "published"]

WINDOW_BYTES = SCORE_SAMPLES * 2


@contextmanager
def started():
    """An engine on an event loop in a thread of its own, so that the tests can wait for scores."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    engine = Silero({})
    asyncio.run_coroutine_threadsafe(engine.start(), loop).result()
    yield engine
    asyncio.run_coroutine_threadsafe(engine.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def engine():
    with started() as engine:
        yield engine


def resampled(samples, from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.feed(samples), resampler.flush()])


class Listener:
    """A session of the engine that keeps what it hears."""

    def __init__(self, engine):
        self.heard = SimpleQueue()
        self.session = engine.open(self.heard.put)
        self.start_samples, self.said_bytes = 0, 0

    def say(self, audio, format=PCM):
        """The next audio, where the last ended. Half a sample counts nothing until its other half is there."""
        start_samples = self.start_samples + bytes_to_samples(self.said_bytes, format.type)
        self.session.submit(DetectSpeech(start_samples, audio, format))
        self.said_bytes += len(audio)

    def jump(self, start_samples):
        """Go on elsewhere."""
        self.start_samples, self.said_bytes = start_samples, 0

    def scores(self, count):
        """The next scores, as (positions, probabilities)."""
        scores = [self.heard.get(timeout=10) for _ in range(count)]
        assert all(isinstance(score, SpeechScore) for score in scores)
        return [score.end_samples for score in scores], np.array([score.probability for score in scores])


def settle(engine):
    """Return when the worker has done everything submitted so far."""
    last = Listener(engine)
    last.say(bytes(WINDOW_BYTES))
    last.scores(1)


def expected(network, audio, encoding="audio/pcm"):
    """What the engine must answer: the decoder's samples, a millisecond of silence before them."""
    samples = Decoder(encoding, 16_000).feed(audio)
    return scores_of(network, np.concatenate([np.zeros(16, np.int16), samples]))


def test_scores_come_in_order_one_for_each_32_ms(engine, network):
    samples, rate_hz = soundfile.read(AUDIO / "weather-question.wav", dtype="int16")
    assert rate_hz == 24_000
    listener = Listener(engine)
    for start in range(0, samples.size, 480):
        listener.say(samples[start : start + 480].tobytes())
    count = samples.size // SCORE_SAMPLES
    positions, probabilities = listener.scores(count)
    assert positions == [SCORE_SAMPLES * n for n in range(1, count + 1)]
    assert np.abs(probabilities - expected(network, samples.tobytes())).max() < 1e-3
    assert probabilities.max() > 0.9
    settle(engine)
    assert listener.heard.empty()


@pytest.mark.parametrize("format", [PCM, PCMU, PCMA])
def test_decisions_on_wire_audio_agree_with_silero_on_the_original(engine, published, format):
    original = minute()[: 20 * 16_000]
    encoder = Encoder(format.type)
    wire = encoder.feed(resampled(original, 16_000, 24_000).tobytes()) + encoder.flush()
    listener = Listener(engine)
    listener.say(wire, format)
    wanted = published(original)
    _, probabilities = listener.scores(wanted.size)
    assert ((probabilities > 0.5) == (wanted > 0.5)).mean() > 0.98  # measured 0.997 for PCM, 0.990 for G.711


@pytest.mark.parametrize("format", [PCM, PCMU])
def test_a_window_is_scored_when_its_last_byte_arrives(engine, format):
    silence, last_bytes = (bytes(WINDOW_BYTES), 4) if format is PCM else (bytes(SCORE_SAMPLES // 3), 1)
    listener = Listener(engine)
    for n in range(1, 6):
        listener.say(silence[:-last_bytes], format)
        settle(engine)
        assert listener.heard.empty()
        listener.say(silence[-last_bytes:], format)
        assert listener.scores(1)[0] == [n * SCORE_SAMPLES]


@given(cuts=st.lists(st.integers(0, 40_000), max_size=8), format=st.sampled_from([PCM, PCMU]))
@settings(max_examples=20, deadline=None)
def test_chunks_of_any_size_give_the_same_scores(network, cuts, format):
    audio = resampled(minute()[32_000:45_000], 16_000, 24_000).tobytes()[: 40_000 if format is PCM else 6_000]
    with started() as engine:
        listener = Listener(engine)
        edges = [0, *sorted(min(cut, len(audio)) for cut in cuts), len(audio)]
        for start, end in itertools.pairwise(edges):
            listener.say(audio[start:end], format)
        wanted = expected(network, audio, format.type)
        assert np.abs(listener.scores(wanted.size)[1] - wanted).max() < 1e-3


def test_sessions_do_not_hear_each_other(engine, network):
    samples = resampled(minute(), 16_000, 24_000)
    streams = [samples[start : start + 50 * SCORE_SAMPLES].tobytes() for start in range(0, 24 * 48_000, 48_000)]
    listeners = [Listener(engine) for _ in streams]
    for start in range(0, len(streams[0]), 4_000):
        for listener, stream in zip(listeners, streams, strict=True):
            listener.say(stream[start : start + 4_000])
    for listener, stream in zip(listeners, streams, strict=True):
        assert np.abs(listener.scores(50)[1] - expected(network, stream)).max() < 1e-3


def test_a_gap_forgets_what_was_heard(engine, network):
    samples = resampled(minute(), 16_000, 24_000)
    speech, other = samples[48_000:96_000].tobytes(), samples[240_000:264_000].tobytes()
    listener = Listener(engine)
    listener.say(speech + b"\0" * 500)  # leaves part of a window, and half the work of the decoder
    listener.scores(62)
    listener.jump(1_000_000)
    listener.say(other)
    positions, probabilities = listener.scores(24_000 // SCORE_SAMPLES)
    assert positions[0] == 1_000_000 + SCORE_SAMPLES
    assert np.abs(probabilities - expected(network, other)).max() < 1e-3


def test_another_encoding_begins_anew_in_place(engine, network):
    listener = Listener(engine)
    listener.say(bytes(WINDOW_BYTES + 100))
    listener.jump(SCORE_SAMPLES + 50)
    telephone = np.random.default_rng(4).bytes(1_000)
    listener.say(telephone, PCMU)
    listener.scores(1)
    positions, probabilities = listener.scores(3)
    assert positions == [SCORE_SAMPLES + 50 + n * SCORE_SAMPLES for n in (1, 2, 3)]
    assert np.abs(probabilities - expected(network, telephone, "audio/pcmu")).max() < 1e-3


def test_a_flood_takes_turns_with_the_others(engine):
    order = SimpleQueue()
    flood, *others = [engine.open(lambda score, name=name: order.put(name)) for name in ("flood", 0, 1, 2)]
    flood.submit(DetectSpeech(0, bytes(WINDOW_BYTES * 20_000), PCM))
    for other in others:
        other.submit(DetectSpeech(0, bytes(WINDOW_BYTES * 2), PCM))
    heard = []
    while sum(name != "flood" for name in heard) < 6:
        heard.append(order.get(timeout=10))
    flood.close()
    for name in range(3):
        first, second = [place for place, speaker in enumerate(heard) if speaker == name]
        assert heard[first:second].count("flood") == 1


def test_no_call_is_lost_where_the_worker_looks_at_that_very_moment():
    class Watched(_Stream):
        """The worker takes it out of the inbox just when the event loop looks whether it is there."""

        @property
        def called(self):
            was, self.raised = self.raised, False
            return was

        @called.setter
        def called(self, value):
            self.raised = value

    stream = Watched(print)
    calls = [stream.receive(DetectSpeech(n * SCORE_SAMPLES, bytes(WINDOW_BYTES), PCM)) for n in range(3)]
    assert calls == [True, False, True]  # The second was seen when the worker looked; the third is seen because it calls.


def test_a_closed_session_hears_nothing_more(engine):
    heard = []

    def emit(score):
        heard.append(score)
        session.close()

    session = engine.open(emit)
    session.submit(DetectSpeech(0, bytes(WINDOW_BYTES * 50), PCM))
    settle(engine)
    session.submit(DetectSpeech(50 * SCORE_SAMPLES, bytes(WINDOW_BYTES), PCM))
    settle(engine)
    assert len(heard) == 1


def test_an_emit_that_fails_hurts_nobody_else(engine, caplog):
    failures = []

    def emit(score):
        failures.append(score)
        raise RuntimeError("the loop is closed")

    engine.open(emit).submit(DetectSpeech(0, bytes(WINDOW_BYTES * 3), PCM))
    settle(engine)
    settle(engine)
    assert len(failures) == 1
    assert "emit failed" in caplog.text


def test_other_commands_are_ignored(engine):
    listener = Listener(engine)
    listener.session.submit(StopGenerating("resp_1"))
    settle(engine)
    assert listener.heard.empty()


def test_close_does_not_wait_for_a_backlog():
    async def main():
        engine = Silero({})
        await engine.start()
        heard = SimpleQueue()
        engine.open(heard.put).submit(DetectSpeech(0, bytes(WINDOW_BYTES * 20_000), PCM))
        await engine.close()
        return heard.qsize()

    assert asyncio.run(main()) < 20_000


def test_close_without_start_is_fine():
    asyncio.run(Silero({}).close())


def test_options_are_refused_by_name():
    with pytest.raises(SettingsError, match="'threshold'"):
        Silero({"threshold": 0.4})
