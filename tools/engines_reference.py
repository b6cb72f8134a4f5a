"""The page of engines, made from the registry, the parts' weights and `engines/catalogue.toml`.

python tools/engines_reference.py > docs/reference/engines.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vivavoce.engines.weights_download import readable_bytes
from vivavoce.registry import GROUPS
from vivavoce.server.catalogue import FRONT_END, About, Part, about, parts
from vivavoce.settings import Settings, profiles

_INTRODUCTION: Final = """\
# Engines and parts

<!-- Generated: python tools/engines_reference.py > docs/reference/engines.md -->

What can hear, think and speak, what its weights need, and how far it was proven. `vivavoce engines` shows the same for your
machine, with what is missing; [Choosing](../how-to/choosing.md) says how to pick, and
[your own engine](../how-to/your-own-engine.md) stands beside ours by the same door. Every engine passes the shared suite
(`tests/engines/contract.py`), a part as one of a cascade.

- **Licence** is that of the code that runs; the weights have their own, in the column beside it.
- **Tested** says on what. Large weights cannot be fetched where Vivavoce is built: the loading code is the real one, and the
  tests make tiny models for it.
- **First** is the median, in milliseconds, from the end of the question to the first sound (engines, synthesizers), the
  first word (chat models), the whole text (transcribers) or the score: `python -m benchmarks.first_audio`, on two cores that
  others were using too, which is why some are ranges. "+ the model's": measured on a tiny model, so it is what our code and
  the library add.
"""

_HEAD: Final = (
    "| name | gives | licence | weights, unless you choose others | tested | first, ms |\n|---|---|---|---|---|---|"
)


def reference() -> str:
    """The page, as Markdown."""
    known = about()
    groups = {kind: group for group, kind in GROUPS.items()} | {"front end": FRONT_END}
    ours = [part for part in parts(Settings()) if part.package == "vivavoce"]
    sections = [_INTRODUCTION]
    for kind in groups:
        rows = [_row(part, known[groups[part.kind], part.name]) for part in ours if part.kind == kind]
        sections.append("\n".join([f"\n## {kind[:1].upper()}{kind[1:]}s\n", _HEAD, *rows, ""]))
    return "".join(sections) + "\n".join(_profiles())


def _row(part: Part, row: About) -> str:
    return f"| `{part.name}` | {row.gives} | {row.licence} | {_weights(part)} | {row.tested} | {row.first_ms} |"


def _weights(part: Part) -> str:
    chosen = next((model for model in part.models if model.chosen), None)
    if chosen is None:
        return "none"
    more = f"; {len(part.models) - 1} more" if len(part.models) > 1 else ""
    return f"`{chosen.name}`: {readable_bytes(chosen.weights.size_bytes)}, {chosen.weights.licence}{more}"


def _profiles() -> Iterator[str]:
    yield "\n## Profiles\n"
    yield "| `--profile` | is | install |\n|---|---|---|"
    for name, file in profiles().items():
        gives, install, *_ = file.read_text(encoding="utf-8").splitlines()
        yield f"| `{name}` | {gives.removeprefix('# ')} | `{install.removeprefix('# ')}` |"
    yield ""


if __name__ == "__main__":
    print(reference(), end="")
