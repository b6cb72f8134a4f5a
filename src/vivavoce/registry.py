"""Names → what answers to them, through entry points; and the parts of a server as one engine.

Everything that hears, thinks or speaks has a name in one of six groups. A package offers one in its `pyproject.toml`:

    [project.entry-points."vivavoce.engines"]
    parrot = "my_package.parrot:Parrot"

What stands there is called with the operator's options, a mapping. Instead of a name, `module:Class` works too, without any
packaging. A name is imported when it is asked for and not before: to list the names imports nothing.

An entry point that needs an extra of its package says so (`… = "…:Espeak [offline]"`), so that the list can tell what is
missing and which command mends it.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, Engine, EngineCommand, EngineSession, ScoreTurn
from vivavoce.protocol.errors import EngineError, SettingsError, written_as, wrong_value

logger = logging.getLogger(__name__)

ENGINES: Final = "vivavoce.engines"
VOICE_ACTIVITY: Final = "vivavoce.voice_activity"
TURN_ENDS: Final = "vivavoce.turn_ends"
TRANSCRIBERS: Final = "vivavoce.transcribers"
CHAT_MODELS: Final = "vivavoce.chat_models"
SYNTHESIZERS: Final = "vivavoce.synthesizers"

GROUPS: Final = {
    ENGINES: "engine",
    VOICE_ACTIVITY: "voice activity engine",
    TURN_ENDS: "turn end engine",
    TRANSCRIBERS: "transcriber",
    CHAT_MODELS: "chat model",
    SYNTHESIZERS: "synthesizer",
}
"""Each group and what people call one of its members."""

Factory = Callable[[Mapping[str, Any]], Any]
"""Makes an engine or a part from its options. Loads nothing heavy yet: that is for `start`. Raises `SettingsError`."""

OptionsT = TypeVar("OptionsT", bound=Struct)


class Entry(Struct, frozen=True):
    """A name that can be used, or could be if something were installed."""

    group: str
    name: str
    package: str
    """The distribution that offers it."""
    missing: tuple[str, ...] = ()
    """Distributions that it needs and that are not installed."""
    remedy: str = ""
    """The command that installs them."""
    extras: tuple[str, ...] = ()
    """The extras of its package that it needs, installed or not."""


def entries(group: str) -> list[Entry]:
    """All names of a group, in alphabetical order. Imports nothing."""
    return [_described(group, point) for _, point in sorted(_points(group).items())]


def lacking(package: str, extra: str) -> tuple[str, ...]:
    """What an extra of an installed package needs that is not installed: names of distributions."""
    _, required = _read(metadata.distribution(package))
    return tuple(name for name, wanted_by in required if wanted_by == extra and not _installed(name))


def find(group: str, name: str) -> Factory:
    """What makes the engine or part of this name, or at this path (`module:Class`). Raises `SettingsError`."""
    kind = GROUPS[group]
    if ":" in name:
        return _load(metadata.EntryPoint(name, name, group), f"The {kind} {name}")
    points = _points(group)
    if name not in points:
        known = f"There are: {', '.join(sorted(points))}." if points else "There are none."
        raise SettingsError(f"No {kind} named '{name}'. {known} Or write module:Class.")
    return _load(points[name], f"The {kind} '{name}'")


def read_options(options: Mapping[str, Any], shape: type[OptionsT], name: str) -> OptionsT:
    """The options as a Struct, texts read as numbers where numbers are due. Raises `SettingsError` with the path."""
    unknown = sorted(set(options) - set(shape.__struct_fields__))
    if unknown:
        known = ", ".join(shape.__struct_fields__) or "none"
        raise SettingsError(f"engines.{name}: unknown option {unknown[0]!r}. Known: {known}.")
    try:
        return msgspec.convert(options, shape, strict=False)
    except msgspec.ValidationError as error:
        message, where = wrong_value(error)
        field = next((field for field in msgspec.structs.fields(shape) if where == field.name), None)
        wanted = written_as(field.type) if field else ""
        raise SettingsError(f"{'.'.join(filter(None, ('engines', name, where)))}: {message}.{wanted}") from None


def _points(group: str) -> dict[str, metadata.EntryPoint]:
    """By name. Where two packages offer the same name, the foreign one wins: it was installed on purpose."""
    found = _installed_points(tuple(sys.path)).select(group=group)
    points = sorted(found, key=lambda point: point.value.startswith("vivavoce."), reverse=True)
    return {point.name: point for point in points}


@functools.lru_cache(maxsize=1)
def _installed_points(path: tuple[str, ...]) -> Any:
    """All entry points on the import path, selectable by group: a look at a large environment takes 30 ms."""
    return metadata.entry_points()


def _load(point: metadata.EntryPoint, subject: str) -> Factory:
    """Import what the entry point names. Every way this fails becomes one line that says what to do."""
    try:
        factory = importlib.import_module(point.module)
        for attribute in point.attr.split("."):
            factory = getattr(factory, attribute)
    except AttributeError:
        raise SettingsError(f"{subject}: the module {point.module} has no {point.attr!r}.") from None
    except ModuleNotFoundError as error:
        raise SettingsError(f"{subject}: {_why_not_found(point, error.name or '')}") from error
    except ImportError as error:
        raise SettingsError(f"{subject} cannot be imported: {error}.") from error
    if not callable(factory):
        raise SettingsError(f"{subject} is no class or function.")
    return factory


def _why_not_found(point: metadata.EntryPoint, module: str) -> str:
    if point.module == module or point.module.startswith(module + "."):
        return f"there is no module {module!r}. Is its folder on PYTHONPATH?"
    remedy = _described("", point).remedy or _remedy_for(point, module)
    return f"it needs the module {module!r}." + (f" Run: {remedy}" if remedy else "")


# --- what is missing ---


def _described(group: str, point: metadata.EntryPoint) -> Entry:
    package, required = _read(point.dist)
    extras = _extras(point)
    needed = [distribution for distribution, extra in required if extra in extras]
    missing = tuple(distribution for distribution in needed if not _installed(distribution))
    remedy = f"pip install '{package}[{','.join(extras)}]'" if missing else ""
    return Entry(group, point.name, package, missing, remedy, extras)


def _extras(point: metadata.EntryPoint) -> tuple[str, ...]:
    """What stands in brackets. (`EntryPoint.extras` of Python 3.11 takes `smart-turn` for two.)"""
    listed = re.search(r"\[(.*)\]", point.value)
    return tuple(name.strip() for name in listed[1].split(",")) if listed else ()


def _remedy_for(point: metadata.EntryPoint, module: str) -> str:
    """For an entry point that names no extra: the extra of its package that brings the module."""
    for needed, extra in _read(point.dist)[1]:
        if point.dist and extra and _normal(needed) == _normal(module.partition(".")[0]):
            return f"pip install '{point.dist.name}[{extra}]'"
    return ""


@functools.cache
def _read(package: metadata.Distribution | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A package's name, and what it requires: each distribution's name and the extra that asks for it, or `""`."""
    if package is None:
        return "", ()
    found = []
    for line in package.requires or ():
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if name:
            found.append((name[0], extra[1] if extra else ""))
    return package.name, tuple(found)


def _installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- parts as one engine ---


class Ensemble:
    """An engine that answers, one that hears speech begin and end, and perhaps one that knows when a turn is over, as one.

    Each command goes to the engine that is there for it: `DetectSpeech` to the voice activity engine, `ScoreTurn` to the
    turn end engine, everything else to the main one. A part that several ensembles use goes into each as the same `Shared`.
    """

    def __init__(self, main: Engine, voice_activity: Engine | None = None, turn_end: Engine | None = None) -> None:
        self._main = main
        self._voice_activity = voice_activity
        self._turn_end = turn_end
        self.capabilities = self._merged()

    @property
    def _parts(self) -> list[tuple[str, Engine]]:
        parts = [
            ("engine", self._main),
            ("voice activity engine", self._voice_activity),
            ("turn end engine", self._turn_end),
        ]
        return [(kind, part) for kind, part in parts if part is not None]

    def _merged(self) -> Capabilities:
        scores_turns = self._turn_end is not None or self._main.capabilities.scores_turns
        return msgspec.structs.replace(self._main.capabilities, scores_turns=scores_turns)

    async def start(self) -> None:
        """Start all parts at once. If one cannot start, close the others and raise one error that names it."""
        outcomes = await asyncio.gather(*(part.start() for _, part in self._parts), return_exceptions=True)
        failed = [(part, outcome) for part, outcome in zip(self._parts, outcomes, strict=True) if outcome is not None]
        if failed:
            await self.close()
            (kind, part), error = failed[0]
            raise _start_error(kind, part, error) from error
        self.capabilities = self._merged()

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session with every part."""
        opened: list[EngineSession] = []
        try:
            for _, part in self._parts:
                opened.append(part.open(emit))
        except BaseException:
            _close_sessions(opened)
            raise
        by_engine = {id(part): session for (_, part), session in zip(self._parts, opened, strict=True)}
        main = by_engine[id(self._main)]
        return _EnsembleSession(main, by_engine.get(id(self._voice_activity), main), by_engine.get(id(self._turn_end), main))

    async def close(self) -> None:
        """Close all parts. One that cannot be closed is logged and keeps nobody from closing."""
        outcomes = await asyncio.gather(*(part.close() for _, part in self._parts), return_exceptions=True)
        for (kind, part), outcome in zip(self._parts, outcomes, strict=True):
            if outcome is not None:
                logger.error("the %s %s did not close", kind, type(part).__name__, exc_info=outcome)


class Shared:
    """An engine that several ensembles use: the first one to start starts it, the last one to close closes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._users = 0
        self._turn = asyncio.Lock()
        self.capabilities = engine.capabilities

    async def start(self) -> None:
        """Start the engine, or wait until it has started. After a failure, the next one tries again."""
        async with self._turn:
            if self._users == 0:
                await self._engine.start()
                self.capabilities = self._engine.capabilities
            self._users += 1

    def open(self, emit: Emit) -> EngineSession:
        """Begin a session."""
        return self._engine.open(emit)

    async def close(self) -> None:
        """Close the engine, unless somebody still uses it."""
        async with self._turn:
            self._users = max(0, self._users - 1)
            if self._users == 0:
                await self._engine.close()


class _EnsembleSession:
    """Routes commands by their type."""

    def __init__(self, main: EngineSession, voice_activity: EngineSession, turn_end: EngineSession) -> None:
        self._main = main
        self._voice_activity = voice_activity
        self._turn_end = turn_end

    def submit(self, command: EngineCommand) -> None:
        """Hand the command to the part that is there for it."""
        if isinstance(command, DetectSpeech):
            self._voice_activity.submit(command)
        elif isinstance(command, ScoreTurn):
            self._turn_end.submit(command)
        else:
            self._main.submit(command)

    def close(self) -> None:
        """Close every part's session."""
        _close_sessions(list({id(s): s for s in (self._main, self._voice_activity, self._turn_end)}.values()))


def _close_sessions(sessions: list[EngineSession]) -> None:
    for session in sessions:
        try:
            session.close()
        except Exception:
            logger.exception("the session of %s did not close", type(session).__name__)


def _start_error(kind: str, part: Engine, error: BaseException) -> BaseException:
    """One line that names the part, unless it does so itself. An operator's mistake stays one."""
    line = str(error) or type(error).__name__
    if not line.startswith("The "):
        line = f"The {kind} {type(part).__name__} did not start: {line}"
    if isinstance(error, SettingsError):
        return SettingsError(line)
    if isinstance(error, Exception):
        return EngineError(error.code if isinstance(error, EngineError) else "engine_start_failed", line)
    return error
