"""A server of our own, as an operator starts it: `vivavoce serve`, in another process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from tests.clients.script import SCRIPT

API_KEY: Final = "sk-a-key-for-tests"
START_SECONDS: Final = 60


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[tuple[str, int]]:
    """Host and port of a server whose engine plays `SCRIPT`, unless the flags say otherwise."""
    script = folder / "script.yaml"
    script.write_text(yaml.safe_dump(SCRIPT), encoding="utf-8")
    config = folder / "vivavoce.toml"
    config.write_text(
        f'engine = "scripted"\nport = 0\n'
        f'api_keys = ["{API_KEY}"]\ngrace_seconds = 0\n[engines.scripted]\nscript = "{script}"\n',
        encoding="utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VIVAVOCE_", "OPENAI_"))}
    with (folder / "server.log").open("w+") as log:
        command = [str(Path(sys.executable).parent / "vivavoce"), "serve", "--config", str(config), *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            yield _address(process, log.name)
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            complaints = [line for line in Path(log.name).read_text().splitlines() if "ERROR" in line or "Traceback" in line]
            assert not complaints, f"the server's log: {complaints}"


def _address(process: subprocess.Popen[str], log: str) -> tuple[str, int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"://([\d.]+):(\d+)/", line)
    assert found, f"the server did not start: {line!r}\n{Path(log).read_text()}"
    return found[1], int(found[2])
