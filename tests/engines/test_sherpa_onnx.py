"""Recognition while one speaks: a tiny transducer that hears tones as words, through the real library."""

import asyncio
import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import onnx
import pytest
import sherpa_onnx

from tests.engines.hearing_turns import Barrier, Turn, heard, noise, silence
from tests.engines.probe import in_use
from tests.engines.tiny_models.sherpa import described, make_sherpa, speech, tone
from vivavoce.audio import Encoder
from vivavoce.engines.parts import Hints
from vivavoce.engines.sherpa_onnx import SherpaOnnx
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import AudioFormat


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sherpa(tmp_path_factory.mktemp("sherpa"))


def started(folder: Path, **options: object) -> AbstractAsyncContextManager[SherpaOnnx]:
    return in_use(SherpaOnnx({"model": str(folder), "threads": 1, **options}))


class Gate(Barrier):
    """Counts the batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.batches: list[int] = []
        real = sherpa_onnx.OnlineRecognizer.decode_streams

        def decode_streams(recognizer: object, streams: list) -> None:
            self.batches.append(len(streams))
            self.passed()
            real(recognizer, streams)

        monkeypatch.setattr(sherpa_onnx.OnlineRecognizer, "decode_streams", decode_streams)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


SENTENCES = ["one two three", "two apple please", "pears one app", "one", "three pear apple two one"]


@pytest.mark.parametrize("decoding", ["greedy_search", "modified_beam_search"])
def test_it_hears_what_is_said(folder: Path, decoding: str) -> None:
    async def scenario() -> None:
        async with started(folder, decoding=decoding) as transcriber:
            for words in SENTENCES:
                assert await heard(transcriber, speech(words)) == words
            assert await heard(transcriber, silence(1) + speech("two apple") + silence(1)) == "two apple"

    asyncio.run(scenario())


@pytest.mark.parametrize("step_frames", [32, 112])
def test_the_last_words_are_heard_however_long_a_step_is(tmp_path: Path, step_frames: int) -> None:
    async def scenario() -> None:
        async with started(make_sherpa(tmp_path, step_frames=step_frames)) as transcriber:
            for words in SENTENCES:
                assert await heard(transcriber, speech(words)) == words

    asyncio.run(scenario())


def test_a_turn_that_ends_in_quiet_needs_no_more_of_it(folder: Path, gate: Gate) -> None:
    def steps(audio: bytes) -> float:
        return len(audio) / 48_000 / 0.08

    async def scenario() -> None:
        abrupt, quiet = speech("one two three"), speech("one two three") + silence(0.7)
        async with started(folder) as transcriber:
            gate.batches.clear()
            assert await heard(transcriber, abrupt) == "one two three"
            assert len(gate.batches) > steps(abrupt) + 2
            gate.batches.clear()
            assert await heard(transcriber, quiet) == "one two three"
            assert len(gate.batches) < steps(quiet)

    asyncio.run(scenario())


@pytest.mark.parametrize("chunk_bytes", [37, 999, 48_000, 10**7])
def test_it_does_not_matter_how_the_sound_is_cut(folder: Path, chunk_bytes: int) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("two apple please"), chunk_bytes=chunk_bytes)
            assert (await turn.finish()).text == "two apple please"

    asyncio.run(scenario())


@pytest.mark.parametrize("encoding", ["audio/pcmu", "audio/pcma"])
def test_it_hears_over_the_telephone(folder: Path, encoding: str) -> None:
    async def scenario() -> None:
        encoder = Encoder(encoding)
        audio = encoder.feed(speech("one two three")) + encoder.flush()
        async with started(folder) as transcriber:
            assert await heard(transcriber, audio, format=AudioFormat(type=encoding)) == "one two three"

    asyncio.run(scenario())


def test_silence_and_noise_are_nothing(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            for audio in (b"", b"\0", silence(0.05), silence(5), noise(3)):
                assert await heard(transcriber, audio) == ""

    asyncio.run(scenario())


@pytest.mark.parametrize("decoding", ["greedy_search", "modified_beam_search"])
def test_words_come_while_the_user_speaks(folder: Path, decoding: str) -> None:
    async def scenario() -> None:
        async with started(folder, decoding=decoding) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("one two") + silence(0.1))
            assert await turn.until(lambda words: "one" in words) == "one"
            turn.feed(speech("app three") + silence(0.1))
            assert await turn.until(lambda words: "app" in words) == "one two app"
            assert (await turn.finish()).text == "one two app three"

    asyncio.run(scenario())


def test_in_a_pause_the_last_word_comes_too(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("please") + silence(0.6))
            assert await turn.until(bool) == "please"
            turn.feed(speech("one app") + silence(0.6))
            assert await turn.until(lambda words: "app" in words) == "please one app"
            turn.feed(tone((5,), 0.16).tobytes())
            assert (await turn.finish()).text == "please one apple"

    asyncio.run(scenario())


def test_a_word_that_may_still_grow_is_kept_back(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("two app")[: -2 * 24_000 // 25])
            turn.feed(tone((5,), 0.16).tobytes() + silence(0.2))
            turn.feed(speech("please"))
            assert (await turn.finish()).text == "two apple please"
            assert "".join(turn.deltas) in ("two", "two apple")

    asyncio.run(scenario())


def test_log_probabilities_are_of_the_tokens(folder: Path) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("one apple"))
            transcript = await turn.finish()
            assert [one.token for one in transcript.logprobs] == [" one", " app", "le"]
            assert all(-0.5 < one.logprob < 0 for one in transcript.logprobs)

    asyncio.run(scenario())


def test_sessions_share_batches_and_do_not_mix(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.shut()
            hearing = [asyncio.create_task(heard(transcriber, speech(words))) for words in SENTENCES * 4]
            await gate.until_somebody_waits()
            gate.open.set()
            assert await asyncio.gather(*hearing) == SENTENCES * 4
            assert max(gate.batches) > 10

    asyncio.run(scenario())


def test_who_has_much_to_say_keeps_nobody_waiting(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.shut()
            long = asyncio.create_task(heard(transcriber, speech("one two three") * 60))
            await gate.until_somebody_waits()
            short = asyncio.create_task(heard(transcriber, speech("two")))
            await asyncio.sleep(0)
            gate.batches.clear()
            gate.open.set()
            assert await short == "two"
            assert await long == " ".join(["one two three"] * 60)
            last_of_both = max(step for step, streams in enumerate(gate.batches) if streams == 2)
            assert last_of_both < 20 < 400 < len(gate.batches)

    asyncio.run(scenario())


def test_cancel_frees_the_stream(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("one two three"))
            await turn.until(bool)
            stream = weakref.ref(turn.recognition._stream)
            turn.recognition.cancel()
            turn.recognition.cancel()
            turn.recognition.feed(speech("one"), AudioFormat(type="audio/pcm"))
            assert (await turn.recognition.finish()).text == ""
            del turn
            assert await heard(transcriber, speech("two")) == "two"
            gc.collect()
            assert stream() is None
            assert transcriber._turns == set()

    asyncio.run(scenario())


def test_cancelled_while_it_is_decoded(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.shut()
            turn = Turn(transcriber)
            turn.feed(speech("one two three"))
            finishing = asyncio.create_task(turn.finish())
            await gate.until_somebody_waits()
            turn.recognition.cancel()
            gate.open.set()
            assert (await finishing).text == ""
            assert await heard(transcriber, speech("two")) == "two"
            assert turn.deltas == []

    asyncio.run(scenario())


def test_a_failure_ends_the_turns_of_its_batch_and_no_others(folder: Path, gate: Gate) -> None:
    async def scenario() -> None:
        async with started(folder) as transcriber:
            gate.error = RuntimeError("out of memory")
            with pytest.raises(RuntimeError, match="out of memory"):
                await heard(transcriber, speech("one"))
            gate.error = None
            assert await heard(transcriber, speech("two")) == "two"

    asyncio.run(scenario())


def test_close_stops_everything(folder: Path) -> None:
    async def scenario() -> None:
        transcriber = SherpaOnnx({"model": str(folder)})
        with pytest.raises(EngineError, match="is not started"):
            Turn(transcriber)
        await transcriber.start()
        turn = Turn(transcriber)
        turn.feed(speech("one two three"))
        await transcriber.close()
        assert (await turn.recognition.finish()).text == ""
        with pytest.raises(EngineError, match="is not started"):
            Turn(transcriber)
        await transcriber.close()

    threads = threading.active_count()
    asyncio.run(scenario())
    assert threading.active_count() <= threads


# --- hints ---


def test_hotwords_decide_where_sound_does_not(folder: Path, capfd: pytest.CaptureFixture) -> None:
    both = silence(0.1) + tone((1, 2), 0.05).tobytes() + silence(0.1)

    async def scenario() -> None:
        async with started(folder, decoding="modified_beam_search", hotwords_score=2.0) as transcriber:
            assert await heard(transcriber, both, Hints(phrases=("two one", "§/:", "unheard of"))) == "two one"
            assert await heard(transcriber, both, Hints(phrases=("one two", "three"))) == "one two"
        async with started(folder) as transcriber:  # A greedy search cannot be told any.
            plain = await heard(transcriber, both)
            assert await heard(transcriber, both, Hints(phrases=("two one",))) == plain
            assert await heard(transcriber, both, Hints(phrases=("one two",))) == plain

    asyncio.run(scenario())
    assert "hotwords" not in capfd.readouterr().err, "the library complains of words that the model cannot write"


def test_a_model_that_shouts_is_put_in_small_letters(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(make_sherpa(tmp_path, capitals=True)) as transcriber:
            turn = Turn(transcriber)
            turn.feed(speech("one apple please"))
            transcript = await turn.finish()
            assert transcript.text == "one apple please"
            assert [one.token for one in transcript.logprobs] == [" one", " app", "le", " please"]

    asyncio.run(scenario())


# --- what cannot work ---

WITHOUT = {"model_type": "zipformer2", "num_encoder_layers": "2,2"}
"""What a transducer that does not stream tells of itself."""


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("tokens.txt", None, "tokens.txt"),
        ("tokens.txt", b"", "tokens.txt is empty"),
        ("tokens.txt", b"one two three four 5\n", "no list of tokens"),
        ("joiner-epoch-99-avg-1.onnx", None, "is no model that streams"),
        ("encoder-epoch-99-avg-1.onnx", b"<html>not found</html>", "cannot be used"),
        ("encoder-epoch-99-avg-1.onnx", b"", "is no ONNX file"),
        ("encoder-epoch-99-avg-1.onnx", described(WITHOUT), "is no model that streams"),
        ("encoder-epoch-99-avg-1.onnx", described(WITHOUT)[:-9], "cannot be used"),
        ("encoder-epoch-99-avg-1.onnx", described(WITHOUT | {"T": "x", "decode_chunk_len": "1"}), "cannot be used: .*'x'"),
        ("decoder-epoch-99-avg-1.onnx", described({}), "is no model that streams"),
    ],
)
def test_a_folder_that_is_no_model(folder: Path, tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    """The library would end the process, and these tests with it."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(EngineError, match=says) as raised:
        asyncio.run(SherpaOnnx({"model": str(tmp_path)}).start())
    assert "\n" not in raised.value.message
    assert raised.value.message.startswith("The transcriber 'sherpa_onnx'")


def test_a_graph_that_does_not_load(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "joiner-epoch-99-avg-1.onnx"
    model = onnx.load(path)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"cannot use.*NoSuchOperator"):
        asyncio.run(SherpaOnnx({"model": str(tmp_path)}).start())


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no encoder, decoder and joiner"):
        asyncio.run(SherpaOnnx({"model": str(tmp_path)}).start())


def test_without_the_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'vivavoce\[sherpa-onnx\]'"):
        asyncio.run(SherpaOnnx({"model": str(folder)}).start())
