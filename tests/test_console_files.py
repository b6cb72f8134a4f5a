"""How the console's files are served."""

from __future__ import annotations

import asyncio
import gzip
import re

from tests.serving import Served, serving

FIRST_PAINT_BYTES = 150_000


def test_files_are_served_with_their_policy() -> None:
    async def main() -> None:
        async with serving() as served:
            for path, kind in [
                ("/", "text/html"),
                ("/console/main.js", "text/javascript"),
                ("/console/icon.svg", "image/svg+xml"),
            ]:
                answer = await served.request("GET", path)
                assert answer.status == 200
                assert answer.headers["content-type"].startswith(kind)
                policy = answer.headers["content-security-policy"]
                assert "default-src 'self'" in policy
                assert "unsafe" not in policy

    asyncio.run(main())


def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    async def main() -> None:
        async with serving() as served:
            first = await served.request("GET", "/console/main.js")
            again = await served.request("GET", "/console/main.js", if_none_match=first.headers["etag"])
            assert (again.status, again.body) == (304, b"")

    asyncio.run(main())


def test_nothing_but_the_console_is_served() -> None:
    async def main() -> None:
        async with serving() as served:
            for path in ("README.md", "nothing.js", "../app.py", "%2e%2e/app.py", "", "audio"):
                answer = await served.request("GET", f"/console/{path}")
                assert (answer.status, answer.error["code"]) == (404, "not_found")

    asyncio.run(main())


def test_nothing_is_inline_or_from_elsewhere() -> None:
    async def main() -> None:
        async with serving() as served:
            page = (await served.request("GET", "/")).body.decode()
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
            assert not re.search(r"(src|href)=\"(https?:)?//", page)

    asyncio.run(main())


def test_the_first_paint_is_small() -> None:
    async def main() -> None:
        async with serving() as served:
            sent = await _all_files(served, "index.html")
            assert 20_000 < sum(sent.values()) < FIRST_PAINT_BYTES, sent

    asyncio.run(main())


async def _all_files(served: Served, page: str) -> dict[str, int]:
    """Bytes on the wire of all that the page loads: what it links to, and what that imports."""
    sent: dict[str, int] = {}
    waiting = [page]
    while waiting:
        path = waiting.pop()
        if path in sent:
            continue
        answer = await served.request("GET", "/" if path == page else f"/{path}", accept_encoding="gzip")
        sent[path] = len(answer.body)
        text = gzip.decompress(answer.body).decode()
        if path == page:
            waiting += re.findall(r'(?:src|href)="(console/[^"]+)"', text)
        folder = path.rpartition("/")[0]
        waiting += [_joined(folder, name) for name in re.findall(r"(?:from|new URL\() ?'(\.[^']+\.js)'", text)]
    return sent


def _joined(folder: str, name: str) -> str:
    parts = folder.split("/")
    for step in name.split("/"):
        if step == "..":
            parts.pop()
        elif step != ".":
            parts.append(step)
    return "/".join(parts)
