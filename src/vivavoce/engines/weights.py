"""Where a model's weights are: a folder of the operator's, the hub's cache, or else the hub, on first use.

A part asks once, in `start`:

    folder = await find_weights(options.model, self.weights, "The transcriber 'faster_whisper'")

Nothing reaches out before that, and nothing once the weights are there: what was fetched is used as it is, for years, until
`vivavoce fetch` asks for it again. With `offline`, or `HF_HUB_OFFLINE=1`, nothing reaches out at all.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from vivavoce.engines import hub_cache
from vivavoce.engines.weights_download import download
from vivavoce.protocol.errors import EngineError

_REPOSITORY: Final = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w][\w./-]*))?")
"""`owner/name` or `owner/name@revision`."""


class Weights(Struct, frozen=True, kw_only=True):
    """The files of one model on the hub."""

    repository: str
    """`owner/name`."""
    files: tuple[str, ...] = ()
    """Glob patterns of those that are needed, such as `*.onnx`. None at all: every file."""
    revision: str = "main"
    """A branch, a tag, or a commit."""
    size_bytes: int
    """All those files together, about. 0: nobody knows."""
    licence: str
    """Under which the weights may be used, by its SPDX name where it has one."""


class _Configuration(Struct, frozen=True):
    folder: Path | None = None
    offline: bool = False


_configuration = _Configuration()


def configure(folder: str | Path | None = None, *, offline: bool = False) -> None:
    """What the operator wants, for the whole process: where weights are kept, and whether nothing may be fetched.

    Without a folder they are where `huggingface_hub` keeps them, so that other programs share them.
    """
    global _configuration
    _configuration = _Configuration(Path(folder).expanduser() if folder else None, offline)


def weights_folder() -> Path:
    """Where weights are kept."""
    return _configuration.folder or hub_cache.default_folder()


def is_offline() -> bool:
    """Whether nothing may be fetched: by the settings, or by the variable that all programs of the hub know."""
    return _configuration.offline or any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def kept(weights: Weights) -> Path | None:
    """The folder that holds these weights, if all of them are on this machine. Reads the disk only, a few milliseconds."""
    return hub_cache.snapshot(weights_folder(), weights.repository, weights.revision, weights.files)


async def find_weights(model: str, known: Mapping[str, Weights], subject: str) -> Path:
    """The folder that holds the files of a model, fetched from the hub if need be.

    `model` is a name in `known`, a repository on the hub (`owner/name`, `owner/name@revision`), or a folder, which is
    returned as it is. `subject` is who asks, as an error's line begins: "The transcriber 'faster_whisper'". Raises
    `EngineError` with the line that mends it.
    """
    weights = wanted(model, known, subject)
    if isinstance(weights, Path):
        return weights
    folder = await asyncio.to_thread(kept, weights)
    if folder is None:
        if is_offline():
            raise EngineError("weights_missing", _offline(subject, weights, model))
        folder = await fetch(weights, subject)
    return folder


async def fetch(weights: Weights, subject: str) -> Path:
    """Fetch weights from the hub, or what is new or missing of them. Raises `EngineError`."""
    await download(weights_folder(), weights.repository, weights.revision, weights.files, weights.size_bytes, subject)
    folder = await asyncio.to_thread(kept, weights)
    if folder is None:
        files = ", ".join(weights.files) or "files"
        raise EngineError("weights_missing", f"{subject}: the repository {weights.repository} has no {files}.")
    return folder


def wanted(model: str, known: Mapping[str, Weights], subject: str) -> Weights | Path:
    """What the name of a model means: weights on the hub, or a folder that exists. Raises `EngineError`."""
    if model in known:
        return known[model]
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.startswith("."):
        what = "is a file. The folder that holds the model's files is wanted" if folder.exists() else "does not exist"
        raise EngineError("weights_missing", f"{subject}: the folder {model} {what}.")
    if (name := _REPOSITORY.fullmatch(model)) is None:
        names = f"There are: {', '.join(known)}. Or name" if known else "Name"
        raise EngineError(
            "weights_missing", f"{subject}: no model is called '{model}'. {names} a folder, or owner/name on the hub."
        )
    return _of_repository(name["repository"], name["revision"] or "main", known)


def _of_repository(repository: str, revision: str, known: Mapping[str, Weights]) -> Weights:
    """A repository by its name: all its files, unless we know which of them matter."""
    for weights in known.values():
        if weights.repository == repository:
            return msgspec.structs.replace(weights, revision=revision)
    return Weights(repository=repository, revision=revision, size_bytes=0, licence="see its page")


def _offline(subject: str, weights: Weights, model: str) -> str:
    return (
        f"{subject}: the weights of {weights.repository} are not in {weights_folder()}, and offline nothing is fetched. "
        f"Start once without --offline, or run where there is a network: vivavoce fetch {model}"
    )
