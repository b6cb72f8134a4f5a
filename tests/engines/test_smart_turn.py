"""Smart Turn: the features against the reference, the network on recorded voices, and the engine around it."""

import asyncio
import logging
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper
from transformers import WhisperFeatureExtractor

from tests.engines.probe import in_use
from tests.runner_world import News
from vivavoce.audio import Encoder, Resampler, to_pcm
from vivavoce.engine_api import Capabilities, Generate, ScoreTurn, TurnScore
from vivavoce.engines import smart_turn
from vivavoce.engines.log_mel import filter_bank
from vivavoce.engines.silero import Silero
from vivavoce.engines.smart_turn import SmartTurn, features
from vivavoce.protocol.client_events import InputAudioBufferAppend
from vivavoce.protocol.config import Audio, AudioInput, SemanticVad, SessionConfig
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import PCM, PCMU
from vivavoce.protocol.server_events import InputAudioBufferSpeechStarted, InputAudioBufferSpeechStopped
from vivavoce.registry import TURN_ENDS, Ensemble, entries, find
from vivavoce.runner import Runner
from vivavoce.session.boundary import Setup

AUDIO = Path(__file__).parents[3] / "shared" / "audio"
RATE_HZ = 24_000
PATIENCE_SECONDS = 30


def recording(name, until_seconds=None):
    """A recorded voice at 24 kHz, to a moment in it."""
    samples, rate_hz = soundfile.read(AUDIO / name, dtype="int16", always_2d=True)
    resampler = Resampler(rate_hz, RATE_HZ)
    line = np.concatenate([resampler.feed(samples[:, 0]), resampler.flush()])
    return line if until_seconds is None else line[: round(until_seconds * RATE_HZ)]


def room(seconds):
    """What a microphone hears of nobody."""
    return (np.random.default_rng(5).standard_normal(round(seconds * RATE_HZ)) * 8).astype(np.int16)


def paused(name, until_seconds=None):
    """The request that the core makes 200 ms after the voice."""
    line = np.concatenate([recording(name, until_seconds), room(0.2)])
    return ScoreTurn("item_1", line.size, line.astype("<i2").tobytes(), PCM)


@pytest.fixture(scope="module")
def network():
    return smart_turn._loaded(smart_turn.packaged_model())


# --- features ---


@pytest.fixture(scope="module")
def reference():
    extractor = WhisperFeatureExtractor(chunk_length=8)

    def extract(samples):
        return extractor(
            samples, sampling_rate=16_000, padding="max_length", max_length=128_000, do_normalize=True, return_tensors="np"
        ).input_features[0]

    return extract


def test_the_filter_bank_is_whispers():
    np.testing.assert_allclose(filter_bank(), WhisperFeatureExtractor(chunk_length=8).mel_filters, atol=1e-12)


@pytest.mark.parametrize("name", ["jfk.flac", "weather-question.wav", "austen-0870.wav"])
def test_features_are_those_of_the_reference(reference, name):
    command = paused(name)
    samples = np.frombuffer(to_pcm(command.audio, "audio/pcm", 16_000), "<i2")[-128_000:].astype(np.float32) / 32768
    wanted = reference(np.pad(samples, (128_000 - samples.size, 0)))
    ours = features(command)
    assert ours.shape == (80, 800)
    assert ours.dtype == np.float32
    assert np.abs(ours - wanted).max() < 1e-4  # measured 2e-5


@pytest.mark.parametrize("audio", [b"", bytes(2), bytes(48_000), b"\x01"])
def test_silence_and_next_to_nothing_have_features_too(reference, audio):
    ours = features(ScoreTurn("item_1", 0, audio, PCM))
    assert np.abs(ours - reference(np.zeros(128_000, np.float32))).max() < 1e-4


def test_a_long_turn_is_heard_from_its_end():
    speech = recording("jfk.flac")
    whole, end = (features(ScoreTurn("item_1", 0, line.tobytes(), PCM)) for line in (speech, speech[-9 * RATE_HZ :]))
    np.testing.assert_allclose(whole, end, atol=1e-3)


# --- scores ---

WHOLE = ("jfk.flac", "weather-question.wav", "something.wav", "goforward.wav", "austen-0870.wav", "austen-0890.wav")
CUT = {  # Between two words, where anybody would wait for more. What the network says of other places is its own affair.
    "jfk.flac": 4.8,  # "And so, my fellow Americans, ask not"
    "weather-question.wav": 0.95,
    "something.wav": 1.77,  # "go somewhere and do"
    "austen-0890.wav": 3.9,  # "unless to be rather cold hearted and rather selfish is"
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_sentence_is_over(network, name):
    assert network(features(paused(name))) > 0.6


@pytest.mark.parametrize("name", CUT)
def test_a_cut_sentence_is_not_over(network, name):
    assert network(features(paused(name, CUT[name]))) < 0.2


def test_a_telephone_is_understood_too(network):
    for name, until, over in (("weather-question.wav", None, True), ("weather-question.wav", 0.95, False)):
        encoder = Encoder("audio/pcmu")
        audio = encoder.feed(paused(name, until).audio) + encoder.flush()
        assert (network(features(ScoreTurn("item_1", 0, audio, PCMU))) > 0.6) is over


# --- the engine ---


def test_it_is_found_by_its_name():
    (entry,) = [entry for entry in entries(TURN_ENDS) if entry.name == "smart_turn"]
    assert entry.missing == ()
    assert find(TURN_ENDS, "smart_turn") is SmartTurn


def test_a_model_that_is_not_there_is_the_operators_mistake():
    with pytest.raises(SettingsError, match=r"engines\.smart_turn\.model: there is no file /nowhere"):
        SmartTurn({"model": "/nowhere/smart-turn.onnx"})
    with pytest.raises(SettingsError, match=r"engines\.smart_turn: unknown option 'threshold'"):
        SmartTurn({"threshold": 0.5})


def test_a_file_that_is_no_such_model_is_one_line(tmp_path):
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(EngineError, match=r"broken\.onnx is not a Smart Turn v3 model"):
        asyncio.run(SmartTurn({"model": str(file)}).start())


def test_a_model_of_ones_own_is_used(tmp_path):
    """A network that says 0.25 of everything."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input_features"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Sub", ["mean", "mean"], ["zero"]),
            helper.make_node("Add", ["zero", "quarter"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["logits"]),
        ],
        "quarter",
        [helper.make_tensor_value_info("input_features", TensorProto.FLOAT, [1, 80, 800])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1])],
        [
            helper.make_tensor("quarter", TensorProto.FLOAT, [1], [0.25]),
            helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "quarter.onnx")

    async def scored():
        engine = SmartTurn({"model": str(tmp_path / "quarter.onnx")})
        await engine.start()
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue()
        session = engine.open(lambda event: loop.call_soon_threadsafe(arrived.put_nowait, event))
        session.submit(ScoreTurn("item_7", 4800, bytes(9600), PCM))
        score = await asyncio.wait_for(arrived.get(), PATIENCE_SECONDS)
        session.close()
        await engine.close()
        return score

    assert asyncio.run(scored()) == TurnScore("item_7", 4800, 0.25)


class Gate:
    """A network that waits to be let through."""

    def __init__(self):
        self.entered, self.opened = threading.Semaphore(0), threading.Semaphore(0)
        self.fails = False

    def __call__(self, spectrogram):
        self.entered.release()
        assert self.opened.acquire(timeout=PATIENCE_SECONDS)
        if self.fails:
            raise RuntimeError("no memory")
        return 0.5


@pytest.fixture
def gated(monkeypatch):
    """The engine with a gate for its network, what its sessions emitted, and a way to wait until all is scored."""
    gate, emitted = Gate(), []
    monkeypatch.setattr(smart_turn, "_loaded", lambda _: gate)
    engine = SmartTurn({})
    asyncio.run(engine.start())

    def finish():
        for _ in range(100):
            gate.opened.release()
        asyncio.run(engine.close())

    yield engine, gate, emitted, finish
    finish()


def request(item, end_samples):
    return ScoreTurn(item, end_samples, bytes(960), PCM)


def test_sessions_are_served_in_turn_and_only_the_newest_request_counts(gated):
    engine, gate, emitted, finish = gated
    first, second, third = (engine.open(emitted.append) for _ in range(3))
    first.submit(request("a", 1))
    assert gate.entered.acquire(timeout=PATIENCE_SECONDS)  # The worker is at it: from here on all others wait.
    for pause in (2, 3, 4):
        second.submit(request("b", pause))
    first.submit(request("a", 5))
    third.submit(request("c", 6))
    first.submit(Generate(response_id="resp_1"))
    finish()
    assert [(score.item_id, score.end_samples) for score in emitted] == [("a", 1), ("b", 4), ("a", 5), ("c", 6)]


def test_a_closed_session_hears_nothing_more(gated):
    engine, gate, emitted, finish = gated
    first, second = (engine.open(emitted.append) for _ in range(2))
    first.submit(request("a", 1))
    assert gate.entered.acquire(timeout=PATIENCE_SECONDS)
    second.submit(request("b", 2))
    first.close()
    second.close()
    finish()
    assert emitted == []


def test_a_failure_costs_one_score_and_no_more(gated, caplog):
    engine, gate, emitted, finish = gated
    session = engine.open(emitted.append)
    gate.fails = True
    session.submit(request("a", 1))
    assert gate.entered.acquire(timeout=PATIENCE_SECONDS)
    with caplog.at_level(logging.ERROR, logger="vivavoce.engines.smart_turn"):
        gate.opened.release()
        session.submit(request("b", 2))
        assert gate.entered.acquire(timeout=PATIENCE_SECONDS)
    gate.fails = False
    finish()
    assert [score.item_id for score in emitted] == ["b"]
    assert "a turn was not scored" in caplog.text


# --- in a session ---


class Silent:
    """An engine that says nothing."""

    capabilities = Capabilities(speaks=False)

    async def start(self): ...

    def open(self, emit):
        return SilentSession()

    async def close(self): ...


class SilentSession:
    def submit(self, command): ...

    def close(self): ...


class Hearing:
    """A session under `semantic_vad`, that is told what is heard and asked when a turn ended, in audio time."""

    def __init__(self, engine):
        self.events, self.scores, self.news = [], [], News()
        self.until = self.news.until
        turn_detection = SemanticVad(eagerness="medium", create_response=False)
        config = SessionConfig(audio=Audio(input=AudioInput(turn_detection=turn_detection)))
        now = time.monotonic()
        setup = Setup(seed="s", config=config, capabilities=engine.capabilities, opened_at=now, expires_at=0)
        self.runner = Runner(setup, engine, send=self.events.append, close=lambda code, reason: None, observers=[self])
        self.runner.start()

    def step(self, now, input, outputs):
        if isinstance(input, TurnScore):
            self.scores.append(input)
        self.news.set()

    def end(self): ...

    def hear(self, samples):
        for at in range(0, samples.size, 2400):
            self.runner.feed(InputAudioBufferAppend(audio=samples[at : at + 2400].astype("<i2").tobytes()))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def stopped(self):
        return self.of(InputAudioBufferSpeechStopped)


async def in_a_session(act):
    async with in_use(Ensemble(Silent(), Silero({}), SmartTurn({}))) as engine:
        session = Hearing(engine)
        try:
            return await act(session)
        finally:
            session.runner.stop(1000, "done")


def test_a_whole_sentence_ends_the_turn_early():
    async def act(session):
        voice = np.concatenate([recording("weather-question.wav"), room(0.35)])
        session.hear(voice)
        await session.until(lambda: session.stopped)
        assert session.stopped[0].audio_end_ms <= voice.size * 1000 / RATE_HZ
        assert len(session.scores) == 1
        assert session.scores[0].probability > 0.6

    asyncio.run(in_a_session(act))


def test_a_cut_sentence_waits_and_goes_on():
    async def act(session):
        cut, whole = recording("weather-question.wav", 0.95), recording("weather-question.wav")
        session.hear(np.concatenate([cut, room(1.0)]))
        await session.until(lambda: session.scores)
        assert session.scores[0].probability < 0.6
        assert session.stopped == []
        session.hear(np.concatenate([whole[cut.size :], room(0.35)]))
        await session.until(lambda: session.stopped)
        assert len(session.of(InputAudioBufferSpeechStarted)) == len(session.stopped) == 1
        assert len(session.scores) == 2, "one score a pause"

    asyncio.run(in_a_session(act))


def test_a_cut_sentence_that_never_goes_on_ends_after_the_longest_wait():
    async def act(session):
        session.hear(np.concatenate([recording("something.wav", 1.77), room(1.0)]))
        await session.until(lambda: session.scores)
        assert session.stopped == []
        session.hear(room(3.5))
        await session.until(lambda: session.stopped)
        assert len(session.scores) == 1
        assert 5_600 < session.stopped[0].audio_end_ms < 6_100  # 4 s after the last word

    asyncio.run(in_a_session(act))
