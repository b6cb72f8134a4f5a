"""Runs a conversation that a JavaScript client holds, and brings back what the client reported."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.clients.recordings import recording
from tests.clients.script import TOOL_OUTPUT
from tests.clients.serving import API_KEY
from tests.clients.wire import Wire

FOLDER = Path(__file__).parent / "node"
LIMIT_SECONDS = 60


def run(command: Sequence[str], wire: Wire, folder: Path, certificate: Path | None = None) -> dict[str, Any]:
    """The report of a conversation. `command` is node, its flags, a program in `node/`, and what the program shall do.

    Node must say nothing else: a warning is a failure.
    """
    spoken = folder / "goforward.pcm"
    spoken.write_bytes(recording("goforward"))
    environment = {
        **os.environ,
        "VIVAVOCE_URL": wire.url,
        "VIVAVOCE_WS_URL": wire.ws_url,
        "VIVAVOCE_KEY": API_KEY,
        "RECORDING": str(spoken),
        "TOOL_OUTPUT": TOOL_OUTPUT,
    }
    if certificate is not None:
        environment["NODE_EXTRA_CA_CERTS"] = str(certificate)
    done = subprocess.run(
        command,
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    assert not done.stderr, f"{command} warned:\n{done.stderr}"
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report["errors"] == [], f"{command}: {report['errors']}"
    return report
