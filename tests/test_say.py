"""`vivavoce say` as a person runs it: a program, a recording, an answer to hear."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection, serve

from tests.live import live
from vivavoce.cli import main
from vivavoce.client.connection import DEFAULT_URL
from vivavoce.client.local_server import answers

AUDIO = Path(__file__).parents[1] / "../shared/audio"
SCRIPT = {
    "turns": [
        {"when": "weather", "do": [{"say": "Let me look."}, {"call": "get_weather", "arguments": {"city": "Oslo"}}]},
        {"when_output": "sky", "say": "I was told: {said}"},
        {"when": "break", "fail": "upstream_timeout", "message": "The model did not answer."},
        {"say": "Good. I have a long story for you, and it goes on for quite a while."},
        {"say": "All right, I stop."},
    ],
}
TOOLS = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "Tells the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "result": {"sky": "clear"},
    }
]
STEPS = ["speech_stopped", "transcript", "first_text", "first_audio", "done"]


Done = subprocess.CompletedProcess[str]


def say_program(*arguments: str | Path, folder: Path, stdin: bytes = b"") -> Done:
    """Run the program in a folder of its own."""
    command = [sys.executable, "-m", "vivavoce.cli", "say", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, timeout=100)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def say(*arguments: str | Path, folder: Path) -> Done:
    """The same in this process: half a second quicker, each time."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(["say", *map(str, arguments)])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings and no keys but the test's own."""
    for name in os.environ:
        if name.startswith(("VIVAVOCE_", "OPENAI_")):
            monkeypatch.delenv(name)


def recording(name: str) -> Path:
    return (AUDIO / name).resolve()


def rows(output: str) -> dict[str, int]:
    """The time line of a single turn."""
    lines = output.split("time line")[1].splitlines()[1:]
    return {name.strip(): int(ms) for name, ms in (line.rsplit(maxsplit=1) for line in lines if line.startswith("  "))}


def reports(output: str) -> list[dict[str, Any]]:
    """The reports of the turns, with `--json`."""
    return [line for line in map(json.loads, output.splitlines()) if "turn" in line]


def heard(file: Path) -> tuple[np.ndarray, int]:
    """The samples of an answer, and their rate."""
    with wave.open(str(file)) as answer:
        assert (answer.getnchannels(), answer.getsampwidth()) == (1, 2)
        return np.frombuffer(answer.readframes(answer.getnframes()), "<i2").astype(float), answer.getframerate()


def assert_audible(file: Path, seconds: float, rate_hz: int = 24_000) -> None:
    samples, hz = heard(file)
    assert hz == rate_hz
    assert samples.size / hz > seconds
    assert np.sqrt((samples**2).mean()) > 300


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with the scripted engine."""
    with live(engines={"scripted": {"script": SCRIPT}}) as url:
        yield url


# --- the main job ---


def test_a_recording_is_answered_at_the_speed_of_speech(url: str, tmp_path: Path) -> None:
    done = say_program("--url", url, recording("goforward.wav"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"server     {url}", "speaking   goforward.wav: 2.8 s, 16000 Hz mono"]
    assert lines[2].startswith("you        (2.")
    assert lines[3] == "answer     Good. I have a long story for you, and it goes on for quite a while."
    assert lines[4].startswith("spoken     4.")
    assert "s into goforward.wav" in lines[5]
    assert_audible(tmp_path / "answer.wav", 4.0)
    times = rows(done.stdout)
    assert list(times) == ["speech_stopped", "transcript", "first text", "first audio", "done"]
    # The silence of 500 ms, a window of the detector, a frame of ours; and a busy machine.
    assert 480 <= times["speech_stopped"] <= 1500
    assert times["speech_stopped"] <= times["first text"] <= times["first audio"] <= times["done"]
    assert times["speech_stopped"] <= times["transcript"]


@pytest.mark.parametrize("dialect", [[], ["--beta"]], ids=["GA", "beta"])
@pytest.mark.parametrize(
    ("flags", "rate_hz"),
    [([], 24_000), (["--push-to-talk"], 24_000), (["--g711", "ulaw"], 8_000), (["--g711", "alaw"], 8_000)],
    ids=["turn detection", "push-to-talk", "µ-law", "A-law"],
)
def test_every_way_to_speak(url: str, tmp_path: Path, dialect: list[str], flags: list[str], rate_hz: int) -> None:
    done = say("--url", url, "--fast", "--json", *dialect, *flags, recording("cards-002.wav"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    [report] = reports(done.stdout)
    assert report["status"] == "completed"
    assert report["transcript"].endswith("seconds of audio)")
    assert report["answer"].startswith("Good.")
    assert_audible(tmp_path / "answer.wav", 4.0, rate_hz)
    times = report["time_line_ms"]
    assert (times["speech_stopped"] is None) == ("--push-to-talk" in flags)
    if "--push-to-talk" not in flags:  # The recording's last word ends at 1.7 s: by the ear, and by the detector.
        assert report["speech_end_ms"] == pytest.approx(1700, abs=150)
        assert report["loud_until_seconds"] == pytest.approx(1.7, abs=0.05)


@pytest.mark.parametrize("dialect", [[], ["--beta"]], ids=["GA", "beta"])
def test_a_tool_is_called_and_its_result_is_spoken(url: str, tmp_path: Path, dialect: list[str]) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    done = say("--url", url, *dialect, "--text", "How is the weather?", "--tools", "tools.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [label for label, _ in lines[1:7]] == ["typed", "answer", "tool", "result", "answer", "spoken"]
    assert lines[3][1] == 'get_weather({"city": "Oslo"})'
    assert lines[5][1] == 'I was told: {"sky": "clear"}'
    assert_audible(tmp_path / "answer.wav", 2.0)


def test_a_tool_without_a_result_ends_the_turn(url: str, tmp_path: Path) -> None:
    tool = {name: value for name, value in TOOLS[0].items() if name != "result"}
    (tmp_path / "tools.json").write_text(json.dumps([tool]))
    done = say("--url", url, "--json", "--text", "weather", "--tools", "tools.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    [report] = reports(done.stdout)
    assert report["calls"] == [{"name": "get_weather", "arguments": '{"city": "Oslo"}'}]
    assert report["answer"] == "Let me look."


def test_several_turns_are_one_conversation(url: str, tmp_path: Path) -> None:
    files = [recording("hello-world.wav"), recording("cards-001.wav")]
    done = say("--url", url, "--fast", "--json", *files, "--text", "And now?", "--out", "a.wav", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [report["turn"] for report in reports(done.stdout)] == ["hello-world.wav", "cards-001.wav", "And now?"]
    assert [report["answer"][:4] for report in reports(done.stdout)] == ["Good", "All ", "Good"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.wav", "a-2.wav", "a-3.wav"]


def test_the_next_file_interrupts_the_answer(url: str, tmp_path: Path) -> None:
    files = [recording("hello-world.wav"), recording("cards-001.wav")]
    done = say("--url", url, "--fast", "--json", *files, "--interrupt-after", "0.5", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    events = [line.get("sent") or line.get("received") for line in map(json.loads, done.stdout.splitlines())]
    [cut] = [event["audio_end_ms"] for event in events if event and event["type"] == "conversation.item.truncate"]
    [confirmed] = [event["audio_end_ms"] for event in events if event and event["type"] == "conversation.item.truncated"]
    assert 500 <= cut == confirmed <= 3000
    samples, hz = heard(tmp_path / "answer-1.wav")
    assert samples.size / hz == pytest.approx(cut / 1000, abs=0.001)
    assert [report["answer"][:4] for report in reports(done.stdout)] == ["Good", "All "]


def test_standard_input(url: str, tmp_path: Path) -> None:
    done = say_program("--url", url, "--fast", "-", folder=tmp_path, stdin=recording("cards-002.wav").read_bytes())
    assert done.returncode == 0, done.stderr
    assert "speaking   standard input: 2.0 s, 16000 Hz mono" in done.stdout


# --- a server of its own ---


@pytest.fixture
def nobody_serves() -> None:
    if answers(DEFAULT_URL):
        pytest.skip(f"a server runs at {DEFAULT_URL}, and `say` rightly takes it")


@pytest.mark.usefixtures("nobody_serves")
def test_it_starts_a_server_and_stops_it(tmp_path: Path) -> None:
    done = say_program(recording("goforward.wav"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"server     none at {DEFAULT_URL}: starting one"
    [own] = re.findall(r"server     (http://127\.0\.0\.1:\d+), ready after [\d.]+ s", lines[1])
    assert not answers(own)
    [words] = [line[11:] for line in lines if line.startswith("you")]
    assert "forward" in words
    assert any(len(line) > 20 for line in lines if line.startswith("answer"))
    assert_audible(tmp_path / "answer.wav", 0.5)
    times = rows(done.stdout)
    assert list(times) == ["speech_stopped", "transcript", "first text", "first audio", "done"]
    assert 480 <= times["speech_stopped"] <= times["transcript"] <= times["first text"] <= times["first audio"]
    assert times["first audio"] <= times["done"]


@pytest.mark.usefixtures("nobody_serves")
def test_a_command_that_is_terminated_takes_its_server_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vivavoce.cli", "say", str(recording("silero-minute.wav"))]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        _, ready, _ = (running.stdout.readline() for _ in range(3))
        own = ready.split()[1].rstrip(",")
        assert answers(own)
        running.terminate()
        assert running.wait(20) == 130
    assert not answers(own)


# --- what goes wrong ---


def test_a_reader_who_has_read_enough(url: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m vivavoce.cli say --url {url} --json --text Hello | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


def test_a_failed_response_is_exit_code_1(url: str, tmp_path: Path) -> None:
    done = say("--url", url, "--text", "break", folder=tmp_path)
    assert done.returncode == 1
    assert "failed     The model did not answer. (upstream_timeout)" in done.stdout
    assert not (tmp_path / "answer.wav").exists()


def test_silence_is_no_speech(url: str, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(bytes(24_000))
    done = say("--url", url, "--fast", "--timeout", "1", "silence.wav", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "vivavoce: The server heard no speech in silence.wav.\n"


def test_a_session_that_is_refused_says_why(url: str, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('[{"type": "nonsense", "name": "a"}]')
    done = say("--url", url, "--text", "Hello", "--tools", "tools.json", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("vivavoce: The server refuses: Invalid")


def test_a_key_is_asked_for_and_taken(tmp_path: Path) -> None:
    with live(api_keys=("correct",)) as url:
        refused = say("--url", url, "--text", "Hello", folder=tmp_path)
        assert refused.returncode == 1
        assert "HTTP 401" in refused.stderr
        assert "--api-key" in refused.stderr
        assert say("--url", url, "--text", "Hello", "--api-key", "correct", folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing to say"),
        (["none.wav"], 2, "Cannot read none.wav: No such file or directory."),
        (["a.wav", "--interrupt-after", "1"], 2, "needs two files"),
        (["-", "-"], 2, "can be read once only"),
        (["--text", "Hi", "--tools", "none.json"], 2, "Cannot read none.json"),
        (["--text", "Hi", "--url", "ftp://host"], 2, "is no server's address"),
        (["--text", "Hi", "--url", "http://127.0.0.1:1"], 1, "Start one: vivavoce serve"),
    ],
)
def test_one_line_says_what_is_wrong(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    done = say(*arguments, folder=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def scripted_server(*frames: dict[str, Any], code: int = 1000, reason: str = "") -> Any:
    """A server that is not ours, and is no good: it sends its frames, then closes."""

    def talk(socket: ServerConnection) -> None:
        for frame in frames:
            socket.send(json.dumps(frame))
        if code:
            socket.close(code, reason)
        else:
            for _ in socket:
                pass

    server = serve(talk, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (1011, "Sorry", "The server closed the connection with 1011: Sorry"),
        (1000, "", "The server closed the connection.\n"),
        (0, "", "The server did not send an answer within 1 s."),
    ],
    ids=["failure", "farewell", "silence"],
)
def test_a_server_that_breaks_off(code: int, reason: str, message: str, tmp_path: Path) -> None:
    session = {"type": "session.updated", "session": {}}
    with scripted_server(session, code=code, reason=reason) as server:
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        done = say("--url", url, "--text", "Hello", "--timeout", "1", folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
