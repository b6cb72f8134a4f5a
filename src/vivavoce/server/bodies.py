"""Request bodies: JSON or a form, and their fields as a Struct."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.refusals import refusal
from vivavoce.server.errors import HttpError

MAX_BODY_BYTES: Final = 2**20
BodyT = TypeVar("BodyT", bound=Struct)


class Form(Struct, frozen=True):
    """A form and the file in it."""

    fields: dict[str, Any]
    file: bytes


async def form_with_file(request: Request, name: str, most_bytes: int) -> Form:
    """A `multipart/form-data` body with one file, in memory: what people say is not written to a disk.

    Raises `HttpError`, and `RequestError` where the file is missing.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HttpError(415, "unsupported_media_type", "Send the audio as multipart/form-data.")
    parser = MultiPartParser(request.headers, _limited(request, most_bytes), max_files=1, max_fields=50)
    parser.spool_max_size = most_bytes + MAX_BODY_BYTES
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError):
        raise HttpError(400, "invalid_form", "We could not parse the multipart body of your request.") from None
    try:
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise RequestError("missing_required_parameter", f"Missing required parameter: '{name}', a file.", name)
        return Form({field: value for field, value in form.items() if isinstance(value, str)}, await file.read())
    finally:
        await form.close()


async def _limited(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body, up to a length."""
    length_bytes = 0
    async for chunk in request.stream():
        length_bytes += len(chunk)
        if length_bytes > most_bytes:
            raise HttpError(413, "request_too_large", f"The body may have {most_bytes} bytes.")
        yield chunk


async def json_object(request: Request) -> dict[str, Any]:
    """The body, up to 1 MiB. None at all is an empty object. Raises `HttpError`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HttpError(413, "request_too_large", f"The body may have {MAX_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(bytes(body), type=dict[str, Any]) if body.strip() else {}
    except (ValueError, RecursionError):
        raise HttpError(
            400, "invalid_json", "We could not parse the JSON body of your request: expected an object."
        ) from None


def converted(value: dict[str, Any], schema: type[BodyT], *, strict: bool = True) -> BodyT:
    """The fields as a Struct; unknown ones are ignored. Raises `RequestError` with the `param` that is wrong.

    Not strict: texts are read as what they have to be, for forms.
    """
    try:
        return msgspec.convert(value, schema, strict=strict)
    except msgspec.ValidationError as error:
        raise refusal(error, schema, value) from None
