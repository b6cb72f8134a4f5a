"""A local server of chat models is found, named, and explained in one line; nobody waits for it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.engines.upstream_server import Out, Received, upstream_thread
from vivavoce.cli import main
from vivavoce.server import local_models
from vivavoce.server.local_models import PLACES, Place, look, tell_later
from vivavoce.settings import Settings


@contextmanager
def listing(owner: str, *names: str, part: str = "ollama", owners: tuple[str, ...] = ()) -> Iterator[Place]:
    """A server that lists these models, and where it is."""

    async def answer(request: Received, out: Out) -> None:
        assert request.path == "/v1/models"
        cards = [{"id": name, "object": "model", "owned_by": owner} for name in names]
        await out.whole(200, "application/json", json.dumps({"object": "list", "data": cards or None}).encode())

    with upstream_thread(answer) as server:
        yield Place("Ollama", part, int(server.url.split(":")[2].split("/")[0]), owners)


def test_the_usual_ports() -> None:
    assert {place.part: place.port for place in PLACES} == {"ollama": 11434, "llamacpp": 8080, "vllm": 8000}


def test_what_is_there_is_explained_in_one_line() -> None:
    with listing("library", "nomic-embed-text", "qwen3:4b", "llama3.2", "gemma3", "phi4") as place:
        [found] = look([place])
    assert found.models == ("qwen3:4b", "llama3.2", "gemma3", "phi4")
    assert found.line() == (
        f"Ollama is on 127.0.0.1:{place.port} (qwen3:4b, llama3.2, gemma3, …). "
        "To talk to it: vivavoce serve --set engines.cascade.chat_model=ollama"
    )


def test_what_is_missing_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_models.importlib.util, "find_spec", lambda name: None)
    with listing("library", "qwen3:4b") as place:
        assert "talk to it: pip install 'vivavoce[openai]' && vivavoce serve" in look([place])[0].line()


def test_a_server_without_models_says_so() -> None:
    with listing("library") as place:
        assert look([place])[0].line() == f"Ollama is on 127.0.0.1:{place.port} and has no model yet."


def test_others_on_these_ports_are_not_mistaken() -> None:
    """Such as another Vivavoce, on vLLM's usual port."""
    with listing("vivavoce", "gpt-realtime", part="vllm", owners=("vllm",)) as place:
        assert look([place]) == []


@pytest.mark.parametrize("body", [b"<html>", b'{"data": 7}', b'{"data": [{"name": "x"}]}', b""])
def test_answers_that_are_no_list(body: bytes) -> None:
    async def answer(request: Received, out: Out) -> None:
        await out.whole(200, "text/html", body)

    with upstream_thread(answer) as server:
        assert look([Place("Ollama", "ollama", int(server.url.split(":")[2].split("/")[0]), ())]) == []


def test_nobody_there_and_somebody_deaf_take_no_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        places = [Place("x", "x", one.getsockname()[1], ()) for one in (deaf, unused)]
        started = time.monotonic()
        assert look(places) == []
        assert time.monotonic() - started < 2


def told(settings: Settings, place: Place, capsys: pytest.CaptureFixture[str]) -> str:
    thread = tell_later(settings, [place])
    if thread is not None:
        thread.join(5)
    return capsys.readouterr().out


def test_serve_tells_only_who_may_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    def chosen(**options: Any) -> Settings:
        return Settings(engines={"cascade": options})

    with listing("library", "qwen3:4b") as place:
        assert "To talk to it" in told(Settings(), place, capsys)
        assert "To talk to it" in told(chosen(chat_model="assistant"), place, capsys)
        assert told(chosen(chat_model="ollama"), place, capsys) == ""
        assert told(Settings(engine="scripted"), place, capsys) == ""
        assert told(Settings(port=place.port), place, capsys) == ""


def test_the_list_of_engines_ends_with_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with listing("library", "qwen3:4b") as place:
        monkeypatch.setattr(look, "__defaults__", ([place],))
        assert main(["engines"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  openai_transcriptions ") for line in lines)
    assert lines[-1].startswith(f"Ollama is on 127.0.0.1:{place.port} (qwen3:4b). To talk to it: vivavoce serve")
