"""What the command line asks of a session, as a `session.update` in either dialect."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from vivavoce.audio import Encoding
from vivavoce.client.errors import UsageError

TRANSCRIPTION_MODEL: Final = "whisper-1"
"""A name that every Realtime server knows, in both dialects."""

G711: Final[dict[str, Encoding]] = {"ulaw": "audio/pcmu", "alaw": "audio/pcma"}
_BETA_FORMATS: Final = {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}


class Tool(Struct, frozen=True):
    """A function tool in the file of `--tools`. With a `result`, calls of it are answered."""

    name: str
    type: str = "function"
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    result: Any = UNSET
    """Text, or JSON that becomes text."""

    @property
    def output(self) -> str | None:
        """What a call of it returns; `None` leaves the call unanswered."""
        if self.result is UNSET:
            return None
        return self.result if isinstance(self.result, str) else json.dumps(self.result)


def read_tools(path: str) -> tuple[Tool, ...]:
    """The tools in a JSON file: a list of function tools, each with an optional `result`. Raises `UsageError`."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=tuple[Tool, ...])
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is no list of function tools: {error}.") from None


class SessionOptions(Struct, frozen=True, kw_only=True):
    """What the client wants. `None` leaves it to the server."""

    encoding: Encoding = "audio/pcm"
    voice: str | None = None
    instructions: str | None = None
    tools: tuple[Tool, ...] = ()
    push_to_talk: bool = False

    def update(self, beta: bool) -> dict[str, Any]:
        """The `session.update` event."""
        return {"type": "session.update", "session": self._beta() if beta else self._ga()}

    def _ga(self) -> dict[str, Any]:
        rate = {"rate": 24000} if self.encoding == "audio/pcm" else {}
        hears: dict[str, Any] = {
            "format": {"type": self.encoding} | rate,
            "transcription": {"model": TRANSCRIPTION_MODEL},
        }
        if self.push_to_talk:
            hears["turn_detection"] = None
        speaks = {"format": {"type": self.encoding} | rate} | self._voice()
        return {"type": "realtime", "audio": {"input": hears, "output": speaks}} | self._shared()

    def _beta(self) -> dict[str, Any]:
        session: dict[str, Any] = {
            "input_audio_format": _BETA_FORMATS[self.encoding],
            "output_audio_format": _BETA_FORMATS[self.encoding],
            "input_audio_transcription": {"model": TRANSCRIPTION_MODEL},
        }
        if self.push_to_talk:
            session["turn_detection"] = None
        return session | self._voice() | self._shared()

    def _voice(self) -> dict[str, Any]:
        return {"voice": self.voice} if self.voice else {}

    def _shared(self) -> dict[str, Any]:
        """What both dialects write alike."""
        shared: dict[str, Any] = {}
        if self.instructions is not None:
            shared["instructions"] = self.instructions
        if self.tools:
            shared["tools"] = [msgspec.to_builtins(tool) for tool in self.tools]
            for tool in shared["tools"]:
                tool.pop("result", None)
        return shared


def session_options(args: argparse.Namespace) -> SessionOptions:
    """`SessionOptions` from the flags of `say` and `talk`. Raises `UsageError`."""
    return SessionOptions(
        encoding=G711[args.g711] if getattr(args, "g711", None) else "audio/pcm",
        voice=args.voice,
        instructions=args.instructions,
        tools=read_tools(args.tools) if args.tools else (),
        push_to_talk=args.push_to_talk,
    )
