"""`vivavoce bench`: its parts on made-up moments, and one short run against a server. Nothing here depends on speed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.live import live
from vivavoce.cli import main
from vivavoce.client.connection import Server
from vivavoce.client.load import server_processes
from vivavoce.client.load.figures import LATENCIES, Tally, percentiles
from vivavoce.client.load.plan import PATIENCE_SECONDS, Plan
from vivavoce.client.load.plot import Axis, Line, Mark, draw
from vivavoce.client.load.speaker import Event, Speaker, read_event
from vivavoce.client.load.utterances import SILENCE, Utterance, voices
from vivavoce.client.recording import Recording, read_recording

AUDIO = Path(__file__).parents[1] / "../shared/audio"
CHUNK_SECONDS = 0.02
WORDS = Utterance(frames=(b"a", b"b", b"c", b"d"), onset_seconds=0.03, end_seconds=0.05)
HALF_A_SECOND = '"' + "A" * 32_000 + '"'


class Conversation:
    """A speaker and a server that is played by hand. Time is a number."""

    def __init__(self, **plan: float) -> None:
        self.speaker = Speaker(Plan(server=Server(), **plan), (WORDS,), 0)
        self.speaker.tally = self.tally = Tally()
        self.now = 0.0
        self.sent: list[bytes] = []

    def hear(self, kind: str, **fields: object) -> None:
        self.speaker.hear(read_event(json.dumps({"type": kind, **fields})), self.now)

    def audio(self) -> None:
        event = Event("response.output_audio.delta", delta=msgspec.Raw(HALF_A_SECOND.encode()))
        self.speaker.hear(event, self.now)

    def speak_until(self, frame: bytes) -> None:
        """Send chunks until one holds this."""
        for _ in range(2_000):
            self.now += CHUNK_SECONDS
            self.sent.append(self.speaker.chunk(self.now))
            if self.sent[-1].startswith(frame):
                return
        raise AssertionError(f"{frame!r} was never said")

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += CHUNK_SECONDS
            self.sent.append(self.speaker.chunk(self.now))

    def figures(self, name: str) -> list[float]:
        return [round(value, 3) for value in self.tally.latencies_ms[name]]


def test_an_answer_is_timed_from_the_last_sample_of_the_speech() -> None:
    talk = Conversation()
    talk.hear("session.updated")
    talk.speak_until(b"c")  # the speech ends 10 ms before this chunk does
    talk.now += 0.49
    talk.hear("input_audio_buffer.speech_stopped")
    talk.hear("response.created")
    talk.now += 0.003
    talk.audio()
    talk.now += 0.4
    talk.audio()
    talk.hear("response.done", response={"status": "completed"})
    assert talk.figures("speech_end_to_stopped_ms") == [500.0]
    assert talk.figures("stopped_to_audio_ms") == [3.0]
    assert talk.figures("speech_end_to_audio_ms") == [503.0]
    assert (talk.tally.answers, talk.tally.deltas, talk.tally.late_deltas) == (1, 2, 0)
    assert talk.tally.answer_seconds == pytest.approx(1.0, abs=0.001)


def test_silence_goes_on_between_utterances_and_the_next_one_comes_after_the_pause() -> None:
    talk = Conversation(pause_seconds=0.5)
    talk.hear("session.updated")
    talk.speak_until(b"d")
    talk.hear("input_audio_buffer.speech_stopped")
    talk.hear("response.done", response={"status": "completed"})
    ended = talk.now
    talk.speak_until(b"a")
    assert talk.now - ended == pytest.approx(0.5, abs=2 * CHUNK_SECONDS)
    assert all(frames.startswith(SILENCE) for frames in talk.sent[-20:-1])


def test_a_delta_is_late_when_everything_before_it_was_played() -> None:
    talk = Conversation()
    talk.hear("response.created")
    talk.audio()
    talk.now += 0.45
    talk.audio()
    talk.now += 0.63
    talk.audio()
    assert talk.tally.late_deltas == 1
    assert talk.tally.worst_gap_ms == pytest.approx(80, abs=1)


def test_an_interruption_is_timed_from_the_first_sample_of_the_speech() -> None:
    talk = Conversation(interrupting=1.0)
    talk.hear("session.updated")
    talk.speak_until(b"d")
    talk.hear("input_audio_buffer.speech_stopped")
    talk.hear("response.created")
    talk.audio()
    talk.speak_until(b"b")  # the speech begins 10 ms before this chunk ends
    talk.now += 0.09
    talk.hear("response.done", response={"status": "cancelled"})
    assert talk.figures("onset_to_cancelled_ms") == [100.0]
    assert talk.tally.interrupted == 1


def test_an_echo_is_an_error_that_names_our_event_and_no_other() -> None:
    talk = Conversation()
    talk.wait(CHUNK_SECONDS)
    talk.now += 0.004
    talk.hear("error", error={"code": "item_retrieve_invalid_item_id", "event_id": "bench_echo"})
    talk.hear("error", error={"code": "server_error", "event_id": None})
    assert talk.figures("append_to_echo_ms") == [4.0]
    assert dict(talk.tally.errors) == {"server_error": 1}


def test_a_server_that_does_not_answer_is_an_error_and_the_session_goes_on() -> None:
    talk = Conversation()
    talk.hear("session.updated")
    talk.speak_until(b"d")
    talk.hear("input_audio_buffer.speech_started")
    talk.wait(PATIENCE_SECONDS + 1)
    assert dict(talk.tally.errors) == {"no_answer": 1}
    assert sum(frames.startswith(b"d") for frames in talk.sent) == 2


def test_an_answer_to_a_pause_is_not_the_answer() -> None:
    talk = Conversation()
    talk.hear("session.updated")
    talk.speak_until(b"b")
    talk.hear("input_audio_buffer.speech_started")
    talk.hear("input_audio_buffer.speech_stopped")
    talk.speak_until(b"c")
    talk.hear("input_audio_buffer.speech_started")
    talk.speak_until(b"d")
    talk.hear("response.done", response={"status": "completed"})
    talk.wait(2)
    assert sum(frames.startswith(b"a") for frames in talk.sent) == 1
    talk.hear("input_audio_buffer.speech_stopped")
    talk.hear("response.done", response={"status": "completed"})
    talk.wait(2)
    assert sum(frames.startswith(b"a") for frames in talk.sent) == 2


def test_an_utterance_that_nobody_noticed_is_counted_apart() -> None:
    talk = Conversation()
    talk.hear("session.updated")
    talk.speak_until(b"d")
    talk.wait(PATIENCE_SECONDS + 1)
    assert (talk.tally.unheard, dict(talk.tally.errors)) == (1, {})


def test_voices_say_the_same_at_other_lengths() -> None:
    recording = read_recording(str(AUDIO / "goforward.wav"))
    plain, higher, *_ = voices([recording], 3)
    assert len(plain[0].frames) == pytest.approx(recording.seconds * 50, abs=1)
    assert len(higher[0].frames) < len(plain[0].frames)
    assert 0 < plain[0].onset_seconds < plain[0].end_seconds < recording.seconds


def test_speech_begins_and_ends_where_it_is_loud() -> None:
    samples = np.concatenate([np.zeros(12_000), np.tile([9_000, -9_000], 12_000), np.zeros(6_000)]).astype(np.int16)
    (voice,) = voices([Recording("tone", samples, 24_000, 1)], 1)
    assert (voice[0].onset_seconds, voice[0].end_seconds) == (0.5, 1.5)


def test_percentiles() -> None:
    figures = percentiles([float(value) for value in range(100, 0, -1)])
    assert figures is not None
    assert (figures.count, figures.p50, figures.p95, figures.p99, figures.worst) == (100, 50, 95, 99, 100)
    assert percentiles([]) is None


def test_tallies_add_up() -> None:
    one, other = Tally(answers=1, worst_gap_ms=5), Tally(answers=2, worst_gap_ms=3)
    one.latencies_ms["append_to_echo_ms"].append(1)
    other.latencies_ms["append_to_echo_ms"].append(2)
    other.errors["no_answer"] = 1
    one.add(other)
    assert (one.answers, one.worst_gap_ms, list(one.latencies_ms["append_to_echo_ms"])) == (3, 5, [1, 2])
    assert one.errors == {"no_answer": 1}


def test_a_plot_is_svg_and_escapes_names() -> None:
    lines = [Line("a < b", [(1, 0.5), (10, 20)]), Line("c", [(1, 3), (10, 4)])]
    for scale in ("linear", "log"):
        root = ElementTree.fromstring(draw("title & more", Axis("x"), Axis("ms", scale), lines, [Mark(50, "limit")]))
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"title & more", "a < b", "c", "limit", "x", "ms"} <= set(texts)
        assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2


def test_processes_are_looked_at() -> None:
    use = server_processes.use([os.getpid()])
    assert use.cpu_seconds >= use.main_thread_seconds > 0
    assert use.memory_bytes > 10_000_000
    assert server_processes.find(Server(url="https://voice.example.com")) == []


def test_a_short_run(tmp_path: Path) -> None:
    report_file, plot_file = tmp_path / "run.json", tmp_path / "run.svg"
    with (
        live(engines={"scripted": {"script": {"turns": [{"say": "One two three."}]}}}) as url,
        contextlib.redirect_stdout(io.StringIO()) as out,
    ):
        load = ["--url", url, "--sessions", "3", "--seconds", "8", "--warm-up", "0.5", "--ramp", "0.2", "--processes", "2"]
        files = ["--json", str(report_file), "--plot", str(plot_file)]
        code = main(["bench", str(AUDIO / "cards-001.wav"), *load, *files])
    report = json.loads(report_file.read_bytes())
    assert code == 0
    assert (report["sessions"], report["errors"], report["refusals"]) == (3, {}, {})
    assert set(report["latencies_ms"]) == set(LATENCIES)
    assert report["answers"] > 0
    assert report["latencies_ms"]["append_to_echo_ms"]["count"] > 0
    assert report["latencies_ms"]["speech_end_to_stopped_ms"]["p50"] > 300  # silence_duration_ms is 500; the recording fades
    assert report["latencies_ms"]["onset_to_cancelled_ms"] is None
    assert report["generator"]["processes"] == 2
    assert "speech_stopped → first audio" in out.getvalue()
    ElementTree.parse(plot_file)


def test_no_server_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(AUDIO / "cards-001.wav"), "--url", "http://127.0.0.1:9", "--sessions", "1"]) == 1
    assert "No server answers at http://127.0.0.1:9" in capsys.readouterr().err
