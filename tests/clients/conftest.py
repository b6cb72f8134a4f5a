"""A server for the session, and for each test a wire to it that judges every event."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.clients.certificate import make_certificate
from tests.clients.serving import serving
from tests.clients.wire import Wire, WireLoop
from tests.oracle_words import DialectName

NODE_FOLDER = Path(__file__).parent / "node"
LEAST_NODE = 20

OpenWire = Callable[[DialectName], AbstractContextManager[Wire]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Host and port of the server."""
    with serving(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="session")
def wire_loop() -> Iterator[WireLoop]:
    """Where wires live."""
    loop = WireLoop()
    yield loop
    loop.close()


@pytest.fixture
def wire(server: tuple[str, int], wire_loop: WireLoop) -> Iterator[Wire]:
    """A wire whose client speaks GA."""
    with wire_loop.wire(server, "ga") as wire:
        yield wire


@pytest.fixture
def beta_wire(server: tuple[str, int], wire_loop: WireLoop) -> Iterator[Wire]:
    """A wire whose client speaks beta."""
    with wire_loop.wire(server, "beta") as wire:
        yield wire


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """PEM files: certificate and key for `localhost`."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[tuple[str, int]]:
    """Host and port of a server that speaks TLS itself."""
    certfile, keyfile = map(str, certificate)
    with serving(tmp_path_factory.mktemp("tls-server"), "--certfile", certfile, "--keyfile", keyfile) as address:
        yield address


@pytest.fixture
def tls_wire(tls_server: tuple[str, int], certificate: tuple[Path, Path], wire_loop: WireLoop) -> Iterator[Wire]:
    """A wire with TLS on both sides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with wire_loop.wire(tls_server, "ga", context) as wire:
        yield wire


@pytest.fixture(scope="session")
def node() -> str:
    """The node program. Skips, and says why, where it or its packages are missing."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed: the conversations of the JavaScript clients were not held")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < LEAST_NODE:
        pytest.skip(f"node is {version}, older than {LEAST_NODE}: the conversations of the JavaScript clients were not held")
    if not (NODE_FOLDER / "node_modules").is_dir():
        pytest.skip("the JavaScript clients are not installed: run `make test`, or `npm ci` in tests/clients/node")
    return program
