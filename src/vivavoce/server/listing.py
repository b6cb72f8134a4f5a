"""`vivavoce engines` and `vivavoce fetch`: the catalogue for people and for programs, and weights ahead of their use."""

from __future__ import annotations

import asyncio
import itertools
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from vivavoce.engines import weights
from vivavoce.engines.weights_download import readable_bytes
from vivavoce.protocol.errors import SettingsError
from vivavoce.server import catalogue
from vivavoce.server.catalogue import Model, Part, Profile
from vivavoce.server.local_models import look
from vivavoce.server.logs import configure
from vivavoce.settings import Settings

COLUMNS: Final = 100
_NAME_COLUMNS: Final = 24


def list_engines(settings: Settings, name: str | None, *, as_json: bool) -> int:
    """Print everything that has a name, or all about one; the exit code. Raises `SettingsError`."""
    weights.configure(settings.weights_folder, offline=settings.offline)
    parts = catalogue.parts(settings)
    if name is not None:
        parts = [part for part in parts if part.name == name]
        if not parts:
            raise SettingsError(f"No engine or part named '{name}'. `vivavoce engines` lists them.")
    if as_json:
        sys.stdout.write(_as_json(parts) + "\n")
        return 0
    for line in _details(parts) if name else _overview(parts):
        sys.stdout.write(line + "\n")
    return 0


def fetch_weights(settings: Settings, names: list[str]) -> int:
    """Fetch the weights that these names mean, or all that the settings need; the exit code.

    Raises `SettingsError` and `EngineError`.
    """
    configure(settings.log, settings.log_level)
    weights.configure(settings.weights_folder)
    found = catalogue.named(names, settings) if names else catalogue.needed(settings)
    for model, wanted in found.items():
        folder = asyncio.run(weights.fetch(wanted, model))
        sys.stdout.write(f"{model}: {folder}\n")
    if not found:
        sys.stdout.write("These settings need no weights.\n")
    return 0


# --- for people ---


def _overview(parts: list[Part]) -> Iterator[str]:
    for kind, members in itertools.groupby(parts, lambda part: part.kind):
        yield f"{kind[:1].upper()}{kind[1:]}s"
        for part in members:
            yield from _part(part)
        yield ""
    yield "Profiles: vivavoce serve --profile NAME"
    for profile in catalogue.profiles():
        yield from _profile(profile)
    yield ""
    yield from textwrap.wrap(
        "* is in use with these settings. Weights come on first use, or now with `vivavoce fetch NAME`; they are kept in "
        f"{_short(weights.weights_folder())}. `vivavoce engines NAME` says more.",
        COLUMNS,
    )
    for server in look():
        yield server.line()


def _part(part: Part) -> Iterator[str]:
    yield from _entry(f"{'*' if part.in_use else ' '} {part.name}", part.gives or f"from {part.package}")
    if part.missing:
        yield from _entry("", f"not installed: {part.remedy}", cut=False)
    if part.fault:
        yield from _entry("", f"broken: {part.fault}")
    for model in part.models:
        if model.chosen or model.folder:
            yield from _entry("", _model(model))


def _model(model: Model) -> str:
    where = "on this machine" if model.folder else "not here yet"
    return f"weights: {model.name}, {_size(model)}, {model.weights.licence}, {where}"


def _size(model: Model) -> str:
    return readable_bytes(model.weights.size_bytes) if model.weights.size_bytes else "unknown"


def _profile(profile: Profile) -> Iterator[str]:
    yield from _entry(f"  {profile.name}", profile.about)
    if profile.remedy:
        yield from _entry("", f"install: {profile.remedy}", cut=False)
    if profile.fetch:
        size = readable_bytes(profile.fetch_bytes)
        yield from _entry("", f"weights: {', '.join(profile.fetch)}, {size}: vivavoce fetch --profile {profile.name}")
    if not profile.remedy and not profile.fetch:
        yield from _entry("", "ready")


def _details(parts: list[Part]) -> Iterator[str]:
    known = {(part.kind, part.name): part for part in parts}
    for part in known.values():
        yield f"{part.name} ({part.kind}, from {part.package}{', in use' if part.in_use else ''})"
        if part.gives:
            yield part.gives
        if part.missing:
            yield f"not installed: {part.remedy}"
        if part.fault:
            yield f"broken: {part.fault}"
        if part.models:
            yield ""
            yield from _table([("  model", "size", "licence", "where"), *map(_cells, part.models)])


def _cells(model: Model) -> tuple[str, str, str, str]:
    where = _short(Path(model.folder)) if model.folder else f"{model.weights.repository}, not here yet"
    return f"{'*' if model.chosen else ' '} {model.name}", _size(model), model.weights.licence, where


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _entry(name: str, text: str, *, cut: bool = True) -> Iterator[str]:
    """A name, and a text beside it in as many lines as it needs. A command is not cut."""
    lines = textwrap.wrap(text, COLUMNS - _NAME_COLUMNS, break_long_words=False, break_on_hyphens=False) if cut else [text]
    if len(name) >= _NAME_COLUMNS:
        yield name
        name = ""
    for beside, line in itertools.zip_longest([name], lines or [""], fillvalue=""):
        yield f"{beside:<{_NAME_COLUMNS}}{line}".rstrip()


def _short(folder: Path) -> str:
    home = str(Path.home())
    return str(folder).replace(home, "~", 1) if str(folder).startswith(home + "/") else str(folder)


# --- for programs ---


def _as_json(parts: list[Part]) -> str:
    servers = [{"name": found.place.name, "part": found.place.part, "models": found.models} for found in look()]
    content = {
        "parts": parts,
        "profiles": catalogue.profiles(),
        "weights_folder": str(weights.weights_folder()),
        "servers": servers,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
