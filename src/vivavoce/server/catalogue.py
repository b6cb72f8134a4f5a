"""What there is: engines and parts, what their weights need, what is missing. Loads nothing heavy, asks nobody.

A part says what it can fetch with a class attribute `weights`, by the names that its option `model` takes; its module is
imported for that, which costs a few milliseconds. One sentence for each of ours stands in `catalogue.toml`.
"""

from __future__ import annotations

import functools
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from vivavoce.engines.cascade import PARTS
from vivavoce.engines.weights import Weights, kept, wanted
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import ENGINES, GROUPS, TURN_ENDS, VOICE_ACTIVITY, Entry, entries, find, lacking
from vivavoce.settings import Settings, load
from vivavoce.settings import profiles as files_of_profiles


class Model(Struct, frozen=True, kw_only=True):
    """Weights that a part can use."""

    name: str
    """What the part's option `model` takes."""
    weights: Weights
    folder: str | None
    """Where they are, if they are on this machine."""
    chosen: bool
    """Whether the settings, or else the part itself, choose them."""


class Part(Struct, frozen=True, kw_only=True):
    """An engine or a part of a cascade."""

    kind: str
    name: str
    gives: str
    """What it is good for, in a few words; empty for those of other packages."""
    package: str
    in_use: bool
    """Whether the settings name it."""
    missing: tuple[str, ...] = ()
    """Distributions that are not installed."""
    remedy: str = ""
    """The command that installs them."""
    fault: str = ""
    """Why it cannot be used, if it is installed and broken."""
    models: tuple[Model, ...] = ()


class Profile(Struct, frozen=True, kw_only=True):
    """One of our profiles."""

    name: str
    about: str
    """The first line of its file."""
    remedy: str = ""
    """The command that installs what it lacks."""
    fetch: tuple[str, ...] = ()
    """Models whose weights are not on this machine."""
    fetch_bytes: int = 0
    """How much that is."""


class About(Struct, frozen=True, kw_only=True):
    """What people should know of an engine or part, in `catalogue.toml`."""

    gives: str
    licence: str
    """Of the code that it stands on. Weights have their own."""
    tested: str
    first_ms: str
    """To the first sound, word or score, and of what; as measured, or why not."""
    weights: bool = False
    """Whether it has any. Of ours, only those that do are imported to be listed."""


def parts(settings: Settings) -> list[Part]:
    """Everything that has a name, group by group."""
    in_use = {(group, name): options for group, name, options in used(settings)}
    known = about()
    found = [
        _described(kind, entry, known.get((group, entry.name)), in_use.get((group, entry.name)), settings)
        for group, kind in GROUPS.items()
        for entry in entries(group)
    ]
    return [*found, _front_end(settings)]


def profiles() -> list[Profile]:
    """Ours, and what each lacks on this machine."""
    installed = {(group, entry.name): entry for group in GROUPS for entry in entries(group)}
    return [_profile(name, file, installed) for name, file in files_of_profiles().items()]


def used(settings: Settings) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What the settings name: group, name and options. Engines with their parts: a cascade's three, or another's own."""
    for engine in dict.fromkeys([settings.engine, *settings.models.values()]):
        options = settings.engines.get(engine, {})
        yield ENGINES, engine, options
        for part, (group, default) in PARTS.items():
            if name := options.get(part, default if engine == "cascade" else ""):
                yield group, name, options.get(name, {})
    for group, single in ((VOICE_ACTIVITY, settings.voice_activity), (TURN_ENDS, settings.turn_end)):
        if single:
            yield group, single, settings.engines.get(single, {})


def needed(settings: Settings) -> dict[str, Weights]:
    """The weights that the settings need, by the names of the models. Raises `SettingsError` and `EngineError`."""
    found: dict[str, Weights] = {}
    for group, name, options in used(settings):
        row = about().get((group, name))
        if row is not None and not row.weights:
            continue
        factory = find(group, name)
        known = _known(factory)
        model = str(options.get("model") or _default_model(factory, known))
        if known and isinstance(weights := wanted(model, known, f"The {GROUPS[group]} '{name}'"), Weights):
            found[model] = weights
    return found


def named(names: list[str], settings: Settings) -> dict[str, Weights]:
    """Weights by what an operator calls them: a part, a model of a part, a repository. Raises `SettingsError`."""
    listed = parts(settings)
    models = {model.name: model.weights for part in listed for model in part.models}
    of_parts = {part.name: model for part in listed for model in part.models if model.chosen}
    found: dict[str, Weights] = {}
    for name in names:
        if name in of_parts:
            found[of_parts[name].name] = of_parts[name].weights
        else:
            try:
                weights = wanted(name, models, "fetch")
            except EngineError:
                raise SettingsError(_nothing_called(name, of_parts, models)) from None
            if isinstance(weights, Weights):
                found[name] = weights
    return found


@functools.cache
def about() -> dict[tuple[str, str], About]:
    """What `catalogue.toml` says, by group and name."""
    file = Path(__file__).parents[1] / "engines" / "catalogue.toml"
    tables = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, dict[str, About]])
    return {(f"vivavoce.{group}", name): row for group, rows in tables.items() for name, row in rows.items()}


def _described(kind: str, entry: Entry, row: About | None, options: Mapping[str, Any] | None, settings: Settings) -> Part:
    fault = ""
    models: tuple[Model, ...] = ()
    is_ours = entry.package == _OURS
    try:
        if not is_ours or row is None or row.weights:
            chosen = options if options is not None else _options_of(entry, settings)
            models = tuple(_models(find(entry.group, entry.name), chosen))
    except SettingsError as error:
        fault = "" if entry.missing else str(error)
    return Part(
        kind=kind,
        name=entry.name,
        gives=row.gives if row and is_ours else "",
        package=entry.package,
        in_use=options is not None,
        missing=entry.missing,
        remedy=entry.remedy,
        fault=fault,
        models=models,
    )


_OURS: Final = "vivavoce"
_FRONT_END_EXTRA: Final = "audio-processing"
FRONT_END: Final = "vivavoce.front_end"
"""Where `catalogue.toml` has it. No group of entry points."""


def _front_end(settings: Settings) -> Part:
    """What cleans the microphone's audio. It has no name in the settings, only an extra."""
    missing = lacking(_OURS, _FRONT_END_EXTRA)
    return Part(
        kind="front end",
        name="webrtc",
        gives=about()[FRONT_END, "webrtc"].gives,
        package=_OURS,
        in_use=settings.echo_cancellation != "off" or (settings.noise_reduction != "off" and not missing),
        missing=missing,
        remedy=f"pip install '{_OURS}[{_FRONT_END_EXTRA}]'" if missing else "",
    )


def _options_of(entry: Entry, settings: Settings) -> Mapping[str, Any]:
    """The table of a part that is not in use: what it would get if it were."""
    parts_of_cascade = {group for group, _ in PARTS.values()}
    tables = settings.engines.get("cascade", {}) if entry.group in parts_of_cascade else settings.engines
    table = tables.get(entry.name, {})
    return table if isinstance(table, Mapping) else {}


def _models(factory: Any, options: Mapping[str, Any]) -> Iterator[Model]:
    known = _known(factory)
    chosen = str(options.get("model") or _default_model(factory, known))
    if known and chosen not in known:
        try:
            weights = wanted(chosen, known, "")
        except EngineError:
            weights = Path()
        if isinstance(weights, Weights):
            known = {chosen: weights, **known}
    for name, weights in known.items():
        folder = kept(weights)
        yield Model(name=name, weights=weights, folder=str(folder) if folder else None, chosen=name == chosen)


def _known(factory: Any) -> Mapping[str, Weights]:
    known = getattr(factory, "weights", None)
    return known if isinstance(known, Mapping) else {}


def _default_model(factory: Any, known: Mapping[str, Weights]) -> str:
    """What a part takes where the settings say nothing: the default of its module's `Options`, else the first it knows."""
    shape = getattr(sys.modules.get(factory.__module__), "Options", None)
    fields = msgspec.structs.fields(shape) if isinstance(shape, type) and issubclass(shape, Struct) else ()
    defaults = [field.default for field in fields if field.name == "model" and isinstance(field.default, str)]
    return next((name for name in (*defaults, *known) if name), "")


def _profile(name: str, file: Path, installed: Mapping[tuple[str, str], Entry]) -> Profile:
    settings = load(None, None, {"profile": name})
    its_entries = [installed[group, part] for group, part, _ in used(settings)]
    extras = dict.fromkeys(extra for entry in its_entries if entry.missing for extra in entry.extras)
    absent = {model: weights for model, weights in needed(settings).items() if kept(weights) is None}
    return Profile(
        name=name,
        about=file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "),
        remedy=f"pip install '{_OURS}[{','.join(extras)}]'" if extras else "",
        fetch=tuple(absent),
        fetch_bytes=sum(weights.size_bytes for weights in absent.values()),
    )


def _nothing_called(name: str, of_parts: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    known = f"Parts: {', '.join(of_parts) or 'none'}. Models: {', '.join(models) or 'none'}."
    return f"Nothing to fetch is called '{name}'. {known} Or name a repository of the hub, owner/name."
