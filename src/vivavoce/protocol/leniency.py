"""Items as clients really send them, made to fit the Structs of `objects`.

Clients echo items back that they were given, with `null` for what they do not know, and carry the habits of older APIs:
content types `text` and `audio`, whoever speaks. Both are understood in either dialect. What a role cannot say is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.refusals import too_long, unsupported

ContentTypes = Mapping[str, tuple[str, ...]]
"""What each role may say, in the words of a dialect."""

GA_CONTENT: Final[ContentTypes] = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
    "system": ("input_text",),
}
_LONGEST_ID: Final = 512
_BY_ROLE: Final = {
    ("user", "text"): "input_text",
    ("user", "audio"): "input_audio",
    ("assistant", "text"): "output_text",
    ("assistant", "audio"): "output_audio",
    ("system", "text"): "input_text",
}


def tidy_item(item: Any, param: str, words: ContentTypes) -> Any:
    """The item without nulls and with GA content types. What is no item at all is returned as it is, for msgspec to refuse.

    `param` is the item's path (`item`, `response.input[0]`); `words` are the content types that an error may speak of.
    Raises `RequestError` where the role cannot say such a part.
    """
    if not isinstance(item, dict):
        return item
    item = without_nulls(item)
    for name in ("id", "call_id"):
        if isinstance(item.get(name), str) and len(item[name]) > _LONGEST_ID:
            raise RequestError("invalid_value", too_long(f"{param}.{name}", _LONGEST_ID), f"{param}.{name}")
    content, role = item.get("content"), item.get("role")
    if isinstance(content, list) and isinstance(role, str) and role in GA_CONTENT:
        item["content"] = [_tidy_part(part, role, f"{param}.content[{index}]", words) for index, part in enumerate(content)]
    return item


def _tidy_part(part: Any, role: str, param: str, words: ContentTypes) -> Any:
    if not isinstance(part, dict):
        return part
    part = without_nulls(part)
    given = part.get("type")
    if isinstance(given, str):
        part["type"] = _BY_ROLE.get((role, given), given)
        if part["type"] not in GA_CONTENT[role]:
            raise RequestError("invalid_value", unsupported(given, words[role]), f"{param}.type")
    return part


def without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """The object without its null members: for a client they mean `absent`."""
    return {key: member for key, member in value.items() if member is not None}
