"""The process that fetches: `python -m vivavoce.engines.hub_download REQUEST`. It prints one line: what became of it.

It ends when its standard input does, so that no download outlives the server that wanted it.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading

import msgspec
from msgspec import Struct


class Request(Struct, frozen=True):
    """What to fetch."""

    folder: str
    repository: str
    revision: str
    files: tuple[str, ...]


class Answer(Struct, frozen=True):
    """What became of it. An empty `code`: all files are there."""

    code: str = ""
    message: str = ""


def fetched(request: Request) -> Answer:
    """Fetch. Every way this fails becomes an answer in words for people."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return Answer("weights_unavailable", "weights come through huggingface_hub. Run: pip install huggingface_hub")
    try:
        snapshot_download(
            request.repository,
            revision=request.revision,
            cache_dir=request.folder,
            allow_patterns=list(request.files) or None,
            max_workers=4,
        )
    except Exception as error:
        return Answer("weights_unavailable", why(error, request))
    return Answer()


def why(error: BaseException, request: Request) -> str:
    """What went wrong, and what mends it."""
    from huggingface_hub import errors

    repository, folder = request.repository, request.folder
    status = next((cause.response.status_code for cause in _causes(error) if isinstance(cause, errors.HfHubHTTPError)), 0)
    number = next((cause.errno for cause in _causes(error) if isinstance(cause, OSError) and cause.errno), 0)
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if any(isinstance(cause, errors.OfflineModeIsEnabled) for cause in _causes(error)):
        return "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set: nothing can be fetched."
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{repository} is behind a licence. Accept it on {hub}/{repository}, then set HF_TOKEN to that account's token."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository {repository} has no revision '{request.revision}'."
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return f"{hub} has no repository {repository}, or it is private: then set HF_TOKEN."
    if number in (errno.ENOSPC, errno.EDQUOT):
        free_bytes = shutil.disk_usage(folder).free
        return f"the disk of {folder} is full: {free_bytes // 10**6} MB are free. Set weights_folder to another one."
    if number in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
        return f"cannot write into {folder}: {os.strerror(number)}. Set weights_folder to another one."
    if status:
        return f"{hub} answered {status} to the request for {repository}. Try again later; whole files are kept."
    if _is_of_the_network(error):
        return f"{hub} cannot be reached for the weights of {repository}. Is there a network? Whole files are kept."
    return f"{repository} could not be fetched: {_first_line(error)}"


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


def _is_of_the_network(error: BaseException) -> bool:
    """By their modules: which HTTP client the hub's package stands on differs from release to release."""
    return any(
        isinstance(cause, ConnectionError) or type(cause).__module__.partition(".")[0] in ("httpx", "httpx2", "requests")
        for cause in _causes(error)
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Answer the request on the command line."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    request = msgspec.json.decode(sys.argv[1], type=Request)
    sys.stdout.write(msgspec.json.encode(fetched(request)).decode() + "\n")
    sys.stdout.flush()
    os._exit(0)  # Not by way of threads that may still wait for a network.


if __name__ == "__main__":
    main()
