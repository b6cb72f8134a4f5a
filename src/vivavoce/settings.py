"""Settings: a profile, a TOML file, then `VIVAVOCE_…` variables, then flags, become frozen Structs. Later ones win.

A profile is a settings file too: one of ours, in `profiles/`, or any other.

This file is the one place where a setting is named, typed, defaulted and explained. `docs/reference/settings.md` is
generated from it, the string under each field included: `python tools/settings_reference.py`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from vivavoce.protocol.errors import SettingsError, written_as, wrong_value

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one server, and one session in it, may use."""

    max_sessions: Positive = 100
    """Sessions at once, over all workers. The next one gets HTTP 503 with `Retry-After`."""
    frame_bytes: Positive = 24 * 2**20
    """The largest message that a client may send. A larger one closes the connection with 1009."""
    buffered_audio_bytes: Positive = 64 * 2**20
    """The most uncommitted audio in a session. More is refused with an `error` event."""
    items: Positive = 10_000
    """The most items in a conversation. More are refused with an `error` event."""
    outbox_bytes: Positive = 16 * 2**20
    """How far a client may fall behind in reading. Beyond it the connection is closed with 1008."""
    session_minutes: Annotated[float, Meta(gt=0)] = 60.0
    """How long a session may last. Then `session_expired`, and close with 1001."""
    engine_silence_seconds: Annotated[float, Meta(gt=0)] = 120.0
    """How long an engine may say nothing of a response. Then the response fails with `engine_timeout`."""


class RateLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one API key may use in a minute, counted in each worker. 0 is no limit."""

    requests_per_minute: Count = 0
    """Responses a minute, and requests to the audio routes."""
    tokens_per_minute: Count = 0
    """Input and output tokens a minute."""


class Turns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people and the assistant take turns."""

    drafts: bool = True
    """Whether an engine that can may begin to answer while it is not yet sure that the turn is over. What it says is held
    until it is, and thrown away if the speaker goes on. It costs a recognition, and perhaps an answer, for each pause."""
    speak_late_outputs: bool = False
    """Whether a function's output that comes while a response runs or the user speaks is answered when neither does, also
    without a `response.create`, which is no error then. Else the client has to wait, as with the hosted API."""
    confirm_barge_in_ms: Count = 0
    """Speech over an answer pauses it, and cuts it off when it has lasted so long, or has words ("uh-huh" is none); else the
    answer goes on. 600 is a good value. The answer then leaves 300 ms ahead of its playback at most. 0: speech cuts it off
    at once, as the hosted API does."""


class SessionDefaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session starts with where the client says nothing."""

    model: str = "gpt-realtime"
    """The model's name where the client gives none."""
    voice: str = "alloy"
    """The voice."""
    instructions: str = ""
    """The instructions."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server."""

    host: str = "127.0.0.1"
    """Where to listen. Anything but loopback needs API keys."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """Which port. 0 takes a free one."""
    certfile: str | None = None
    """A PEM certificate: the server then speaks `https` and `wss`. Needs `keyfile`."""
    keyfile: str | None = None
    """The certificate's private key, PEM."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Processes on the port, each with its own engines."""
    profile: str | None = None
    """A set of settings to begin with: `offline`, `laptop`, `gpu`, `native`, or a TOML file. All else wins over it."""
    engine: str = "cascade"
    """The engine that answers, unless `models` says otherwise."""
    models: dict[str, str] = {}
    """Which engine answers for which model name, such as `{"gpt-realtime-mini" = "echo"}`. `echo` and `scripted` are always
    there under their own names."""
    voice_activity: str = "silero"
    """The part that tells speech from noise."""
    turn_end: str | None = None
    """The part that tells whether a pause ends the turn. Without one, `semantic_vad` goes by its waits alone."""
    noise_reduction: Literal["auto", "off"] = "auto"
    """Whether `noise_reduction` is done where a client asks for it. Needs the extra `audio-processing`; without it, the
    audio is used as it comes, and the log says so."""
    echo_cancellation: Literal["off", "cancel"] = "off"
    """`cancel` takes the assistant's own voice out of every client's microphone, for clients that cannot do it themselves.
    Needs the extra `audio-processing`."""
    engines: dict[str, dict[str, Any]] = {}
    """Options of engines and their parts, a table for each: `[engines.cascade]`."""
    weights_folder: str | None = None
    """Where models' weights are kept. By default where `huggingface_hub` keeps them: `~/.cache/huggingface/hub`."""
    offline: bool = False
    """Fetch no weights: those that are not on this machine are an error."""
    api_keys: tuple[str, ...] = ()
    """Keys that clients must present. None at all: open to this machine, and to nobody else."""
    api_key_file: str | None = None
    """A file with more keys, one a line. `#` begins a comment."""
    secret_key: str | None = None
    """Signs client secrets. Drawn anew at each start if absent; set it where several servers share them."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins whose pages may connect, such as `https://app.example.com`. `*` is any. See "Origins" below."""
    trace: str | None = None
    """A folder that gets a trace of every session: all that was said, audio included, and no keys."""
    log: Literal["human", "json"] = "human"
    """How log lines look."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is logged."""
    grace_seconds: Seconds = 10.0
    """After SIGTERM, how long running responses may take to finish."""
    limits: Limits = Limits()
    """How much one server, and one session in it, may use."""
    rate_limits: RateLimits = RateLimits()
    """What one API key may use in a minute, counted in each worker. 0 is no limit."""
    turns: Turns = Turns()
    """How people and the assistant take turns."""
    session: SessionDefaults = SessionDefaults()
    """What a session starts with where the client says nothing."""

    def __repr__(self) -> str:
        return f"Settings({masked(self)})"


# --- reading ---


def load(file: Path | None = None, env: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the sources and lay them over each other. `flags` are dotted names. Raises `SettingsError`."""
    tree, source = _read_file(file) if file else ({}, _Source())
    for name, text in (env or {}).items():
        path = _path_of_variable(name, text)
        if path:
            _put(tree, path, _parsed(path, text, name))
    for name, value in (flags or {}).items():
        path = tuple(name.split("."))
        _check_known(path, _Source())
        _put(tree, path, _parsed(path, value, f"--set {name}") if isinstance(value, str) else value)
    if tree.get("profile"):
        tree, source = _over_profile(tree, source)
    return _checked(_converted(tree, source), source)


def profiles() -> dict[str, Path]:
    """Our profiles by name, each a settings file whose first line says what it is for."""
    return {file.stem: file for file in sorted((Path(__file__).parent / "profiles").glob("*.toml"))}


def _over_profile(tree: dict[str, Any], source: _Source) -> tuple[dict[str, Any], _Source]:
    """The tree laid over the profile that it names."""
    name = str(tree["profile"])
    file = profiles().get(name, Path(name).expanduser())
    if not file.is_file():
        known = ", ".join(profiles())
        raise SettingsError(
            f'{source.place(("profile",))}profile: there is no "{name}". There are: {known}. Or name a file.'
        )
    below, below_source = _read_file(file)
    if "profile" in below:
        raise SettingsError(f"{below_source.place(('profile',))}a profile cannot name another one.")
    return _merged(below, tree), msgspec.structs.replace(source, below=below_source)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    tables = {name: value for name, value in above.items() if isinstance(value, dict) and isinstance(below.get(name), dict)}
    return below | above | {name: _merged(below[name], value) for name, value in tables.items()}


class _Source(Struct, frozen=True):
    """Where a tree was read from, so that an error can name the line."""

    name: str = ""
    text: str = ""
    below: _Source | None = None
    """Where the values come from that this one does not have."""

    def place(self, path: tuple[str, ...]) -> str:
        """`vivavoce.toml:7: `, or nothing where the value did not come from a file."""
        if line := self._line(path):
            return f"{self.name}:{line}: "
        return self.below.place(path) if self.below else ""

    def _line(self, path: tuple[str, ...]) -> int | None:
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
                table = tuple(part.strip(" \"'") for part in header[1].split("."))
            elif key := re.match(r"""\s*([\w.'"-]+)\s*=""", line):
                keys = tuple(part.strip("\"'") for part in key[1].split("."))
                if table + keys == path:
                    return number
            if table == path:
                return number
        return None


def _read_file(file: Path) -> tuple[dict[str, Any], _Source]:
    try:
        source = _Source(str(file), file.read_text(encoding="utf-8"))
        tree = tomllib.loads(source.text)
    except OSError as error:
        raise SettingsError(f"Cannot read the settings file {file}: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}.") from None
    for path in _paths(tree):
        _check_known(path, source)
    return tree, source


def _paths(tree: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        path = (*prefix, key)
        if isinstance(value, dict) and value and path[0] not in _OPEN_TABLES:
            yield from _paths(value, path)
        else:
            yield path


def _check_known(path: tuple[str, ...], source: _Source) -> None:
    if path[0] in _OPEN_TABLES or path in LEAVES or path in TABLES:
        return
    name = ".".join(path)
    known = [".".join(leaf) for leaf in LEAVES]
    close = difflib.get_close_matches(name, known, n=1) or [leaf for leaf in known if leaf.endswith("." + path[-1])]
    hint = f' Did you mean "{close[0]}"?' if close else " `vivavoce config` shows all of them."
    raise SettingsError(f'{source.place(path)}unknown setting "{name}".{hint}')


def _path_of_variable(name: str, text: str) -> tuple[str, ...] | None:
    """Which setting a variable means, if any. A foreign variable is nobody's error: the environment is not ours alone."""
    if text.startswith("tcp://"):
        return None  # Kubernetes puts VIVAVOCE_PORT=tcp://10.0.0.1:8000 there, for a service named "vivavoce".
    if name.startswith("VIVAVOCE_ENGINES_"):
        engine, _, option = name.removeprefix("VIVAVOCE_ENGINES_").lower().partition("_")
        return ("engines", engine, option) if option else None
    return _VARIABLES.get(name)


def _parsed(path: tuple[str, ...], text: str, origin: str) -> Any:
    """A value from a variable or a flag: lists are comma-separated, tables `name=value,…`."""
    if path[0] == "engines":
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except ValueError:
            return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if path == ("models",):
        if not all("=" in part for part in parts):
            raise SettingsError(f"{origin}: write it as name=engine,name=engine.")
        return {name.strip(): engine.strip() for name, _, engine in (part.partition("=") for part in parts)}
    field = LEAVES.get(path)
    return parts if field is not None and field.default == () else text


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise SettingsError(f'"{key}" is a table: it has settings, not a value.')
    tree[path[-1]] = value


def _converted(tree: dict[str, Any], source: _Source) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        message, name = wrong_value(error)
        path = tuple(re.sub(r"\[\d+\]", "", name).split("."))
        wanted = written_as(LEAVES[path].type) if path in LEAVES else ""
        raise SettingsError(f"{source.place(path)}{name}: {message}.{wanted}") from None


def _checked(settings: Settings, source: _Source) -> Settings:
    if (settings.certfile is None) != (settings.keyfile is None):
        raise SettingsError("TLS needs both: set certfile and keyfile.")
    for name in ("certfile", "keyfile"):
        file = getattr(settings, name)
        if file is not None and not Path(file).is_file():
            raise SettingsError(f"{source.place((name,))}{name}: there is no file {file}.")
    for origin in settings.allowed_origins:
        if origin not in ("*", "null") and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/]+", origin):
            message = f'"{origin}" is no origin. Write it as https://app.example.com, without a path.'
            raise SettingsError(f"{source.place(('allowed_origins',))}allowed_origins: {message}")
    return settings


# --- showing ---

_MASK: Final = "********"
_SECRET = re.compile(r"(^|_)(key|keys|secret|token|password)$")


def masked(settings: Settings) -> dict[str, Any]:
    """The effective settings as plain data, for people: secrets replaced by asterisks."""
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    tree["api_keys"] = [_MASK for _ in settings.api_keys]
    tree["secret_key"] = settings.secret_key and _MASK
    tree["engines"] = _masked_options(settings.engines)
    return tree


def as_toml(settings: Settings) -> str:
    """The effective settings as a settings file. What is not set is commented out, and so are secrets, masked."""
    lines: list[str] = []
    tree = masked(settings)
    for path in LEAVES:
        value = tree
        for key in path:
            value = value[key]
        name = ".".join(path)
        text = f"{name} = {'' if value is None else _toml_value(value)}"
        lines.append(f"# {text}".rstrip() if value is None or _MASK in text else text)
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_value(name)} = {_toml_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return msgspec.json.encode(value).decode()


def _masked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _masked_options(value) if isinstance(value, dict) else _MASK if _SECRET.search(name) else value
        for name, value in options.items()
    }


# --- what there is ---


def _walk(struct: type[Struct], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], msgspec.structs.FieldInfo]]:
    """Every setting below `struct`: tables before what is in them."""
    for field in msgspec.structs.fields(struct):
        path = (*prefix, field.name)
        yield path, field
        if _is_table(field):
            yield from _walk(field.type, path)


def _is_table(field: msgspec.structs.FieldInfo) -> bool:
    return isinstance(field.type, type) and issubclass(field.type, Struct)


_OPEN_TABLES: Final = frozenset({"models", "engines"})
_ALL: Final = dict(_walk(Settings))
TABLES: Final = {path: field for path, field in _ALL.items() if _is_table(field)}
"""The tables, such as `("limits",)`."""
LEAVES: Final = {path: field for path, field in _ALL.items() if not _is_table(field)}
"""The settings themselves, such as `("limits", "items")`."""
_VARIABLES: Final = {"VIVAVOCE_" + "_".join(path).upper(): path for path in LEAVES if path != ("engines",)}
