"""What keeps the server from starting is one line and an exit code; nothing is loaded that is not needed."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.engines.hub_server import Answering, Hub, running_hub

FOREIGN = ("VIVAVOCE_", "HF_", "TRANSFORMERS_")
CASCADE = "engines.cascade."


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | variables


def serve(*arguments: str, lacking: str = "", **variables: str) -> subprocess.Popen[str]:
    """The server, as an operator starts it; without the module that is `lacking`."""
    program = f"import sys; sys.modules.update(dict.fromkeys({lacking.split()})); "
    program += "from vivavoce.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    for argument in arguments:
        command += ["--set", argument]
    return subprocess.Popen(command, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(*arguments: str, lacking: str = "", **variables: str) -> tuple[int, str]:
    """The exit code of a server that cannot start, and the one line that it says."""
    with serve(*arguments, lacking=lacking, **variables) as process:
        said, complaint = process.communicate(timeout=60)
    assert said == ""
    [line] = complaint.splitlines()
    assert line.startswith("vivavoce: ")
    return process.returncode, line.removeprefix("vivavoce: ")


def test_weights_that_are_missing_offline(tmp_path: Path) -> None:
    code, line = refused(CASCADE + "synthesizer=kokoro", "offline=true", HF_HUB_CACHE=str(tmp_path))
    assert code == 1
    assert f"the weights of fastrtc/kokoro-onnx are not in {tmp_path}, and offline nothing is fetched." in line
    assert line.endswith("vivavoce fetch kokoro-82m")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    code, line = refused(CASCADE + "synthesizer=kokoro", f"{CASCADE}kokoro.model={tmp_path}")
    assert code == 1
    assert f"the folder {tmp_path} holds no *.onnx" in line


@pytest.mark.parametrize(
    ("part", "module", "remedy"),
    [
        ("synthesizer=kokoro", "kokoro_onnx", "pip install 'vivavoce[kokoro]'"),
        ("transcriber=faster_whisper", "faster_whisper", "pip install 'vivavoce[faster-whisper]'"),
        ("chat_model=ollama", "httpx2", "pip install 'vivavoce[openai]'"),
    ],
)
def test_an_extra_that_is_missing(part: str, module: str, remedy: str, tmp_path: Path) -> None:
    name = part.partition("=")[2]
    options = [f"{CASCADE}{name}.model={tmp_path}"] if name in ("kokoro", "faster_whisper") else []
    code, line = refused(CASCADE + part, *options, lacking=module)
    assert code in (1, 2)
    assert line.endswith(remedy)


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refused(f"port={port}", "engine=echo")
    assert code == 2
    assert line.startswith(f"Cannot listen on 127.0.0.1 port {port}: Address already in use.")


def test_a_worker_that_cannot_start_ends_as_one_server_does(tmp_path: Path) -> None:
    model = f"{CASCADE}kokoro.model={tmp_path / 'gone'}"
    code, line = refused("workers=2", CASCADE + "synthesizer=kokoro", model)
    assert code == 1
    assert line.endswith(f"the folder {tmp_path / 'gone'} does not exist.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_that_still_fetches_weights(number: int, tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def stall(name: str, answering: Answering) -> bool:
        begun.set()
        answering.rfile.read(1)  # Until the other side is gone.
        ended.set()
        answering.close_connection = True
        return True

    with running_hub() as hub:
        hub.on_get = stall
        options = [CASCADE + "synthesizer=kokoro", CASCADE + "kokoro.model=house/voice"]
        options += [CASCADE + "transcriber=openai_transcriptions", CASCADE + "openai_transcriptions.base_url=" + hub.url]
        with serve(*options, HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(tmp_path)) as process:
            assert begun.wait(60)
            process.send_signal(number)
            _, log = process.communicate(timeout=30)
        assert ended.wait(30), "the download goes on without the server"
    assert process.returncode in (130, -signal.SIGTERM)
    assert "Traceback" not in log


def test_the_server_is_ready_only_when_the_weights_are_there(tmp_path: Path) -> None:
    with running_hub() as hub, serve(*_kazoo(tmp_path), HF_ENDPOINT=hub.url, PYTHONPATH=str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Vivavoce is ready.")
        assert _fetched(hub)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def _kazoo(folder: Path) -> list[str]:
    """A voice of a package that is not ours, which needs weights."""
    (folder / "kazoo.py").write_text(
        "from vivavoce.engines.espeak import Espeak\n"
        "from vivavoce.engines.weights import find_weights\n"
        "class Kazoo(Espeak):\n"
        "    async def start(self):\n"
        "        assert (await find_weights('house/voice', {}, 'The kazoo') / 'model.onnx').is_file()\n"
        "        await super().start()\n"
    )
    return [CASCADE + "synthesizer=kazoo:Kazoo", f"weights_folder={folder / 'kept'}"]


def _fetched(hub: Hub) -> bool:
    return "model.onnx" in hub.fetched


def test_nothing_heavy_is_loaded_that_is_not_needed() -> None:
    heavy = ("torch", "onnxruntime", "ctranslate2", "transformers", "sherpa_onnx", "huggingface_hub", "pocket_tts", "openai")
    program = (
        "import asyncio, sys; from vivavoce.server.engines import Engines; from vivavoce.settings import Settings\n"
        "async def begin():\n"
        "    engines = Engines(Settings()); await engines.start(); await engines.close()\n"
        f"asyncio.run(begin()); assert not set({heavy}) & set(sys.modules), set({heavy}) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment())
