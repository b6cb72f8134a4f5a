"""`vivavoce replay`: traces of a real server, as they are and bent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.live import live
from vivavoce.cli import main

AUDIO = (Path(__file__).parents[1] / "../shared/audio").resolve()
Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spoken turn and a typed one, recorded by the server."""
    folder = tmp_path_factory.mktemp("traces")
    answer = folder.parent / "answer.wav"
    with live(trace=str(folder)) as url:
        said = ["--url", url, "--fast", str(AUDIO / "cards-002.wav"), "--text", "And now?", "--out", str(answer)]
        assert main(["say", *said]) == 0
    [trace] = folder.iterdir()
    return trace


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, list[str]]:
        code = main(["replay", *map(str, arguments)])
        out, errors = capsys.readouterr()
        return code, (out + errors).splitlines()

    return run


def bent(trace: Path, file: Path, bend: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the trace in which the step that closes the spoken turn was changed."""
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    for line in lines:
        if any(output["type"].endswith("speech_stopped") for output in line.get("outputs", ())):
            bend(line)
    file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return file


def test_a_trace_replays(trace: Path, replay: Run) -> None:
    code, [line] = replay(trace)
    steps = len(trace.read_text().splitlines()) - 1
    assert code == 0
    assert line.startswith(f"{steps} steps, ")
    assert line.endswith(" s, identical")


def test_the_first_difference_is_named_by_its_path(trace: Path, replay: Run, tmp_path: Path) -> None:
    def later(step: dict[str, Any]) -> None:
        step["outputs"][0]["audio_end_ms"] += 7
        step["outputs"][1]["item_id"] = "item_x"

    code, lines = replay(bent(trace, tmp_path / "bent.jsonl", later))
    end_ms = int(lines[4].split()[-1])
    assert code == 1
    assert "answers SpeechScore differently," in lines[0]
    assert lines[2:] == [
        "output 1, input_audio_buffer.speech_stopped",
        "  $.audio_end_ms",
        f"    recorded  {end_ms}",
        f"    replayed  {end_ms - 7}",
    ]


def test_an_output_too_few_is_shown(trace: Path, replay: Run, tmp_path: Path) -> None:
    code, lines = replay(bent(trace, tmp_path / "bent.jsonl", lambda step: step["outputs"].pop()))
    assert code == 1
    assert lines[-2] == "  recorded  nothing more"
    assert lines[-1].startswith('  replayed  {"type": "')


def test_another_output_is_shown(trace: Path, replay: Run, tmp_path: Path) -> None:
    def otherwise(step: dict[str, Any]) -> None:
        step["outputs"][0] = {"type": "session.updated"}

    code, lines = replay(bent(trace, tmp_path / "bent.jsonl", otherwise))
    assert code == 1
    assert lines[2:4] == ["output 1", '  recorded  {"type": "session.updated"}']
    assert lines[4].startswith('  replayed  {"type": "input_audio_buffer.speech_stopped"')


def test_the_log_tells_the_conversation(trace: Path, replay: Run) -> None:
    code, lines = replay(trace, "--events")
    told = [line[11:] for line in lines]
    assert code == 0
    assert told[0] == "server session.created"
    assert [float(line[:9]) for line in lines] == sorted(float(line[:9]) for line in lines)
    story = [
        "client session.update",
        "server input_audio_buffer.speech_started  audio_start_ms 0",
        "asks   Transcribe",
        "server response.output_audio_transcript.delta ×12  Hello. I am the scripted engine: I say what my script says.",
        "server response.output_audio.delta ×12",
        "server response.done  completed",
        "client conversation.item.create  user And now?",
        "client response.create",
        "server response.done  completed",
        "runner Disconnected",
    ]
    rest = iter(told)
    assert all(any(line == wanted for line in rest) for wanted in story), "\n".join(told)
    assert any(line.startswith("client input audio ×") for line in told)


def test_a_cut_trace_replays_as_far_as_it_goes(trace: Path, replay: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text(trace.read_text()[:20_000])
    code, [line] = replay(tmp_path / "cut.jsonl")
    assert (code, line.split(", ")[-1]) == (0, "identical")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "Cannot read"), ("", "is empty"), ("hello\n", "is not a trace"), ('{"version":"1"}\n', "is not a trace")],
)
def test_what_is_no_trace(content: str | None, message: str, replay: Run, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.jsonl").write_text(content)
    code, [line] = replay(tmp_path / "a.jsonl")
    assert code == 2
    assert message in line


def test_a_trace_of_another_version_says_so(trace: Path, replay: Run, tmp_path: Path) -> None:
    head, first, *_ = trace.read_text().splitlines()
    (tmp_path / "a.jsonl").write_text(f'{head}\n{first}\n{{"now":1.0,"input":{{"type":"Unheard"}},"outputs":[]}}\n')
    code, [line] = replay(tmp_path / "a.jsonl")
    assert code == 2
    assert "is not a trace that this version reads" in line
