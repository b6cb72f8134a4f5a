"""The code on our pages runs: README.md and docs/, page by page, against a live server with the offline engines.

    ```python       runs as a program; a ```text block right after it is what it prints
    ```console      lines with `$ ` run in a shell; the lines below each are what it prints
    <!-- file: NAME -->         before a block: it is a file, written before what follows runs
    <!-- not run: WHY -->       before a block: it is only read

The blocks of a page share a folder and run in order. Where a page says `127.0.0.1:8000`, the test's own server is meant. Of
what is printed, numbers may differ, and `…` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest
from msgspec import Struct

from tests.live import live

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?:<!-- (?P<mark>file|not run): (?P<value>[^>]+?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(Struct, frozen=True):
    """A fenced block that matters to a test."""

    line: int
    language: str
    text: str
    file: str = ""
    printed: str = ""
    """What a Python block prints, if the page says so."""


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that run or are files."""
    fences = list(FENCE.finditer(page))
    for fence, following in zip_longest(fences, fences[1:]):
        line = page.count("\n", 0, fence.start("language")) + 1
        if fence["mark"] == "not run":
            continue
        if fence["mark"] == "file":
            yield Block(line, fence["language"], fence["text"], file=fence["value"])
        elif fence["language"] == "python":
            told = (
                following is not None
                and following["language"] == "text"
                and not page[fence.end() : following.start()].strip()
            )
            yield Block(line, "python", fence["text"], printed=following["text"] if told and following else "")
        elif fence["language"] == "console":
            yield Block(line, "console", fence["text"])


def commands(text: str) -> Iterator[tuple[str, str]]:
    """A console block's commands, each with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        length = next((at for at, line in enumerate(lines, 1) if not line.endswith("\\\n")), len(lines))
        yield "".join(lines[:length]), "".join(lines[length:])


def as_pattern(printed: str) -> re.Pattern[str]:
    """What a page says is printed: numbers may differ, space may be wider, `…` is anything."""
    pattern = re.escape(" ".join(printed.split()))
    pattern = re.sub(r"\d+(?:\\\.\d+)?", r"\\d+(?:\\.\\d+)?", pattern)
    return re.compile(pattern.replace("…", ".*").replace(r"\ ", r"\s+"), re.DOTALL)


def assert_printed(printed: str, output: str, where: str) -> None:
    assert not printed or as_pattern(printed).search(output), f"{where} printed\n{output}\nand the page says\n{printed}"


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        foreign = ("VIVAVOCE_", "OPENAI_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self._environment = environment | {"PATH": path, "VIVAVOCE_URL": url}

    def follow(self, page: str, name: str) -> None:
        for block in blocks(page):
            where = f"{name}:{block.line}"
            if block.file:
                (self._folder / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                assert_printed(block.printed, self._run([sys.executable, "-c", self._here(block.text)], where), where)
            else:
                for command, printed in commands(block.text):
                    assert_printed(printed, self._run(["bash", "-c", self._here(command)], where), where)

    def _here(self, text: str) -> str:
        return text.replace("127.0.0.1:8000", self._url.removeprefix("http://"))

    def _run(self, command: list[str], where: str) -> str:
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        output = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == 0, f"{where}: {command[-1]}\n{output}"
        return output.replace(self._url.removeprefix("http://"), "127.0.0.1:8000")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live(engine="cascade") as url:
        yield url


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(blocks(page.read_text(encoding="utf-8")))], ids=lambda page: page.stem
)
def test_what_the_page_says_is_true(page: Path, url: str, tmp_path: Path) -> None:
    Reader(url, tmp_path).follow(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


# --- the runner itself ---

PAGE = """
<!-- file: tools.json -->
```json
[]
```

```python
print("seen at 12:30", open("tools.json").read())
```

```text
seen at 10:15 …
```

<!-- not run: it would serve -->
```console
$ exit 9
```

```console
$ echo 1.5 \\
  apples
2 apples
$ true
```
"""


def test_the_runner_follows_a_page(tmp_path: Path) -> None:
    kinds = [(block.language, block.file, bool(block.printed)) for block in blocks(PAGE)]
    assert kinds == [("json", "tools.json", False), ("python", "", True), ("console", "", False)]
    [_, _, console] = blocks(PAGE)
    assert list(commands(console.text)) == [("echo 1.5 \\\n  apples\n", "2 apples\n"), ("true\n", "")]
    Reader("http://127.0.0.1:9", tmp_path).follow(PAGE, "page.md")


@pytest.mark.parametrize(
    ("printed", "output", "same"),
    [
        ("a 1.5 s\n", "a  12 s\n", True),
        ("a … z", "a\nb\nz", True),
        ("a b", "a c", False),
        ("answer.wav", "answerxwav", False),
    ],
)
def test_what_counts_as_the_same(printed: str, output: str, same: bool) -> None:
    assert bool(as_pattern(printed).search(output)) == same


@pytest.mark.parametrize(
    "lie",
    [
        "```python\nraise SystemExit(3)\n```\n",
        "```python\nprint(1)\n```\n```text\nnot so\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ echo 1\none\n```\n",
    ],
)
def test_a_page_that_lies_is_caught(lie: str, tmp_path: Path) -> None:
    reader = Reader("http://127.0.0.1:9", tmp_path)
    with pytest.raises(AssertionError, match=r"lie\.md:1"):
        reader.follow(lie, "lie.md")
