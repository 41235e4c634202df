"""Filter, sort and page the stored studies."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from covid_xray.errors import InputRefused
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
    labels: tuple[str, ...] = ()  # one of these; empty: any
    origin: str | None = None  # name of a PACS
    feedback: FeedbackState | None = None  # without feedback (`none`), with some (`any`), or with this newest verdict
    since: datetime | None = None  # earliest time of storing
    until: datetime | None = None
    sort: Sort = "suspicion"  # `suspicion` and `created` are descending, `name` and `label` ascending
    reverse: bool = False
    unsaid_first: bool = False  # studies that the network cannot say come before all others


@dataclass(frozen=True)
class Page:
    """One page of the studies that match a query, the number of all matches, and the cursor of the next page."""

    studies: list[Study]
    total: int
    next: str | None = None


def page(database: Database, query: Query, *, limit: int = 50, offset: int = 0, cursor: str | None = None) -> Page:
    """Read `limit` matches of a query, from `offset` or after a cursor (`Page.next`).

    Raises:
        InputRefused: the cursor is invalid or belongs to another order (`bad-cursor`).
    """
    with database.reading() as connection:
        rows = _rows(connection, query, limit=limit + 1, offset=offset, cursor=cursor)
        if cursor is None and len(rows) <= limit and (rows or not offset):
            total = offset + len(rows)
        else:
            matches = sa.select(sa.func.count()).select_from(tables.studies).where(_where(query))
            total = connection.execute(matches).scalar_one()
    more = _cursor(query, rows[limit - 1]) if len(rows) > limit else None
    return Page([as_study(row) for row in rows[:limit]], total, more)


def every(database: Database, query: Query) -> Iterator[Study]:
    """Yield all matches of a query, a few hundred in memory at a time."""
    cursor = None
    while True:
        with database.reading() as connection:
            rows = _rows(connection, query, limit=_CHUNK, cursor=cursor)
        yield from map(as_study, rows)
        if len(rows) < _CHUNK:
            return
        cursor = _cursor(query, rows[-1])


def neighbours(database: Database, query: Query, identity: str) -> tuple[str | None, str | None]:
    """Return the ids of the previous and the next match of a query; `None` at either end."""
    order, where, columns = _order(query), _where(query), tables.studies.c
    with database.reading() as connection:
        here = sa.select(*(column for column, _ in order)).where(where, columns.id == identity)
        values = connection.execute(here).one_or_none()
        if values is None:
            return None, None
        found = []
        for backwards in (True, False):
            beyond = sa.select(columns.id).where(where, _beyond(order, tuple(values), backwards=backwards))
            found.append(connection.scalar(beyond.order_by(*_sorted(order, backwards=backwards)).limit(1)))
    return found[0], found[1]


def labels(database: Database) -> list[str]:
    """List the labels of the stored studies."""
    return _values(database, tables.studies.c.label)


def origins(database: Database) -> list[str]:
    """List the PACS that sent stored studies; empty when all were uploaded."""
    return _values(database, tables.studies.c.origin)


def _values(database: Database, column: sa.Column[Any]) -> list[str]:
    """Step from each value to the next one in the index of the column; `DISTINCT` would read the whole index."""
    known = sa.select(sa.func.min(column).label("value")).cte(recursive=True)
    greater = sa.select(sa.func.min(column)).where(column > known.c.value).scalar_subquery()
    known = known.union_all(sa.select(greater).where(known.c.value.is_not(None)))
    with database.reading() as connection:
        return list(connection.scalars(sa.select(known.c.value).where(known.c.value.is_not(None))))


class _Like(sa.sql.expression.FunctionElement[bool]):
    """Match a text with a pattern whose escape is `/`, whatever the case.

    SQLAlchemy's `ilike` converts each text to lower case first, also in SQLite, where `LIKE` has no case (of ASCII):
    that takes twice as long.
    """

    type, inherit_cache = sa.Boolean(), True


@compiles(_Like)
def _ilike(element: _Like, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(part, **options) for part in element.clauses)
    return f"{text} {'LIKE' if compiler.dialect.name == 'sqlite' else 'ILIKE'} {pattern} ESCAPE '/'"


Order = list[tuple[sa.Column[Any], bool]]  # columns, and whether they fall


def _listed_columns() -> list[sa.Column[Any]]:
    return [column for column in tables.studies.c if column.name not in ("class_maps", "class_maps_about")]


def _ordered(query: Query, where: sa.ColumnElement[bool]) -> sa.Select[tuple[str]]:
    return sa.select(tables.studies.c.id).where(where).order_by(*_sorted(_order(query), backwards=False))


def _order(query: Query) -> Order:
    """List the columns to sort by; the last one tells all studies apart."""
    columns = tables.studies.c
    falls = (query.sort in ("suspicion", "created")) != query.reverse
    first: Order = [(columns.unsaid, True)] if query.unsaid_first else []
    newest: Order = [] if query.sort == "created" else [(columns.created, True)]
    return [*first, (columns[query.sort], falls), *newest, (columns.id, True)]


def _rows(
    connection: sa.Connection, query: Query, *, limit: int, offset: int = 0, cursor: str | None = None
) -> list[dict[str, Any]]:
    where = _where(query) if cursor is None else _where(query) & _after(query, cursor)
    # Only ids are sorted: a sort of whole rows takes several times as long.
    ids = list(connection.scalars(_ordered(query, where).limit(limit).offset(0 if cursor else offset)))
    found = connection.execute(sa.select(*_listed_columns()).where(tables.studies.c.id.in_(ids))).mappings()
    rows = {row["id"]: dict(row) for row in found}
    return [rows[identity] for identity in ids]


def _cursor(query: Query, row: dict[str, Any]) -> str:
    """Write where a row stands in the order of a query."""
    values = [row[column.name] for column, _ in _order(query)]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return urlsafe_b64encode(json.dumps([query.sort, query.reverse, *plain]).encode()).decode()


def _after(query: Query, cursor: str) -> sa.ColumnElement[bool]:
    """Select what comes after a cursor. Raises `InputRefused` (`bad-cursor`)."""
    order = _order(query)
    try:
        sort, reverse, *plain = json.loads(urlsafe_b64decode(cursor.encode()))
        values = [_value(column, value) for (column, _), value in zip(order, plain, strict=True)]
        if (sort, reverse) != (query.sort, query.reverse):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        message = "The cursor belongs to another order or is damaged. Send the `next` of the previous page unchanged."
        raise InputRefused(message, code="bad-cursor") from None
    return _beyond(order, values, backwards=False)


def _value(column: sa.Column[Any], plain: Any) -> Any:
    if column.name == "created":
        return datetime.fromisoformat(plain).astimezone(UTC)
    value = column.type.python_type(plain)
    if isinstance(value, str) and value != clean_text(value):  # databases refuse some characters
        raise ValueError
    return value


def _sorted(order: Order, *, backwards: bool) -> list[sa.UnaryExpression[Any]]:
    return [column.desc() if falls != backwards else column.asc() for column, falls in order]


def _beyond(order: Order, values: Sequence[Any], *, backwards: bool) -> sa.ColumnElement[bool]:
    """Select what comes before (`backwards`) or after the row with these values of the sorted columns."""
    if len({falls for _, falls in order}) == 1:  # one comparison, which an index serves
        here = sa.tuple_(*(sa.literal(value, column.type) for (column, _), value in zip(order, values, strict=True)))
        columns = sa.tuple_(*(column for column, _ in order))
        return columns < here if order[0][1] != backwards else columns > here
    parts: list[sa.ColumnElement[bool]] = []
    equal: sa.ColumnElement[bool] = sa.true()
    for (column, falls), given in zip(order, values, strict=True):
        value = sa.literal(given, column.type)
        parts.append(equal & (column < value if falls != backwards else column > value))
        equal = equal & (column == value)
    return sa.or_(*parts)


def _where(query: Query) -> sa.ColumnElement[bool]:
    columns = tables.studies.c
    parts: list[sa.ColumnElement[bool]] = [columns.deleted.is_(None)]
    if text := clean_text(query.search, longest=200):
        escaped = re.sub("([/%_])", r"/\1", text)
        found = _Like(columns.name, sa.literal(f"%{escaped}%"))
        is_id = re.fullmatch("[0-9a-fA-F]{1,32}", text)
        parts.append(found | columns.id.startswith(text.lower()) if is_id else found)
    if query.label is not None:
        parts.append(_filtered(columns.label) == clean_text(query.label))
    if query.labels:
        parts.append(_filtered(columns.label).in_([clean_text(label) for label in query.labels]))
    if query.origin is not None:
        parts.append(_filtered(columns.origin) == clean_text(query.origin))
    if query.feedback == "none":
        parts.append(columns.verdict.is_(None))
    elif query.feedback == "any":
        parts.append(columns.verdict.is_not(None))
    elif query.feedback is not None:
        parts.append(columns.verdict == query.feedback)
    if query.since is not None:
        parts.append(_filtered(columns.created) >= query.since)
    if query.until is not None:
        parts.append(_filtered(columns.created) <= query.until)
    return sa.and_(*parts)


def _filtered(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Compare a column within the index of the order, which holds all filters.

    Without this SQLite takes the index of the column itself and looks up each of many thousand matches in the table.
    """
    return sa.func.coalesce(column, sa.null())
