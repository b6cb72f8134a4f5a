"""Runs a conversation that a JavaScript client holds, and brings back what the client reported."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.clients.recordings import recording
from tests.clients.script import TOOL_OUTPUT
from tests.clients.serving import API_KEY
from tests.clients.wire import Wire

FOLDER = Path(__file__).parent / "node"
LIMIT_SECONDS = 60


def run(
    node: str, program: str, conversation: str, wire: Wire, folder: Path, certificate: Path | None = None, *flags: str
) -> dict[str, Any]:
    """The report of `conversation` in `program`. Node must say nothing else: a warning is a failure."""
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
        [node, *flags, program, conversation],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, f"{program} {conversation}:\n{done.stdout}\n{done.stderr}"
    assert not done.stderr, f"{program} {conversation} warned:\n{done.stderr}"
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report["errors"] == [], f"{program} {conversation}: {report['errors']}"
    return report
