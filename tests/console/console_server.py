"""A server with the console, as an operator starts it, that can be started again on the same port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

START_SECONDS: Final = 60
LONG_ANSWER: Final = "This is a long answer, which goes on and on, so that somebody may want to interrupt it before its end."
SCRIPT: Final = {
    "turns": [
        {"when": "weather", "call": "get_weather", "arguments": {"location": "Paris"}},
        {"when": "book", "call": "book_table", "arguments": {"guests": 4, "time": "19:30"}},
        {"when_output": "sky", "say": "Fine."},
        {"when_output": "booked", "say": "It is booked."},
        {"when": "fail", "fail": "upstream_timeout", "message": "The model did not answer."},
        {"when": "short", "say": "Yes."},
        {"say": LONG_ANSWER},
    ],
    "transcripts": ["How are you today?"],
}


class ConsoleServer:
    """`vivavoce serve` in a process of its own. Start it with `start`; stop it, in the end, with `stop`."""

    def __init__(self, folder: Path, *, engine: str = "scripted", api_key: str = "") -> None:
        self._folder: Final = folder
        self._engine: Final = engine
        self._api_key: Final = api_key
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        script = self._folder / "script.yaml"
        script.write_text(yaml.safe_dump(SCRIPT), encoding="utf-8")
        program = str(Path(sys.executable).parent / "vivavoce")
        command = [program, "serve", "--port", str(self.port), "--engine", self._engine, "--set", "grace_seconds=0"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("VIVAVOCE_", "OPENAI_"))}
        if self._api_key:
            environment["VIVAVOCE_API_KEYS"] = self._api_key
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--set", f"engines.scripted.script={script}"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, f"the server did not start: {line!r}\n{(self._folder / 'server.log').read_text()}"
        self.port = int(found[1])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None
