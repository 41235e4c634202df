"""Read the parameters that lists share: days and times, and CSV with or without a byte order mark."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

import pydantic
from fastapi import Query, Response
from fastapi.responses import StreamingResponse

_BOM = "\ufeff"
_SCHEMA = pydantic.WithJsonSchema(
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}, {"type": "null"}]}
)


def day_start(day: date) -> datetime:
    """Return the first moment of a day in UTC."""
    return datetime.combine(day, time(), UTC)


def day_end(day: date) -> datetime:
    """Return the last moment of a day in UTC."""
    return day_start(day) + timedelta(days=1) - timedelta(microseconds=1)


def parse_day(text: str) -> date | None:
    """Parse `2026-11-25`; `None` for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _earliest(value: Any) -> Any:
    day = parse_day(value) if isinstance(value, str) else None
    return day_start(day) if day else value


def _latest(value: Any) -> Any:
    day = parse_day(value) if isinstance(value, str) else None
    return day_end(day) if day and day < date.max else value


def _in_utc(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


Since = Annotated[
    datetime | None,
    _SCHEMA,
    pydantic.BeforeValidator(_earliest),
    pydantic.AfterValidator(_in_utc),
    Query(description="Earliest time, or a day in UTC. A time without a zone is UTC."),
]
Until = Annotated[
    datetime | None,
    _SCHEMA,
    pydantic.BeforeValidator(_latest),
    pydantic.AfterValidator(_in_utc),
    Query(description="Latest time, or a day in UTC, which counts whole. A time without a zone is UTC."),
]
Bom = Annotated[bool, Query(description="Begin with a byte order mark, so that Excel reads it as UTF-8.")]


def csv_response(description: str) -> dict[int | str, dict[str, Any]]:
    """Describe a CSV response for OpenAPI."""
    return {200: {"description": description, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def csv_download(name: str, lines: Iterator[str], *, bom: bool) -> Response:
    """Send lines as a CSV file with this name."""

    def marked() -> Iterator[str]:
        if bom:
            yield _BOM
        yield from lines

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(marked(), media_type="text/csv", headers=headers)
