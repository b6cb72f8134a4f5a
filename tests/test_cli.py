"""The program as an operator runs it: in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from vivavoce.cli import main
from vivavoce.server.command import announcement
from vivavoce.settings import Settings

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("VIVAVOCE_")}
PROGRAM = [sys.executable, "-c", "import sys; from vivavoce.cli import main; sys.exit(main())"]


@contextmanager
def program(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The program, running. It is killed if the test forgets to stop it."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments], env=ENVIRONMENT | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def port_of(text: str) -> int:
    return int(text.split("http://127.0.0.1:")[1].split("/")[0])


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Stop it; its exit code and what it logged."""
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    return process.returncode, log


def test_the_first_line_says_where_what_and_how() -> None:
    [line, is_open] = announcement(Settings(), ["cascade", "echo"], is_open=True)
    assert line == (
        "Vivavoce is ready. API: http://127.0.0.1:8000/v1 · console: http://127.0.0.1:8000/ · engines: cascade, echo · "
        "in your client: OPENAI_BASE_URL=http://127.0.0.1:8000/v1"
    )
    assert "No API keys are set" in is_open
    [line] = announcement(Settings(host="0.0.0.0", certfile="c", keyfile="k"), ["echo"], is_open=False)
    assert "https://127.0.0.1:8000/v1" in line
    assert "http://[::1]:8000/" in announcement(Settings(host="::1"), [], is_open=True)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_well(number: int) -> None:
    with program("serve", "--port", "0", "--engine", "scripted", "--log-json") as process:
        port = port_of(first_line(process))
        with connect(f"ws://127.0.0.1:{port}/openai/realtime") as client:
            assert json.loads(client.recv())["type"] == "session.created"
            code, log = end(process, number)
            assert json.loads(client.recv())["type"] == "conversation.created"
            with pytest.raises(ConnectionClosed) as closed:
                client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert code == 0
        opened, ended = [json.loads(line) for line in log.splitlines()]
        assert (opened["engine"], opened["session"]) == ("scripted", ended["session"])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the workers in /proc")
def test_workers_share_the_port_and_the_secrets_and_one_that_dies_is_replaced() -> None:
    with program("serve", "--port", "0", "--engine", "scripted", "--workers", "2") as process:
        port = port_of(first_line(process))
        wait_for_figures(port, "vivavoce_event_loop_lag_seconds_count")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/realtime/client_secrets", b"{}", method="POST")
        secret = json.load(urllib.request.urlopen(request))["value"]
        clients = []
        for _ in range(12):
            client = connect(f"ws://127.0.0.1:{port}/v1/realtime", additional_headers={"Authorization": f"Bearer {secret}"})
            assert json.loads(client.recv())["type"] == "session.created"
            clients.append(client)
        assert "vivavoce_sessions 12.0" in figures(port)
        for client in clients:
            client.close()
        [victim, other] = children(process.pid)
        os.kill(victim, signal.SIGKILL)
        while len(set(children(process.pid)) - {victim}) < 2:
            time.sleep(0.05)
        assert other in children(process.pid)
        code, log = end(process)
        assert code == 0
        assert f"worker {victim} died" in log


def figures(port: int) -> list[str]:
    page: bytes = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
    return page.decode().splitlines()


def wait_for_figures(port: int, name: str) -> None:
    while not any(line.startswith(name) for line in figures(port)):
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The workers: children that run Python and are no resource tracker of multiprocessing's."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid and "spawn_main" in command:
                found.append(int(folder.name))
    return found


def test_workers_with_a_wrong_setting_say_it_once_and_end() -> None:
    with program("serve", "--port", "0", "--engine", "no-such", "--workers", "3") as process:
        _, log = process.communicate(timeout=30)
        assert process.returncode == 2
        assert log.count("No engine named 'no-such'") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_one_line_and_exit_code_2(workers: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with program("serve", "--port", str(port), "--engine", "scripted", "--workers", workers) as process:
            _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    [line] = log.splitlines()
    assert line.startswith(f"vivavoce: Cannot listen on 127.0.0.1 port {port}: Address already in use.")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["serve", "--host", "0.0.0.0"], "Set VIVAVOCE_API_KEYS"),
        (["serve", "--set", "limits.max_sesions=1"], 'Did you mean "limits.max_sessions"?'),
        (["serve", "--set", "port"], "write it as NAME=VALUE"),
        (["serve", "--port", "many"], "port: expected an integer"),
        (["serve", "--engine", "no-such", "--port", "0"], "No engine named 'no-such'"),
        (["config", "--config", "/nowhere.toml"], "Cannot read the settings file"),
    ],
)
def test_what_the_operator_can_mend_is_one_line_and_exit_code_2(arguments: list[str], complaint: str) -> None:
    with program(*arguments) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    [line] = log.splitlines()
    assert line.startswith("vivavoce: ")
    assert complaint in line


def test_config_shows_what_is_in_effect_as_a_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVAVOCE_API_KEYS", "sk-hidden")
    file = tmp_path / "vivavoce.toml"
    file.write_text('[engines.cascade]\nchat_model = "assistant"\n')
    monkeypatch.setenv("VIVAVOCE_CONFIG", str(file))
    assert main(["config", "--port", "8010", "--set", "models=a=echo"]) == 0
    shown = capsys.readouterr().out
    assert "sk-hidden" not in shown
    assert "\nport = 8010\n" in shown
    assert '\n# api_keys = ["********"]\n' in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert main(["config", "--config", str(again)]) == 0
    assert capsys.readouterr().out == shown


def test_engines_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines"]) == 0
    shown = capsys.readouterr().out
    for name in ("cascade", "scripted", "echo", "silero", "pocketsphinx", "assistant", "espeak"):
        assert f" {name} " in shown


@pytest.mark.parametrize("command", ["serve", "engines", "config"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"examples:\n  vivavoce {command}" in capsys.readouterr().out


def test_a_traced_session_replays(tmp_path: Path) -> None:
    from vivavoce.trace import replay

    with program(
        "serve", "--port", "0", "--engine", "scripted", "--trace", str(tmp_path), VIVAVOCE_API_KEYS="sk-hidden"
    ) as process:
        port = port_of(first_line(process))
        with connect(f"ws://127.0.0.1:{port}/v1/realtime", additional_headers={"api-key": "sk-hidden"}) as client:
            client.send(json.dumps({"type": "response.create"}))
            while json.loads(client.recv())["type"] != "response.done":
                pass
        assert end(process)[0] == 0
    [file] = tmp_path.iterdir()
    assert "sk-hidden" not in file.read_text()
    assert replay(file) is None


def test_the_event_loop_is_asyncios_own_where_uvloop_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from vivavoce.server.serving import _loop_factory

    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _loop_factory() is None
    asyncio.run(asyncio.sleep(0))
