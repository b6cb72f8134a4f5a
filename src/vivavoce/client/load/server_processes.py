"""What the server's processes use, and what the host takes, where that is this machine and it runs Linux: from `/proc`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from vivavoce.client.connection import Server

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_LISTENING: Final = "0A"


class Use(Struct, frozen=True):
    """What processes have used."""

    cpu_seconds: float
    memory_bytes: int
    """Resident; memory that processes share counts in each, in equal parts."""
    main_thread_seconds: float
    """The part of `cpu_seconds` that the first threads used: the event loops."""

    def since(self, before: Use) -> Use:
        """The difference."""
        return Use(
            self.cpu_seconds - before.cpu_seconds,
            self.memory_bytes - before.memory_bytes,
            self.main_thread_seconds - before.main_thread_seconds,
        )


def find(server: Server) -> list[int]:
    """The processes of a server on this machine, its children's children included; empty if that cannot be known."""
    if not server.is_loopback or not Path("/proc/net/tcp").exists():
        return []
    port = urlsplit(server.address).port
    inodes = {fields[9] for fields in _sockets() if fields[3] == _LISTENING and int(fields[1].split(":")[1], 16) == port}
    owners = [pid for pid in _pids() if _owns(pid, inodes)]
    return sorted(set(owners) | {child for pid in owners for child in descendants(pid)})


def use(pids: list[int]) -> Use:
    """What these processes have used since they began. One that is gone counts nothing."""
    cpu_seconds, memory_bytes, main_thread_seconds = 0.0, 0, 0.0
    for pid in pids:
        try:
            cpu_seconds += _cpu_seconds(Path(f"/proc/{pid}/stat"))
            memory_bytes += _memory_bytes(pid)
            main_thread_seconds += _cpu_seconds(Path(f"/proc/{pid}/task/{pid}/stat"))
        except (OSError, ProcessLookupError):
            continue
    return Use(cpu_seconds, memory_bytes, main_thread_seconds)


def stolen_seconds() -> float | None:
    """The processor time, of all cores and since the start, that the host of this virtual machine gave to others."""
    try:
        return int(Path("/proc/stat").read_text().split()[8]) / _TICKS_PER_SECOND
    except (OSError, IndexError, ValueError):
        return None


def descendants(pid: int) -> list[int]:
    """A process's children, and theirs."""
    try:
        found = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    except OSError:
        return []
    return found + [deeper for child in found for deeper in descendants(child)]


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def _sockets() -> list[list[str]]:
    lines: list[str] = []
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(name).exists():
            lines += Path(name).read_text().splitlines()[1:]
    return [line.split() for line in lines]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _owns(pid: int, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(os.readlink(entry) in wanted for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _cpu_seconds(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _memory_bytes(pid: int) -> int:
    share = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(share[1]) * 1024 if share else 0
