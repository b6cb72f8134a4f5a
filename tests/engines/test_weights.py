"""Weights come from a real hub, a small one on this machine, through the real `huggingface_hub`."""

import asyncio
import errno
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.hub_server import COMMIT, FILES, Answering, Hub, file_headers, running_hub
from vivavoce.engines import weights
from vivavoce.engines.hub_download import Request, why
from vivavoce.engines.weights import Weights, find_weights, kept
from vivavoce.engines.weights_download import progress_line, readable_bytes
from vivavoce.protocol.errors import EngineError

pytest.importorskip("huggingface_hub")

VOICE = Weights(repository="house/voice", files=("*.json", "*.onnx", "voices/"), size_bytes=12_801_014, licence="MIT")
KNOWN = {"voice": VOICE}
SUBJECT = "The synthesizer 'kazoo'"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield hub


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    weights.configure(tmp_path / "kept")
    yield tmp_path / "kept"
    weights.configure()


def find(model: str = "voice", known: dict[str, Weights] = KNOWN) -> Path:
    return asyncio.run(find_weights(model, known, SUBJECT))


def refused(model: str = "voice") -> str:
    with pytest.raises(EngineError) as raised:
        find(model)
    assert "\n" not in raised.value.message
    assert raised.value.message.startswith(SUBJECT + ": ")
    return raised.value.message.removeprefix(SUBJECT + ": ")


# --- fetching ---


def test_weights_come_on_first_use_and_only_the_files_that_are_needed(hub: Hub, folder: Path) -> None:
    found = find()
    assert found.is_relative_to(folder)
    assert {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()} == FILES.keys() - {
        "README.md"
    }
    assert (found / "model.onnx").read_bytes() == FILES["model.onnx"]


def test_once_there_nothing_reaches_out(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find()
    hub.requests.clear()
    assert find() == found
    weights.configure(weights.weights_folder(), offline=True)
    assert find() == found
    assert hub.requests == []


def test_a_repository_by_its_name_brings_the_files_that_are_known_to_matter(hub: Hub) -> None:
    find("house/voice@v2")
    assert hub.fetched == ["alloy.bin", "config.json", "model.onnx"]
    assert any(request.endswith("/revision/v2") for request in hub.requests)


def test_an_unknown_repository_brings_all_its_files(hub: Hub) -> None:
    found = find("house/voice", {})
    assert (found / "README.md").is_file()


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert find(str(tmp_path)) == tmp_path


def test_the_folder_is_the_hubs_own_unless_the_operator_names_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights.configure()
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.weights_folder() == tmp_path / ".cache/huggingface/hub"
    monkeypatch.setenv("HF_HOME", "~/hf")
    assert weights.weights_folder() == tmp_path / "hf/hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert weights.weights_folder() == tmp_path / "elsewhere"


# --- broken in the middle ---


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub: Hub) -> None:
    def cut_once(name: str, answering: Answering) -> bool:
        if name != "model.onnx" or answering.headers.get("range"):
            return False
        answering.send(200, FILES[name], file_headers(name), cut_after=11_000_000)
        return True

    hub.on_get = cut_once
    assert (find() / "model.onnx").read_bytes() == FILES["model.onnx"]
    ranges = [request.partition("bytes=")[2] for request in hub.requests if "bytes=" in request]
    assert len(ranges) == 1
    assert 0 < int(ranges[0].rstrip("-")) <= 11_000_000


def test_what_came_before_a_failure_is_not_fetched_again(hub: Hub) -> None:
    def fail(name: str, answering: Answering) -> bool:
        if name == "model.onnx":
            answering.send(500, b"")
        return name == "model.onnx"

    hub.on_get = fail
    assert refused() == f"{hub.url} answered 500 to the request for house/voice. Try again later; whole files are kept."
    assert kept(VOICE) is None
    hub.on_get = lambda name, answering: False
    hub.requests.clear()
    assert find() == kept(VOICE)
    assert hub.fetched == ["model.onnx"]


def test_an_unfinished_download_is_not_taken_for_weights(hub: Hub) -> None:
    found = find()
    (found / "voices/alloy.bin").unlink()
    assert kept(VOICE) is None
    assert refused_offline().startswith("the weights of house/voice are not in ")


def test_who_no_longer_waits_ends_the_download(hub: Hub) -> None:
    begun, ended = threading.Event(), threading.Event()

    def stall(name: str, answering: Answering) -> bool:
        if name == "model.onnx":
            begun.set()
            answering.rfile.read(1)  # Until the other side is gone.
            ended.set()
            answering.close_connection = True
        return name == "model.onnx"

    async def give_up() -> None:
        waiting = asyncio.ensure_future(find_weights("voice", KNOWN, SUBJECT))
        await asyncio.to_thread(begun.wait, 60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    hub.on_get = stall
    asyncio.run(give_up())
    assert ended.wait(60)


# --- one clear line each ---


def refused_offline() -> str:
    weights.configure(weights.weights_folder(), offline=True)
    return refused()


def test_offline_says_what_would_mend_it(hub: Hub, folder: Path) -> None:
    message = refused_offline()
    assert message == (
        f"the weights of house/voice are not in {folder}, and offline nothing is fetched. Start once without --offline, "
        "or run where there is a network: vivavoce fetch voice"
    )
    assert hub.requests == []


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_hubs_own_variable_means_offline_too(hub: Hub, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert "offline nothing is fetched" in refused()
    assert hub.requests == []


def test_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert refused() == (
        "http://127.0.0.1:9 cannot be reached for the weights of house/voice. Is there a network? Whole files are kept."
    )


def test_an_unknown_repository(hub: Hub) -> None:
    assert refused("house/nothing") == f"{hub.url} has no repository house/nothing, or it is private: then set HF_TOKEN."


def test_an_unknown_revision(hub: Hub) -> None:
    assert refused("house/voice@v9") == "the repository house/voice has no revision 'v9'."


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model(hub: Hub, status: int) -> None:
    hub.refusal = (status, "GatedRepo")
    assert refused() == (
        f"house/voice is behind a licence. Accept it on {hub.url}/house/voice, then set HF_TOKEN to that account's token."
    )


def test_a_repository_without_the_files(hub: Hub) -> None:
    with pytest.raises(EngineError, match=r"the repository house/voice has no \*\.gguf\."):
        find("voice", {"voice": Weights(repository="house/voice", files=("*.gguf",), size_bytes=0, licence="MIT")})


def test_a_folder_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    weights.configure(tmp_path / "file")
    assert refused() == f"cannot write into {tmp_path / 'file'}: Not a directory. Set weights_folder to another one."


def test_a_full_disk(tmp_path: Path) -> None:
    request = Request(str(tmp_path), "house/voice", "main", ())
    message = why(OSError(errno.ENOSPC, "No space left on device"), request)
    assert message.startswith(f"the disk of {tmp_path} is full: ")
    assert message.endswith(" MB are free. Set weights_folder to another one.")


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert refused() == "weights come through huggingface_hub. Run: pip install huggingface_hub"


def test_a_name_that_means_nothing(tmp_path: Path) -> None:
    assert refused("loud") == "no model is called 'loud'. There are: voice. Or name a folder, or owner/name on the hub."
    assert refused(str(tmp_path / "gone")) == f"the folder {tmp_path}/gone does not exist."
    (tmp_path / "model.onnx").touch()
    assert refused(f"{tmp_path}/model.onnx") == (
        f"the folder {tmp_path}/model.onnx is a file. The folder that holds the model's files is wanted."
    )


# --- what the operator sees meanwhile ---


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    shown = threading.Event()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(terminal, "flush", lambda: shown.set() if "%" in terminal.getvalue() else None)

    def wait_for_the_bar(name: str, answering: Answering) -> bool:
        if name == "model.onnx":
            shown.wait(60)
        return False

    hub.on_get = wait_for_the_bar
    find()
    assert "house/voice ─" in terminal.getvalue()
    assert " of 13 MB" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_log_gets_lines(hub: Hub, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO)
    find()
    assert [record.getMessage() for record in caplog.records if "weights" in record.name] == [
        f"fetching the weights of house/voice, 13 MB, into {weights.weights_folder()}",
        "fetched the weights of house/voice",
    ]
    assert capsys.readouterr().err == ""


def test_progress_in_words() -> None:
    line = progress_line("house/voice", 840_000_000, 1_600_000_000, 12_000_000)
    assert line == "house/voice ━━━━━━━━━━━━━─────────── 52%  840 MB of 1.6 GB, 12 MB/s, 63 s left"
    assert progress_line("house/voice", 10**9, 22 * 10**9, 30_000_000).endswith(" 5%  1.0 GB of 22 GB, 30 MB/s, 12 min left")
    assert progress_line("house/voice", 10**9, 22 * 10**9, 1_000_000).endswith(", 1.0 MB/s, 6 h left")
    assert progress_line("house/voice", 1_000, 10**9, 5_000).endswith(" 0%  1.0 kB of 1.0 GB, 5.0 kB/s")
    assert progress_line("house/voice", 5_000, 0, 0) == "house/voice 5.0 kB"
    assert [readable_bytes(count) for count in (0, 999, 1_000, 9_960, 999_600, 2.4e9)] == [
        "0 B", "999 B", "1.0 kB", "10 kB", "1.0 MB", "2.4 GB",
    ]  # fmt: skip


def test_older_releases_of_the_hub_keep_no_list_of_files(hub: Hub, folder: Path) -> None:
    find()
    repository = folder / "models--house--voice"
    (repository / "trees" / f"{COMMIT}.json").unlink()
    assert kept(VOICE) is not None
    (repository / "blobs" / "abc.incomplete").touch()
    assert kept(VOICE) is None
