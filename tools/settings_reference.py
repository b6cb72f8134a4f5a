"""The settings reference, made from `vivavoce.settings`: names, types, defaults, and the string under each field.

python tools/settings_reference.py > docs/reference/settings.md
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from vivavoce.settings import LEAVES, TABLES, Settings

_INTRODUCTION: Final = """\
# Settings

<!-- Generated: python tools/settings_reference.py > docs/reference/settings.md -->

Four sources, later ones win: a [profile](../how-to/choosing.md) (`vivavoce serve --profile laptop`), a TOML file
(`vivavoce serve --config vivavoce.toml`, or `VIVAVOCE_CONFIG`), environment variables, flags. Every setting can be given in
each of them:

```toml
# vivavoce.toml
port = 8010
[limits]
max_sessions = 20
```

```sh
VIVAVOCE_PORT=8010 VIVAVOCE_LIMITS_MAX_SESSIONS=20 vivavoce serve
vivavoce serve --port 8010 --set limits.max_sessions=20
```

In variables and flags, lists are comma-separated (`VIVAVOCE_API_KEYS=one,two`) and `models` is `name=engine,name=engine`.
An engine's option is `VIVAVOCE_ENGINES_NAME_OPTION`. A setting that does not exist is an error that names the line.
`vivavoce config` shows what is in effect, with keys masked.
"""

_ORIGINS: Final = """
## Origins

A browser tells which web page opens a connection: its `Origin`. Programs send none, and this rule is not for them.

| the page's origin | no API keys set | API keys set |
|---|---|---|
| a page on this machine (`http://localhost:3000`, `http://127.0.0.1:8000`) | may connect | may connect with a key |
| listed in `allowed_origins` | may connect | may connect with a key |
| any other, `allowed_origins` empty | HTTP 403 | may connect with a key |
| any other, `allowed_origins` not empty | HTTP 403 | HTTP 403 |

So no page on the web can reach an open server on your machine, also not by pointing its own name at 127.0.0.1. With keys
set, a page has to know one: a browser adds none by itself, and the server uses no cookies. Give pages a client secret
(`POST /v1/realtime/client_secrets`), never a key.
"""


def reference() -> str:
    """The reference page, as Markdown."""
    sections = [_INTRODUCTION]
    for prefix, struct in [((), Settings), *((path, field.type) for path, field in TABLES.items())]:
        rows = [_row((*prefix, name), meaning) for name, meaning in _meanings(struct) if (*prefix, name) in LEAVES]
        title = f"## `[{'.'.join(prefix)}]`\n\n{inspect.getdoc(struct)}" if prefix else "## Server"
        head = "| setting | type | default | variable | meaning |\n|---|---|---|---|---|"
        sections.append("\n".join([f"\n{title}\n", head, *rows, ""]))
    return "".join(sections) + _ORIGINS


def _meanings(struct: type[Struct]) -> Iterator[tuple[str, str]]:
    """The string under each field."""
    body = ast.parse(inspect.getsource(struct)).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(below, ast.Expr), f"{struct.__name__}.{field.target.id} has no string under it"
            assert isinstance(below.value, ast.Constant)
            yield field.target.id, inspect.cleandoc(str(below.value.value)).replace("\n", " ")


def _row(path: tuple[str, ...], meaning: str) -> str:
    field = LEAVES[path]
    variable = "`VIVAVOCE_ENGINES_NAME_OPTION`" if path == ("engines",) else f"`VIVAVOCE_{'_'.join(path).upper()}`"
    return f"| `{'.'.join(path)}` | {_type_name(field.type)} | {_default(field)} | {variable} | {meaning} |"


def _type_name(annotation: Any) -> str:
    info = msgspec.inspect.type_info(annotation)
    match info:
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in get_args(annotation))
        case msgspec.inspect.UnionType():
            return " or ".join(_type_name(str) for member in info.types if not isinstance(member, msgspec.inspect.NoneType))
    words = {
        "BoolType": "true or false",
        "IntType": "integer",
        "FloatType": "number",
        "StrType": "text",
        "VarTupleType": "list",
        "DictType": "table",
    }
    return words[type(info).__name__]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, (int, float)):
        return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"
    return f"`{field.default}`" if field.default and isinstance(field.default, str) else "none"


if __name__ == "__main__":
    print(reference(), end="")
