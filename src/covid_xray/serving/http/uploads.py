"""Read the files and fields of a multipart body, within limits; nothing outlives the request.

Parts over one megabyte are spooled to a file without a name, which disappears with the request however that ends.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from covid_xray import clinical
from covid_xray.errors import InputRefused
from covid_xray.images.decode import FORMATS

OVERHEAD = 64 << 10  # bytes of a body besides the file: boundaries, headers, small fields
FIELD = "file"
_MOST_FIELDS = 24


@contextlib.asynccontextmanager
async def multipart_files(request: Request, *, files: int) -> AsyncIterator[list[UploadFile]]:
    """Receive the files of the field `file`; they are open while the block lasts.

    Args:
        request: its size is limited by the route (`max_body_size`), its time by `BodyDeadline`.
        files: largest number of files.

    Raises:
        TooSlow: the body did not arrive in time.
        InputRefused: no multipart body (`not-multipart`), a malformed one (`bad-multipart`), or no file (`no-file`).
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InputRefused("The body is no multipart/form-data. Send the file as a form field.", code="not-multipart")
    try:
        form = await request.form(max_files=files, max_fields=_MOST_FIELDS)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        message = f"The multipart body is malformed or has more than {files} files or {_MOST_FIELDS} fields."
        raise InputRefused(message, code="bad-multipart") from None
    try:
        found = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        if not found:
            raise InputRefused(f"There is no file in the form. Send it in the field {FIELD!r}.", code="no-file")
        yield found
    finally:
        await form.close()


async def text_fields(request: Request) -> dict[str, str]:
    """Read the text fields of a form but the CSRF token; call it inside `multipart_files`."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str) and name != "csrf_token"}


def openapi_body(*, many: bool = False) -> dict[str, Any]:
    """Describe the body for OpenAPI: one file in the field `file` with clinical values, or many files."""
    one = {"type": "string", "format": "binary", "description": FORMATS}
    schema = {"type": "array", "items": one, "minItems": 1} if many else one
    more = {} if many else {field.name: _describe(field) for field in clinical.FIELDS}
    content = {"type": "object", "required": [FIELD], "properties": {FIELD: schema, **more}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": content}}}}


def _describe(field: clinical.Field) -> dict[str, Any]:
    return {"type": "string", "description": f"{field.title}: {field.accepted}."}
