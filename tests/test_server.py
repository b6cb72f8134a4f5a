"""The HTTP side: errors of one shape, models, health, metrics, the console; logs without secrets; TLS; engines."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from tests.serving import Served, certificate, receive, run, send, until
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.server.app import make_app
from vivavoce.server.engines import Engines
from vivavoce.server.logs import HumanFormatter, JsonFormatter, line
from vivavoce.server.serving import listen
from vivavoce.settings import Settings

TEXT_ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}


ERRORS = [
    ("GET", "/v1/nothing", 404, "not_found"),
    ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ("GET", "/v1/realtime", 426, "upgrade_required"),
    ("POST", "/v1/realtime", 501, "not_implemented"),
    ("POST", "/v1/realtime/calls", 501, "not_implemented"),
    ("POST", "/v1/realtime/calls/rtc_1/hangup", 501, "not_implemented"),
]


def test_errors_have_one_shape() -> None:
    async def main(served: Served) -> None:
        for method, path, status, code in ERRORS:
            answer = await served.request(method, path)
            assert (answer.status, answer.error["code"]) == (status, code)
            assert answer.headers["content-type"] == "application/json"
            assert answer.error["type"] == ("server_error" if status >= 500 else "invalid_request_error")

    run(main)


def test_a_bug_is_a_500_without_inner_details(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(served: Served) -> None:
        monkeypatch.setattr(served.state.metrics, "page", lambda: 1 / 0)
        answer = await served.request("GET", "/metrics")
        assert (answer.status, answer.error["code"], answer.error["type"]) == (500, "server_error", "server_error")
        assert "division" not in answer.body.decode()

    run(main)


def test_the_reference_page_knows_every_route() -> None:
    async def main(served: Served) -> None:
        page = (Path(__file__).parents[1] / "docs/reference/http.md").read_text()
        for route in make_app(served.state).routes:
            assert isinstance(route, Route)
            path = route.path.replace(":path", "")
            assert any(f"`{method} {path}`" in page for method in route.methods or ()), path

    run(main)


def test_models_and_health() -> None:
    async def main(served: Served) -> None:
        listed = (await served.request("GET", "/v1/models")).json
        engines = {model["id"]: model["engine"] for model in listed["data"]}
        assert engines == {"gpt-realtime": "scripted", "mine": "echo", "scripted": "scripted", "echo": "echo"}
        assert {model["object"] for model in listed["data"]} == {"model"}
        assert (await served.request("GET", "/v1/models/ft:gpt/x")).json["engine"] == "scripted"
        health = await served.request("GET", "/health")
        assert (health.status, health.json["status"], health.json["engines"]) == (200, "ok", ["scripted", "echo"])

    run(main, models={"mine": "echo"})


def test_health_says_that_the_server_goes_away() -> None:
    async def main(served: Served) -> None:
        served.state.sessions.draining = True
        health = await served.request("GET", "/health")
        assert (health.status, health.json["status"]) == (503, "draining")

    run(main)


def test_the_console_is_served() -> None:
    async def main(served: Served) -> None:
        page = await served.request("GET", "/")
        assert page.headers["content-type"].startswith("text/html")
        assert "console/main.js" in page.body.decode()

    run(main)


def test_metrics_count_what_happens() -> None:
    async def main(served: Served) -> None:
        async with served.connect("/v1/realtime?model=mine") as client:
            await until(client, "session.created")
            await send(client, "response.cancel")
            await until(client, "error")
            page = (await served.request("GET", "/metrics")).body.decode()
            assert "vivavoce_sessions 1.0" in page
        async with served.connect() as client:
            await send(client, "session.update", session={"type": "realtime", "output_modalities": ["text"]})
            await send(client, "conversation.item.create", item=TEXT_ITEM)
            await send(client, "response.create")
            await until(client, "response.done")
        await served.sessions(0)
        page = (await served.request("GET", "/metrics")).body.decode()
        for figure in (
            "vivavoce_sessions 0.0",
            'vivavoce_sessions_opened_total{dialect="ga",engine="echo"} 1.0',
            'vivavoce_errors_total{code="response_cancel_not_active"} 1.0',
            'vivavoce_responses_total{status="completed"} 1.0',
            "vivavoce_response_seconds_count 1.0",
        ):
            assert figure in page.splitlines()
        assert "vivavoce_event_loop_lag_seconds_count" in page

    run(main, models={"mine": "echo"})


def test_latency_is_measured_from_the_end_of_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await send(client, "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
            await send(client, "input_audio_buffer.append", audio="AAAA" * 3200)
            await send(client, "input_audio_buffer.commit")
            await send(client, "response.create")
            await until(client, "response.output_audio.delta")
        await served.sessions(0)
        page = (await served.request("GET", "/metrics")).body.decode()
        assert "vivavoce_commit_to_first_audio_seconds_count 1.0" in page
        assert "vivavoce_turns_total 1.0" in page

    run(main)


# --- logs ---


def test_two_lines_for_a_session_and_no_secret_in_them(caplog: pytest.LogCaptureFixture) -> None:
    async def main(served: Served) -> None:
        body = {"session": {"type": "realtime", "instructions": "a private matter"}}
        answer = await served.request("POST", "/v1/realtime/client_secrets", body, Authorization="Bearer sk-hidden")
        secret = answer.json["value"]
        async with served.connect(additional_headers={"Authorization": f"Bearer {secret}"}) as client:
            await until(client, "session.created")
            await client.send("no json, but private")
            await until(client, "error")
        await served.sessions(0)
        records = [record for record in caplog.records if record.name == "vivavoce.session"]
        human = [HumanFormatter().format(record) for record in records]
        machine = [json.loads(JsonFormatter().format(record)) for record in records]
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d INFO    sess_\w+ opened: engine scripted, model gpt-realtime, ga, from 127.0.0.1", human[0]
        )
        assert re.search(r"closed after \d+\.\d s: turns 0, responses 0, errors 1, \d+ kB in, \d+ kB out$", human[1])
        assert machine[0]["session"] == machine[1]["session"]
        assert machine[1]["errors"] == 1
        ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.client")]
        everything = str(ours) + str(human) + str(machine)
        for private in ("sk-hidden", secret, "private"):
            assert private not in everything

    with caplog.at_level(logging.DEBUG):
        run(main, api_keys=("sk-hidden",))


def test_a_traceback_is_part_of_the_line() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "it broke", (), sys.exc_info())
    assert "ValueError: inner" in HumanFormatter().format(record)
    assert "ValueError: inner" in json.loads(JsonFormatter().format(record))["traceback"]


def test_a_full_pipe_holds_up_nobody() -> None:
    """The reader of the log sleeps; far more than a pipe holds is logged all the same."""
    program = (
        "import logging, os, sys; from vivavoce.server.logs import configure; configure('human', 'info');"
        "[logging.getLogger('x').info('x' * 1000) for _ in range(2000)]; print('free', flush=True); os._exit(0)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"free\n"
    finally:
        process.kill()
        process.communicate()


def test_fields_are_for_programs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        line(logging.getLogger("vivavoce.x"), "a fact", seconds=1.5)
    assert json.loads(JsonFormatter().format(caplog.records[0]))["seconds"] == 1.5


# --- TLS, ports, engines ---


def test_tls(tmp_path: Path) -> None:
    certfile, keyfile = certificate(tmp_path)

    async def main(served: Served) -> None:
        from websockets.asyncio.client import connect

        trust = ssl.create_default_context(cafile=certfile)
        async with connect(f"wss://127.0.0.1:{served.port}/v1/realtime", ssl=trust) as client:
            assert (await receive(client))["type"] == "session.created"
            await send(client, "conversation.item.create", item=TEXT_ITEM | {"id": "x" * 32})
            await until(client, "conversation.item.done")

    run(main, certfile=certfile, keyfile=keyfile)


def test_a_certificate_that_is_none_is_the_operators_error(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("no certificate")

    async def main(served: Served) -> None:
        raise AssertionError

    with pytest.raises(SettingsError, match="certfile and keyfile do not work"):
        run(main, certfile=str(file), keyfile=str(file))


def test_a_port_in_use_is_the_operators_error() -> None:
    with listen("127.0.0.1", 0, shared=False) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(
            SettingsError, match=rf"port {port}: Address already in use. Is another server running\? Try --port {port + 1}"
        ):
            listen("127.0.0.1", port, shared=False)


def test_a_model_name_finds_its_engine() -> None:
    engines = Engines(Settings(engine="scripted", models={"gpt-realtime-mini": "echo"}))
    assert engines.names == ["scripted", "echo"]
    for model, engine in {
        "gpt-realtime-mini": "echo",
        "echo": "echo",
        "scripted": "scripted",
        "gpt-4o-realtime-preview": "scripted",
        "": "scripted",
    }.items():
        assert engines.named(model)[0] == engine


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": "no-such"},
        {"models": {"m": "no-such"}},
        {"engine": "echo", "voice_activity": "no-such"},
        {"engine": "scripted", "engines": {"scripted": {"scrip": "x"}}},
    ],
)
def test_a_wrong_engine_is_the_operators_error(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Engines(Settings(**settings))


def test_engines_that_started_are_stopped_when_one_cannot_start() -> None:
    async def main() -> None:
        engines = Engines(Settings(engine="scripted"))
        events: list[str] = []

        class Engine:
            def __init__(self, name: str) -> None:
                self.name = name

            async def start(self) -> None:
                if self.name == "bad":
                    raise EngineError("engine_start_failed", "no weights")
                events.append(f"started {self.name}")

            async def close(self) -> None:
                events.append(f"closed {self.name}")

        engines._engines = {"good": Engine("good"), "bad": Engine("bad")}
        with pytest.raises(EngineError, match="no weights"):
            await engines.start()
        assert events == ["started good", "closed good"]

    asyncio.run(main())
