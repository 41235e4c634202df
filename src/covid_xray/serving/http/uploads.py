"""A multipart body in, its files out, within its limits. Nothing outlives the request.

Parts of more than a megabyte wait in a file without a name, which is gone with the request, however that ends.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from covid_xray import clinical
from covid_xray.errors import InputRefused
from covid_xray.store.records import Upload

OVERHEAD = 64 << 10  # bytes of a body that are not the file: boundaries, headers, small fields
FIELD = "file"
_MOST_FIELDS = 24


@contextlib.asynccontextmanager
async def received(request: Request, *, files: int) -> AsyncIterator[list[UploadFile]]:
    """The files of the field `file`, while the block lasts.

    Args:
        request: its size is limited by the route (`max_body_size`), its time by `patience.py`.
        files: most files.

    Raises:
        TooSlow: the body did not arrive in time (`patience.py`).
        InputRefused: no multipart body (`not-multipart`), or no file in it (`no-file`).
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InputRefused("expected multipart/form-data. Received: another content type", code="not-multipart")
    try:
        form = await request.form(max_files=files, max_fields=_MOST_FIELDS)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise InputRefused(
            "expected a multipart body. Received: one that breaks its rules", code="bad-multipart"
        ) from None
    try:
        found = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        if not found:
            raise InputRefused(f"expected a file in the field {FIELD!r}. Received: none", code="no-file")
        yield found
    finally:
        await form.close()


def as_upload(part: UploadFile, *, known: Mapping[str, float] | None = None) -> Upload:
    """What the service takes."""
    return Upload(part.filename or "", part.file.read, known or {})


async def fields(request: Request) -> dict[str, str]:
    """The text fields of a form, without those that are the page's own; inside `received`."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str) and name != "csrf_token"}


def body(*, many: bool = False) -> dict[str, Any]:
    """The request body for OpenAPI: one file in the field `file` and what is known of its patient, or many files."""
    one = {"type": "string", "format": "binary", "description": "PNG, JPEG or DICOM"}
    schema = {"type": "array", "items": one, "minItems": 1} if many else one
    more = {} if many else {field.name: _about(field) for field in clinical.FIELDS}
    content = {"type": "object", "required": [FIELD], "properties": {FIELD: schema, **more}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": content}}}}


def _about(field: clinical.Field) -> dict[str, Any]:
    return {"type": "string", "description": f"What is known of the patient: {field.expected}."}
