"""Looks for a server of chat models on this machine, and says how to talk to it. Loopback only, and in no hurry.

Ollama, llama.cpp and vLLM each have a usual port, and `GET /v1/models` tells them apart: `owned_by` names the program. A
program that is something else gets one harmless request and is not mentioned.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import sys
import threading
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from vivavoce.settings import Settings

_SECONDS: Final = 0.5
"""Whoever is on this machine answers within milliseconds, or is busy with something else."""
_MOST_BYTES: Final = 2**20
_NAMED_MODELS: Final = 3


class Place(Struct, frozen=True):
    """Where one of them is by default."""

    name: str
    """For people."""
    part: str
    """The chat model's name in the settings."""
    port: int
    owners: tuple[str, ...]
    """What `owned_by` says there; any, where the port is nobody else's."""


PLACES: Final = (
    Place("Ollama", "ollama", 11434, ()),
    Place("llama.cpp", "llamacpp", 8080, ("llamacpp",)),
    Place("vLLM", "vllm", 8000, ("vllm",)),
)


class _Card(Struct):
    id: str
    owned_by: str = ""


class _Models(Struct):
    data: list[_Card] | None = None


class Found(Struct, frozen=True):
    """A server that answered."""

    place: Place
    models: tuple[str, ...]
    """Those that can hold a conversation."""

    def line(self) -> str:
        """How to use it, in one line."""
        where = f"{self.place.name} is on 127.0.0.1:{self.place.port}"
        if not self.models:
            return f"{where} and has no model yet."
        named = ", ".join(self.models[:_NAMED_MODELS]) + (", …" if len(self.models) > _NAMED_MODELS else "")
        needed = "" if importlib.util.find_spec("httpx2") else "pip install 'vivavoce[openai]' && "
        command = f"{needed}vivavoce serve --set engines.cascade.chat_model={self.place.part}"
        return f"{where} ({named}). To talk to it: {command}"


def look(places: Sequence[Place] = PLACES) -> list[Found]:
    """Those that are there. Takes milliseconds, or half a second for each that accepts and says nothing."""
    return [found for place in places if (found := _asked(place)) is not None]


def tell_later(settings: Settings, places: Sequence[Place] = PLACES) -> threading.Thread | None:
    """Look in a thread, and print a line for each; for whoever talks to the offline assistant and may not know better."""
    chosen = settings.engines.get("cascade", {}).get("chat_model", "assistant")
    if settings.engine != "cascade" or chosen != "assistant":
        return None
    elsewhere = [place for place in places if place.port != settings.port]

    def tell() -> None:
        with contextlib.suppress(OSError, ValueError):  # Nobody reads any more.
            for found in look(elsewhere):
                sys.stdout.write(found.line() + "\n")
                sys.stdout.flush()

    thread = threading.Thread(target=tell, name="local-models", daemon=True)
    thread.start()
    return thread


def _asked(place: Place) -> Found | None:
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/v1/models")
        response = connection.getresponse()
        cards = msgspec.json.decode(response.read(_MOST_BYTES), type=_Models).data or []
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()
    owned = [card.id for card in cards if not place.owners or card.owned_by in place.owners]
    if response.status != 200 or (place.owners and not owned):
        return None
    return Found(place, tuple(name for name in owned if "embed" not in name))
