"""Fetches weights in a process of its own: Ctrl-C stops it at once, and it leaves nothing loaded behind.

The other end of the pipe is `hub_download.py`. A terminal gets a progress bar, a log gets a line every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from vivavoce.engines import hub_cache
from vivavoce.engines.hub_download import Answer, Request
from vivavoce.protocol.errors import EngineError

logger = logging.getLogger(__name__)

_BAR_SECONDS: Final = 0.2
_LOG_SECONDS: Final = 10.0
_BAR_COLUMNS: Final = 24
_EARLY: Final = 0.01
"""Before this share has come, nobody knows how long it takes."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


async def download(
    folder: Path, repository: str, revision: str, files: Sequence[str], size_bytes: int, subject: str
) -> None:
    """Fetch what is missing of a repository's files. Raises `EngineError`, whose line begins with `subject`.

    A file that breaks off goes on where it stopped, several times; files that are whole are not fetched again.
    """
    request = Request(str(folder), repository, revision, tuple(files))
    progress = _Progress(request, size_bytes)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vivavoce.engines.hub_download",
        msgspec.json.encode(request).decode(),
        stdin=asyncio.subprocess.PIPE,  # Its end tells the process that nobody waits any more.
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    reading = asyncio.ensure_future(process.stdout.read())
    try:
        progress.begin()
        while not (await asyncio.wait({reading}, timeout=progress.interval_seconds))[0]:
            await asyncio.to_thread(progress.show)
        answer = _decoded(await reading)
    finally:
        reading.cancel()
        progress.end()
        if process.returncode is None:
            process.kill()
        await process.wait()
    if answer.code:
        raise EngineError(answer.code, f"{subject}: {answer.message}")
    logger.info("fetched the weights of %s", repository)


def _decoded(line: bytes) -> Answer:
    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError:
        return Answer("weights_unavailable", "the download was killed. Is there enough memory?")


class _Progress:
    """How far a download is: what lies on the disk, of what the hub says there is."""

    def __init__(self, request: Request, size_bytes: int) -> None:
        self._place: Final = (Path(request.folder), request.repository)
        self._request: Final = request
        self._size_bytes: Final = size_bytes
        self._on_terminal: Final = sys.stderr.isatty()
        self._began_at: Final = time.monotonic()
        self._began_with: Final = hub_cache.kept_bytes(*self._place)
        self.interval_seconds: Final = _BAR_SECONDS if self._on_terminal else _LOG_SECONDS

    def begin(self) -> None:
        """Say what comes."""
        _running.append(self)
        size = f", {readable_bytes(self._size_bytes)}" if self._size_bytes else ""
        logger.info("fetching the weights of %s%s, into %s", self._request.repository, size, self._request.folder)

    def show(self) -> None:
        """Say how far it is."""
        kept = hub_cache.kept_bytes(*self._place)
        total = hub_cache.expected_bytes(*self._place, self._request.revision, self._request.files) or self._size_bytes
        seconds = time.monotonic() - self._began_at
        line = progress_line(self._request.repository, kept, total, (kept - self._began_with) / max(seconds, 0.1))
        if not self._on_terminal:
            logger.info("fetching %s", line)
        elif _running[:1] == [self]:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\x1b[K{line[:width]}\r")  # What is logged meanwhile begins at the left.
            sys.stderr.flush()

    def end(self) -> None:
        """Clear the line. The next one has it."""
        _running.remove(self)
        if self._on_terminal:
            sys.stderr.write("\x1b[K")
            sys.stderr.flush()


_running: Final[list[_Progress]] = []
"""Downloads under way. A terminal has one line: it belongs to the first of them."""


def progress_line(name: str, kept_bytes: int, total_bytes: int, bytes_per_second: float) -> str:
    """`owner/name ━━━━━━────── 52 %  840 MB of 1.6 GB, 12 MB/s, 65 s left`, as far as it is known."""
    speed = f", {readable_bytes(bytes_per_second)}/s" if bytes_per_second > 0 else ""
    if not total_bytes:
        return f"{name} {readable_bytes(kept_bytes)}{speed}"
    share = min(kept_bytes / total_bytes, 1.0)
    filled = round(share * _BAR_COLUMNS)
    left_seconds = (total_bytes - kept_bytes) / bytes_per_second if bytes_per_second > 0 else 0
    left = f", {_readable_seconds(left_seconds)} left" if share > _EARLY and left_seconds > 0 else ""
    bar = "━" * filled + "─" * (_BAR_COLUMNS - filled)
    return f"{name} {bar} {share:.0%}  {readable_bytes(kept_bytes)} of {readable_bytes(total_bytes)}{speed}{left}"


def _readable_seconds(seconds: float) -> str:
    """`65 s`, `12 min`, `3 h`."""
    return next(
        (f"{seconds / length:.0f} {unit}" for length, unit in ((1, "s"), (60, "min")) if seconds < 100 * length),
        f"{seconds / 3600:.0f} h",
    )


def readable_bytes(count: float) -> str:
    """`1.6 GB`: two figures that count, in powers of a thousand, as disks and the hub have them."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if 0 < count < 9.95 and unit else f"{count:.0f} {_UNITS[unit]}"
