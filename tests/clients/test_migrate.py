"""The JavaScript on the migration page runs. Its Python runs with the other pages, in `tests/test_docs.py`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.serving import API_KEY
from tests.clients.wire import Wire

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "migrate.md"
NODE_FOLDER = Path(__file__).parent / "node"
BLOCK = re.compile(r"(?<!-->\n)^```javascript\n(.*?)^```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_them() -> None:
    assert len(BLOCKS) == 3


@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=["openai", "agents-realtime", "page"])
def test_the_javascript_runs(
    node: str, wire: Wire, tls_wire: Wire, certificate: tuple[Path, Path], code: str, printed: str
) -> None:
    here = code.replace("127.0.0.1:8000", f"127.0.0.1:{wire.port}").replace("localhost:8000", f"localhost:{tls_wire.port}")
    here = here.replace("'any'", f"'{API_KEY}'").replace("Bearer any", f"Bearer {API_KEY}")
    done = subprocess.run(
        [node, "--experimental-websocket", "--no-warnings", "--input-type=module", "--eval", here],
        cwd=NODE_FOLDER,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(certificate[0])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == printed
