"""The script that the scripted engine plays: its format and its reading. `docs/reference/scripted.md` explains it."""

from __future__ import annotations

import re
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import yaml
from msgspec import Meta, Struct

from vivavoce.audio import SAMPLE_HZ, Resampler
from vivavoce.protocol.errors import SettingsError, wrong_value

Milliseconds = Annotated[int, Meta(ge=0)]


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step waits, says, calls and ends, in this order, each if it is written there."""

    after_ms: Milliseconds = 0
    """Wait before the step."""
    say: str = ""
    """Spoken in a spoken response, written in a text one. `{said}` stands for what is being answered, `{so_far}` for all
    that the assistant said before, as the conversation has it: of an answer that was interrupted, what was heard."""
    audio: str = ""
    """A WAV file that is heard in place of the tones. Relative to the script."""
    first_audio_ms: Milliseconds = 0
    """Wait between the words and their sound."""
    pace: Annotated[float, Meta(ge=0)] = 0
    """How many times faster than speech the audio comes. 0 is at once."""
    call: str = ""
    """The name of a function to call."""
    arguments: dict[str, Any] | str = {}
    """Its arguments; as text they are sent as written, valid JSON or not."""
    fail: str = ""
    """Fail here, with this code."""
    message: str = "The script says so."
    """The message of `fail`."""
    stop: Literal["", "max_output_tokens", "content_filter"] = ""
    """Stop here, for this reason."""
    hang: bool = False
    """Never go on."""


class Turn(Struct, frozen=True, kw_only=True):
    """One answer."""

    when: str = ""
    """A regular expression sought in the user's words, case ignored: the turn is for these and for nothing else."""
    when_output: str = ""
    """The same, sought in a function's output."""
    do: tuple[Step, ...] = ()


class Heard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the engine pretends to have heard in one item of the user's audio."""

    text: str = ""
    after_ms: Milliseconds = 0
    fail: str = ""
    message: str = "The script says so."


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole script."""

    turns: tuple[Turn, ...] = ()
    transcripts: tuple[Heard, ...] = ()
    """One for each item of the user's audio, in order, and from the top again after the last."""

    def matching(self, words: str, *, is_output: bool) -> Turn | None:
        """The first turn that is for these words."""
        for turn in self.turns:
            pattern = turn.when_output if is_output else turn.when
            if pattern and re.search(pattern, words, re.IGNORECASE):
                return turn
        return None

    def plain(self) -> list[Turn]:
        """The turns that are for any words."""
        return [turn for turn in self.turns if not turn.when and not turn.when_output]

    def audio_files(self) -> set[str]:
        """All WAV files that are named."""
        return {step.audio for turn in self.turns for step in turn.do if step.audio}


DEMO: Final = {
    "turns": [
        {"say": "Hello. I am the scripted engine: I say what my script says."},
        {"say": "This is my second answer. Nothing that you say changes it."},
        {"say": "Give me a script of your own, and I shall say, call, wait or fail as your test needs it."},
    ]
}


def read_script(source: str | Mapping[str, Any]) -> Script:
    """Read a script from a YAML file, or take it as it is. Raises `SettingsError` with the place that is wrong."""
    where = source if isinstance(source, str) else "script"
    tree = _read_yaml(source) if isinstance(source, str) else source
    if not isinstance(tree, Mapping):
        raise SettingsError(f"{where}: a script is a table with `turns`.")
    plain = {
        **tree,
        "turns": [_turn(turn, f"{where}: turns[{n}]") for n, turn in enumerate(_list(tree, "turns", where))],
        "transcripts": [{"text": heard} if isinstance(heard, str) else heard for heard in _list(tree, "transcripts", where)],
    }
    try:
        script = msgspec.convert(plain, Script)
    except msgspec.ValidationError as error:
        message, path = wrong_value(error)
        raise SettingsError(": ".join(filter(None, (where, path, f"{message}.")))) from None
    _check_patterns(script, where)
    return script


def read_wav(path: Path) -> bytes:
    """A WAV file as PCM16 mono at 24,000 Hz. Raises `SettingsError`."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise SettingsError(f"{path}: only 16-bit WAV files can be played.")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
            rate_hz = file.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise SettingsError(f"{path}: cannot be read as WAV: {error}.") from None
    mono = samples.mean(axis=1).astype(np.int16)
    resampler = Resampler(rate_hz, SAMPLE_HZ)
    return np.concatenate([resampler.feed(mono), resampler.flush()]).astype("<i2").tobytes()


def _read_yaml(path: str) -> Any:
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"Cannot read the script {path}: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None


def _list(tree: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = tree.get(key) or []
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{where}: {key}: expected a list.")
    return list(value)


def _turn(turn: Any, where: str) -> Any:
    """A turn of one step may be written without `do`."""
    if not isinstance(turn, Mapping):
        raise SettingsError(f"{where}: a turn is a table, such as {{say: Hello.}}.")
    step = {key: value for key, value in turn.items() if key not in ("when", "when_output", "do")}
    if step and "do" in turn:
        raise SettingsError(f"{where}: {', '.join(map(str, step))} belongs into a step of `do`.")
    return turn if "do" in turn else {**{k: turn[k] for k in ("when", "when_output") if k in turn}, "do": [step]}


def _check_patterns(script: Script, where: str) -> None:
    for n, turn in enumerate(script.turns):
        for key in ("when", "when_output"):
            try:
                re.compile(getattr(turn, key))
            except re.error as error:
                raise SettingsError(f"{where}: turns[{n}].{key}: not a regular expression: {error}.") from None
