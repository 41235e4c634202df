"""What the worklist asks for in, one page of studies and how many there are in all out."""

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
    """Which studies, in which order.

    Args:
        search: text in the file name, or the beginning of an id; letters of either case.
        label: this label only.
        origin: only what came from there (the name of a PACS).
        feedback: studies with `none`, with `any`, or with this newest verdict.
        since, until: when they were stored.
        sort: `suspicion` begins with the most suspicious, `created` with the newest; names and labels with A.
        reverse: the other way round.
    """

    search: str = ""
    label: str | None = None
    origin: str | None = None
    feedback: FeedbackState | None = None
    since: datetime | None = None
    until: datetime | None = None
    sort: Sort = "suspicion"
    reverse: bool = False


@dataclass(frozen=True)
class Page:
    """Some of the studies that a query finds, and how many it finds."""

    studies: list[Study]
    total: int


def page(database: Database, query: Query, *, limit: int = 50, offset: int = 0) -> Page:
    """The studies `offset` .. `offset + limit` of a query."""
    where = _where(query)
    with database.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(tables.studies).where(where)).scalar_one()
        rows = connection.execute(_select(query, where).limit(limit).offset(offset)).mappings()
        return Page([as_study(dict(row)) for row in rows], total)


def every(database: Database, query: Query) -> Iterator[Study]:
    """All studies of a query, a few hundred in memory at a time."""
    offset = 0
    while found := page(database, query, limit=_CHUNK, offset=offset).studies:
        yield from found
        offset += _CHUNK


def neighbours(database: Database, query: Query, identity: str) -> tuple[str | None, str | None]:
    """Ids of the studies before and after this one in the order of a query; `None` where there is none."""
    with database.reading() as connection:
        ids = list(connection.scalars(_select(query, _where(query)).with_only_columns(tables.studies.c.id)))
    if identity not in ids:
        return None, None
    at = ids.index(identity)
    return (ids[at - 1] if at else None), (ids[at + 1] if at + 1 < len(ids) else None)


def labels(database: Database) -> list[str]:
    """The labels that stored studies have, for a choice."""
    return _values(database, tables.studies.c.label)


def origins(database: Database) -> list[str]:
    """Where stored studies came from, for a choice; empty when all were uploaded."""
    return _values(database, tables.studies.c.origin)


def _values(database: Database, column: sa.Column[Any]) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(sa.select(column).where(column.is_not(None)).distinct().order_by(column)))


def _select(query: Query, where: sa.ColumnElement[bool]) -> sa.Select[tuple[object, ...]]:
    columns = tables.studies.c
    wanted = [column for column in columns if column.name not in ("class_maps", "class_maps_about")]
    column = columns[query.sort]
    falling = (query.sort in ("suspicion", "created")) != query.reverse
    order = column.desc() if falling else column.asc()
    return sa.select(*wanted).where(where).order_by(order, columns.created.desc(), columns.id)


def _where(query: Query) -> sa.ColumnElement[bool]:
    columns = tables.studies.c
    found: list[sa.ColumnElement[bool]] = [sa.true()]
    if text := clean_text(query.search, longest=200):
        found.append(
            columns.name.icontains(text, autoescape=True) | columns.id.startswith(text.lower(), autoescape=True)
        )
    if query.label is not None:
        found.append(columns.label == clean_text(query.label))
    if query.origin is not None:
        found.append(columns.origin == clean_text(query.origin))
    if query.feedback == "none":
        found.append(columns.verdict.is_(None))
    elif query.feedback == "any":
        found.append(columns.verdict.is_not(None))
    elif query.feedback is not None:
        found.append(columns.verdict == query.feedback)
    if query.since is not None:
        found.append(columns.created >= query.since)
    if query.until is not None:
        found.append(columns.created <= query.until)
    return sa.and_(*found)
