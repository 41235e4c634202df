"""Filter, sort and page the stored studies."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from covid_xray.store import tables
from covid_xray.store.database import Database
from covid_xray.store.records import Study, as_study, clean_text

Sort = Literal["suspicion", "created", "name", "label"]
FeedbackState = Literal["none", "any", "agree", "disagree", "correct"]
_CHUNK = 500


@dataclass(frozen=True)
class Query:
    """Filters and order of the worklist."""

    search: str = ""  # part of the file name, or the beginning of an id; case-insensitive
    label: str | None = None
    origin: str | None = None  # name of a PACS
    feedback: FeedbackState | None = None  # without feedback (`none`), with some (`any`), or with this newest verdict
    since: datetime | None = None  # earliest time of storing
    until: datetime | None = None
    sort: Sort = "suspicion"  # `suspicion` and `created` are descending, `name` and `label` ascending
    reverse: bool = False


@dataclass(frozen=True)
class Page:
    """One page of the studies that match a query, and the number of all matches."""

    studies: list[Study]
    total: int


def page(database: Database, query: Query, *, limit: int = 50, offset: int = 0) -> Page:
    """Read the matches `offset` .. `offset + limit` of a query."""
    where = _where(query)
    with database.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(tables.studies).where(where)).scalar_one()
        rows = connection.execute(_select(query, where).limit(limit).offset(offset)).mappings()
        return Page([as_study(dict(row)) for row in rows], total)


def every(database: Database, query: Query) -> Iterator[Study]:
    """Yield all matches of a query, a few hundred in memory at a time."""
    offset = 0
    while found := page(database, query, limit=_CHUNK, offset=offset).studies:
        yield from found
        offset += _CHUNK


def neighbours(database: Database, query: Query, identity: str) -> tuple[str | None, str | None]:
    """Return the ids of the previous and the next match of a query; `None` at either end."""
    with database.reading() as connection:
        ids = list(connection.scalars(_select(query, _where(query)).with_only_columns(tables.studies.c.id)))
    if identity not in ids:
        return None, None
    at = ids.index(identity)
    return (ids[at - 1] if at else None), (ids[at + 1] if at + 1 < len(ids) else None)


def labels(database: Database) -> list[str]:
    """List the labels of the stored studies."""
    return _values(database, tables.studies.c.label)


def origins(database: Database) -> list[str]:
    """List the PACS that sent stored studies; empty when all were uploaded."""
    return _values(database, tables.studies.c.origin)


def _values(database: Database, column: sa.Column[Any]) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(sa.select(column).where(column.is_not(None)).distinct().order_by(column)))


def _select(query: Query, where: sa.ColumnElement[bool]) -> sa.Select[tuple[object, ...]]:
    columns = tables.studies.c
    selected = [column for column in columns if column.name not in ("class_maps", "class_maps_about")]
    descending = (query.sort in ("suspicion", "created")) != query.reverse
    order = columns[query.sort].desc() if descending else columns[query.sort].asc()
    return sa.select(*selected).where(where).order_by(order, columns.created.desc(), columns.id)


def _where(query: Query) -> sa.ColumnElement[bool]:
    columns = tables.studies.c
    parts: list[sa.ColumnElement[bool]] = [sa.true()]
    if text := clean_text(query.search, longest=200):
        by_id = columns.id.startswith(text.lower(), autoescape=True)
        parts.append(columns.name.icontains(text, autoescape=True) | by_id)
    if query.label is not None:
        parts.append(columns.label == clean_text(query.label))
    if query.origin is not None:
        parts.append(columns.origin == clean_text(query.origin))
    if query.feedback == "none":
        parts.append(columns.verdict.is_(None))
    elif query.feedback == "any":
        parts.append(columns.verdict.is_not(None))
    elif query.feedback is not None:
        parts.append(columns.verdict == query.feedback)
    if query.since is not None:
        parts.append(columns.created >= query.since)
    if query.until is not None:
        parts.append(columns.created <= query.until)
    return sa.and_(*parts)
