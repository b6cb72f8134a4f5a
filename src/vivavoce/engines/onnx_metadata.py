"""The metadata of an ONNX file, without loading the model: the file is a Protocol Buffers message, read field by field.

    ModelProto:              7 graph, 14 metadata_props (repeated)           onnx/onnx.proto
    StringStringEntryProto:  1 key, 2 value

What is not asked for is skipped, so a file of a gigabyte takes as long as a small one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

_GRAPH: Final = 7
_METADATA: Final = 14
_WIRE_BYTES: Final = {1: 8, 5: 4}
"""By wire type, the length of numbers that have a fixed one."""
_VARINT: Final = 0
_LENGTH_FIRST: Final = 2


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file. Raises `ValueError` if it is none, `OSError` if it cannot be read."""
    metadata: dict[str, str] = {}
    with path.open("rb") as file:
        fields = set()
        for number, entry in _fields(file, path.stat().st_size, wanted=(_METADATA,)):
            fields.add(number)
            if entry:
                pair = dict(_fields(BytesIO(entry), len(entry), wanted=(1, 2)))
                metadata[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
    if _GRAPH not in fields:
        raise ValueError(f"{path.name} is no ONNX file")
    return metadata


def _fields(file: BinaryIO, size_bytes: int, wanted: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field; no content of those that are not wanted."""
    while file.tell() < size_bytes:
        number, wire_type = divmod(_varint(file), 8)
        if wire_type == _VARINT:
            _varint(file)
            length = 0
        elif wire_type == _LENGTH_FIRST:
            length = _varint(file)
        elif wire_type in _WIRE_BYTES:
            length = _WIRE_BYTES[wire_type]
        else:
            raise ValueError("no Protocol Buffers message")
        if file.tell() + length > size_bytes:
            raise ValueError("it breaks off")
        if number in wanted:
            yield number, file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
            yield number, b""


def _varint(file: BinaryIO) -> int:
    """Seven bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it breaks off")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("no Protocol Buffers message")
