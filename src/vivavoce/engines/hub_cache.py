"""What `huggingface_hub` has on this disk, read without importing it: half a second less for whoever only looks.

FOLDER/models--owner--name/refs/main               the commit that "main" was when it was fetched
                          /snapshots/COMMIT/…      the files, links into blobs
                          /blobs/…                 their bytes; `….incomplete` while they come
                          /trees/COMMIT.json       which files there are (huggingface_hub 1.17 and later)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

_BLOCK_BYTES: Final = 512
"""What `st_blocks` counts in."""


class _File(Struct):
    size: int


class _Tree(Struct):
    files: dict[str, _File]


def default_folder() -> Path:
    """Where `huggingface_hub` keeps what it fetches: `HF_HUB_CACHE`, `HF_HOME`, or below the home folder's caches."""
    environment = os.environ
    caches = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or os.path.join(caches, "huggingface")
    cache = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(cache)).expanduser()


def snapshot(folder: Path, repository: str, revision: str, patterns: Sequence[str]) -> Path | None:
    """The folder of a repository at a revision; `None` unless all files that match the patterns are in it."""
    commit = _commit(folder, repository, revision)
    found = _repository_folder(folder, repository) / "snapshots" / commit
    if not commit or not found.is_dir():
        return None
    tree = _tree(folder, repository, commit)
    if tree is not None:
        needed = [name for name in tree.files if _matches(name, patterns)]
        return found if needed and all((found / name).is_file() for name in needed) else None
    files = [path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()]
    whole = all(any(_matches(name, [pattern]) for name in files) for pattern in patterns or ["*"])
    return found if whole and not _is_underway(folder, repository) else None


def expected_bytes(folder: Path, repository: str, revision: str, patterns: Sequence[str]) -> int:
    """The size of those files together, once the hub has told which there are; 0 before."""
    tree = _tree(folder, repository, _commit(folder, repository, revision))
    return sum(file.size for name, file in tree.files.items() if _matches(name, patterns)) if tree else 0


def kept_bytes(folder: Path, repository: str) -> int:
    """What is on the disk of a repository, all revisions, unfinished files included."""
    try:
        sizes = [entry.stat(follow_symlinks=False) for entry in os.scandir(_repository_folder(folder, repository) / "blobs")]
    except OSError:  # Nothing yet; or a file that got its final name just now.
        return 0
    return sum(min(size.st_size, getattr(size, "st_blocks", size.st_size) * _BLOCK_BYTES or size.st_size) for size in sizes)


def _repository_folder(folder: Path, repository: str) -> Path:
    return folder / f"models--{repository.replace('/', '--')}"


def _commit(folder: Path, repository: str, revision: str) -> str:
    """The commit that a branch or tag was when it was fetched; a commit is itself. Empty if unknown."""
    try:
        return (_repository_folder(folder, repository) / "refs" / revision).read_text().strip()
    except OSError:
        return revision if (_repository_folder(folder, repository) / "snapshots" / revision).is_dir() else ""


def _tree(folder: Path, repository: str, commit: str) -> _Tree | None:
    try:
        return msgspec.json.decode(
            (_repository_folder(folder, repository) / "trees" / f"{commit}.json").read_bytes(), type=_Tree
        )
    except (OSError, msgspec.DecodeError):
        return None


def _is_underway(folder: Path, repository: str) -> bool:
    return any((_repository_folder(folder, repository) / "blobs").glob("*.incomplete"))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """As `huggingface_hub` matches: `*` crosses slashes, and a folder means all that is in it. No pattern: everything."""
    return not patterns or any(fnmatch(name, pattern + "*" if pattern.endswith("/") else pattern) for pattern in patterns)
