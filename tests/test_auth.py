"""Keys, client secrets and web pages: who may connect."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.serving import Served, receive, run
from vivavoce.protocol.errors import SettingsError
from vivavoce.server.auth import Gate, origin_allowed
from vivavoce.server.client_secrets import ClientSecret, Signer
from vivavoce.server.errors import HttpError
from vivavoce.server.keys import keys_of
from vivavoce.settings import Settings

KEYS = ("sk-one", "sk-two")


# --- keys ---


def gate(*keys: str) -> Gate:
    return Gate(keys, Signer("secret"))


@pytest.mark.parametrize(
    ("headers", "protocols"),
    [
        ({"authorization": "Bearer sk-two"}, []),
        ({"authorization": "bearer  sk-two "}, []),
        ({"api-key": "sk-two"}, []),
        ({}, ["realtime", "openai-insecure-api-key.sk-two", "openai-beta.realtime-v1"]),
        ({"authorization": "Basic x", "api-key": "sk-two"}, []),
    ],
)
def test_a_key_is_found_wherever_clients_put_it(headers: dict[str, str], protocols: list[str]) -> None:
    caller = gate(*KEYS).caller(headers, protocols, 0.0)
    assert caller.key_id == Signer("secret").key_id("sk-two")
    assert "sk-two" not in caller.key_id


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer sk-three"}, {"api-key": "sk-on"}, {"authorization": "Bearer ü"}]
)
def test_without_a_right_key_there_is_401(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError) as refused:
        gate(*KEYS).caller(headers, [], 0.0)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert "sk-three" not in refused.value.message


def test_an_open_server_takes_any_key_and_none() -> None:
    for headers in ({}, {"authorization": "Bearer anything"}):
        assert gate().caller(headers, [], 0.0).key_id == ""


def test_keys_come_from_settings_and_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nsk-two\n\nsk-three  # the intern's\nsk-one\n")
    assert keys_of(Settings(api_keys=("sk-one",), api_key_file=str(file))) == ("sk-one", "sk-two", "sk-three")
    file.write_text("# none\n")
    for settings in (Settings(api_key_file=str(file)), Settings(api_key_file="/nowhere"), Settings(api_keys=("ek_x",))):
        with pytest.raises(SettingsError):
            keys_of(settings)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True)]
)
def test_loopback_may_be_open(host: str, loopback: bool) -> None:
    assert keys_of(Settings(host=host)) == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", ""])
def test_anything_else_needs_keys(host: str) -> None:
    with pytest.raises(SettingsError, match="VIVAVOCE_API_KEYS"):
        keys_of(Settings(host=host))
    assert keys_of(Settings(host=host, api_keys=KEYS)) == KEYS


# --- client secrets ---

SECRET = ClientSecret(session={"type": "realtime", "instructions": "Ü" * 3000}, dialect="ga", expires_at=1000, key_id="k")


def test_a_secret_carries_its_content_until_it_expires() -> None:
    value = Signer("one").mint(SECRET)
    assert value.startswith("ek_")
    assert len(value) < 400, "it has to fit into a header"
    assert Signer("one").read(value, 999.9) == SECRET
    assert Signer("one").read(value, 1000.0) is None
    assert Signer("another").read(value, 0.0) is None


@pytest.mark.parametrize("value", ["", "ek_", "ek_!", "ek_AAAA", "sk-one", "ek_" + "A" * 500])
def test_what_is_no_secret_is_none(value: str) -> None:
    assert Signer("one").read(value, 0.0) is None


def test_not_a_bit_of_a_secret_can_be_changed() -> None:
    value = Signer("one").mint(SECRET)
    signed = bytearray(base64.urlsafe_b64decode(value.removeprefix("ek_") + "=="))
    for position in range(len(signed)):
        forged = bytearray(signed)
        forged[position] ^= 1
        assert Signer("one").read("ek_" + base64.urlsafe_b64encode(forged).rstrip(b"=").decode(), 0.0) is None


def test_a_ga_secret_opens_a_session_with_its_configuration_and_nothing_else() -> None:
    async def main(served: Served) -> None:
        key = {"Authorization": "Bearer sk-one"}
        body = {
            "expires_after": {"anchor": "created_at", "seconds": 60},
            "session": {
                "type": "realtime",
                "model": "m",
                "instructions": "Speak Dutch.",
                "audio": {"output": {"voice": "ash"}},
            },
        }
        answer = (await served.request("POST", "/v1/realtime/client_secrets", body, **key)).json
        assert answer["value"].startswith("ek_")
        assert 55 <= answer["expires_at"] - time.time() <= 61
        assert answer["session"]["object"] == "realtime.session"
        assert answer["session"]["audio"]["output"] == {
            "format": {"type": "audio/pcm", "rate": 24000},
            "voice": "ash",
            "speed": 1.0,
        }
        secret = {"Authorization": f"Bearer {answer['value']}"}
        async with served.connect("/v1/realtime?model=other", additional_headers=secret) as client:
            session = (await receive(client))["session"]
            assert (session["model"], session["instructions"]) == ("m", "Speak Dutch.")
            assert session["audio"]["output"]["voice"] == "ash"
        protocols = ["realtime", f"openai-insecure-api-key.{answer['value']}"]
        async with served.connect(protocols=protocols) as client:
            assert (await receive(client))["session"]["instructions"] == "Speak Dutch."
        for method, path in [("POST", "/v1/realtime/client_secrets"), ("GET", "/v1/models"), ("GET", "/metrics")]:
            assert (await served.request(method, path, **secret)).status == 401

    run(main, api_keys=KEYS)


def test_beta_secrets_speak_beta() -> None:
    async def main(served: Served) -> None:
        flat = {
            "model": "gpt-4o-realtime-preview",
            "modalities": ["text"],
            "voice": "ash",
            "input_audio_format": "g711_ulaw",
        }
        answer = (await served.request("POST", "/v1/realtime/sessions", flat)).json
        assert {name: answer[name] for name in flat} == flat
        assert answer["client_secret"]["expires_at"] > time.time()
        secret = {"Authorization": f"Bearer {answer['client_secret']['value']}"}
        async with served.connect(additional_headers=secret) as client:
            session = (await receive(client))["session"]
            assert {name: session[name] for name in flat} == flat
            assert (await receive(client))["type"] == "conversation.created"
        flat = {"input_audio_transcription": {"model": "whisper-1"}, "client_secret": {"expires_at": {"seconds": 20}}}
        answer = (await served.request("POST", "/v1/realtime/transcription_sessions", flat)).json
        assert answer["object"] == "realtime.transcription_session"
        assert answer["client_secret"]["expires_at"] - time.time() < 21
        secret = {"Authorization": f"Bearer {answer['client_secret']['value']}"}
        async with served.connect(additional_headers=secret) as client:
            created = await receive(client)
            assert created["type"] == "transcription_session.created"
            assert created["session"]["input_audio_transcription"] == {"model": "whisper-1"}

    run(main)


BAD_BODIES: list[tuple[str, Any, str, str | None]] = [
    ("client_secrets", {"expires_after": {"seconds": 9}}, "invalid_value", "expires_after.seconds"),
    ("client_secrets", {"expires_after": {"seconds": 7201}}, "invalid_value", "expires_after.seconds"),
    ("client_secrets", {"expires_after": {"anchor": "now"}}, "invalid_value", "expires_after.anchor"),
    ("client_secrets", {"session": 7}, "invalid_type", "session"),
    ("client_secrets", {"session": {"audio": {"output": {"speed": 9}}}}, "invalid_value", "session.audio.output.speed"),
    ("sessions", {"turn_detection": {"type": "clairvoyance"}}, "invalid_value", "turn_detection.type"),
    ("sessions", {"input_audio_format": "mp3"}, "invalid_value", "input_audio_format"),
    ("client_secrets", b"[1]", "invalid_json", None),
    ("client_secrets", b"{", "invalid_json", None),
    ("client_secrets", b"[" * 100_000, "invalid_json", None),
]


def test_a_bad_body_is_400_with_the_path() -> None:
    async def main(served: Served) -> None:
        for path, body, code, param in BAD_BODIES:
            answer = await served.request("POST", f"/v1/realtime/{path}", body)
            assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)

    run(main)


def test_a_body_without_end_is_413() -> None:
    async def main(served: Served) -> None:
        answer = await served.request("POST", "/v1/realtime/client_secrets", b" " * (2**20 + 1))
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")

    run(main)


# --- keys over the wire ---


def test_keys_over_the_wire() -> None:
    async def main(served: Served) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await served.connect(additional_headers={"Authorization": "Bearer sk-three"})
        response = refused.value.response
        assert response.status_code == 401
        assert json.loads(response.body)["error"]["code"] == "invalid_api_key"
        async with served.connect(protocols=["realtime", "openai-insecure-api-key.sk-two"]) as client:
            assert client.subprotocol == "realtime"
        assert (await served.request("GET", "/v1/models", api_key="sk-one")).status == 200
        assert (await served.request("GET", "/v1/models")).error["code"] == "invalid_api_key"
        assert (await served.request("GET", "/health")).status == 200

    run(main, api_keys=KEYS)


# --- web pages ---

LOCAL = ["http://localhost", "http://localhost:3000", "http://127.0.0.1:8000", "https://[::1]:1", "http://app.localhost:1"]
FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost:3000/x",
    "file://",
    "http://evil.example#http://localhost",
]


@pytest.mark.parametrize("origin", [*LOCAL, None])
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("allowed", [(), ("https://app.example",)])
def test_local_pages_and_programs_may_always_knock(origin: str | None, is_open: bool, allowed: tuple[str, ...]) -> None:
    assert origin_allowed(origin, allowed, is_open)


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_pages_need_a_key_or_a_place_on_the_list(origin: str) -> None:
    assert not origin_allowed(origin, (), is_open=True)
    assert origin_allowed(origin, (), is_open=False)
    assert not origin_allowed(origin, ("https://app.example",), is_open=True)
    assert not origin_allowed(origin, ("https://app.example",), is_open=False)
    assert origin_allowed(origin, (origin,), is_open=True)
    assert origin_allowed(origin, ("*",), is_open=True)


def test_pages_over_http() -> None:
    async def main(served: Served) -> None:
        foreign = await served.request("POST", "/v1/realtime/client_secrets", b"{}", Origin="https://evil.example")
        assert (foreign.status, foreign.error["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in foreign.headers
        ask = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
        assert (await served.request("OPTIONS", "/v1/models", Origin="https://evil.example", **ask)).status == 403
        page = "https://app.example"
        preflight = await served.request("OPTIONS", "/v1/realtime/client_secrets", Origin=page, **ask)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == page
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        answer = await served.request("GET", "/v1/models", Origin=page)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
        assert "origin" in answer.headers["vary"].lower()
        assert "access-control-allow-credentials" not in answer.headers

    run(main, allowed_origins=("https://app.example",))
