"""From recorded speech to an audible answer, over a socket: a real server, Silero, a tiny Qwen3-Omni, and no transcriber."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection

from tests.engines.tiny_models import qwen3_omni as tiny
from tests.serving import serving
from vivavoce.client.recording import read_recording

AUDIO = Path(__file__).parents[2] / "../shared/audio"
ENGINE = {"device": "cpu", "threads": 1, "temperature": 0, "greedy_speech": True}
AUDIBLE_RMS = 0.02
CHUNK_SAMPLES = 2_400
SILENCE_SECONDS = 1.5


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two questions and their answers: what the client received, and the lines of the trace."""
    folder = tmp_path_factory.mktemp("traces")
    received = asyncio.run(_talk(folder))
    [trace] = folder.glob("*.jsonl")
    return received, [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]


async def _talk(traces: Path) -> list[dict[str, Any]]:
    engines = {"qwen_omni": {**ENGINE, "model": str(tiny.folder())}}
    received: list[dict[str, Any]] = []
    async with serving(engine="qwen_omni", engines=engines, trace=str(traces)) as served, served.connect() as socket:
        for recording in ("weather-question.wav", "austen-0870.wav"):
            await _say(socket, recording)
            await _receive_answer(socket, received)
    return received


async def _say(socket: ClientConnection, recording: str) -> None:
    """Append a recording and the silence after it, as fast as it goes."""
    samples = read_recording(str(AUDIO / recording)).samples
    samples = np.concatenate((samples, np.zeros(round(SILENCE_SECONDS * 24_000), np.int16)))
    for start in range(0, len(samples), CHUNK_SAMPLES):
        audio = base64.b64encode(samples[start : start + CHUNK_SAMPLES].tobytes()).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))


async def _receive_answer(socket: ClientConnection, received: list[dict[str, Any]]) -> None:
    async with asyncio.timeout(60):
        while not received or received[-1]["type"] != "response.done":
            received.append(json.loads(await socket.recv()))
        received.append({"type": "(next)"})


def _answers(received: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    ends = [place for place, event in enumerate(received) if event["type"] == "(next)"]
    return [received[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def test_each_turn_is_answered_aloud(conversation):
    received, _ = conversation
    answers = _answers(received)
    assert len(answers) == 2
    for events in answers:
        types = [event["type"] for event in events]
        for wanted in ("input_audio_buffer.speech_started", "input_audio_buffer.committed", "response.output_audio.done"):
            assert wanted in types
        assert events[-1]["response"]["status"] == "completed"
        pieces = [base64.b64decode(event["delta"]) for event in events if event["type"] == "response.output_audio.delta"]
        sound = np.frombuffer(b"".join(pieces), "<i2") / 2**15
        assert np.sqrt(np.mean(sound**2)) > AUDIBLE_RMS
        deltas = [event["delta"] for event in events if event["type"] == "response.output_audio_transcript.delta"]
        assert len(deltas) > 1
        [item] = events[-1]["response"]["output"]
        assert "".join(deltas) == item["content"][0]["transcript"] != ""


def test_no_transcriber_ran(conversation):
    received, trace = conversation
    names = {output["type"] for line in trace for output in line.get("outputs", ()) if isinstance(output, dict)}
    inputs = {line["input"]["type"] for line in trace if isinstance(line.get("input"), dict)}
    assert {"Listen", "Generate"} <= names
    assert "OutputAudio" in inputs
    assert "Transcribe" not in names
    assert not {name for name in inputs if name.startswith("Transcript")}
    assert not [event for event in received if "input_audio_transcription" in event["type"]]
