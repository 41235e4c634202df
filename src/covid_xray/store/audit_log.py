"""Record who viewed, changed or was refused what, and read the records with filters.

An open page reads the same object again and again: views that follow each other within five minutes are one line an
hour.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from covid_xray.store import audit_chain, tables
from covid_xray.store.database import Database
from covid_xray.store.principals import Principal
from covid_xray.store.records import AuditEntry, clean_text

_PAUSE_SECONDS = 300.0  # without a view, after which the next one is a new one
_REPEAT_SECONDS = 3600.0
_MOST_REMEMBERED = 10_000
_REPEATABLE = frozenset({"view", "list", "read-log", "refused", "bad-token", "log-in-refused"})
_CHUNK = 1000


@dataclass(frozen=True)
class AuditQuery:
    """Filters of the audit log; each that is given must match."""

    who: str | None = None
    action: str | None = None
    what: str | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    refused: bool = False  # only what was refused
    before: int | None = None  # only lines with a smaller id


class AuditLog:
    """Writes the audit log of a database. Thread-safe."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[str | None, ...], tuple[float, float]] = OrderedDict()  # last, last written

    def record(self, who: Principal, action: str, what: str | None = None, *, code: str | None = None) -> None:
        """Write a line about the study, job, user or route `what`; it is on disk on return.

        Args:
            who: the author.
            action: what was done or tried.
            what: what it was about.
            code: the error's code when it was refused.

        Raises:
            Busy, StoreFull: the database cannot take it.
        """
        if action in _REPEATABLE and self._is_repeated((who.name, action, what, who.address, code)):
            return
        line = {"who": who.name, "action": action, "what": what and clean_text(what, longest=64), "code": code}
        with self._database.writing() as connection:
            audit_chain.append(connection, [{**line, "address": who.address}])

    def _is_repeated(self, event: tuple[str | None, ...]) -> bool:
        """Say whether an event continues an earlier one; remember it."""
        with self._lock:
            now = self._clock()
            last, written = self._recent.get(event, (-_PAUSE_SECONDS, -_REPEAT_SECONDS))
            repeated = now - last < _PAUSE_SECONDS and now - written < _REPEAT_SECONDS
            self._recent[event] = (now, written if repeated else now)
            self._recent.move_to_end(event)
            if len(self._recent) > _MOST_REMEMBERED:
                self._recent.popitem(last=False)
            return repeated


def read(database: Database, query: AuditQuery | None = None, *, limit: int = 100, offset: int = 0) -> list[AuditEntry]:
    """Read the lines that match, newest first."""
    select = sa.select(tables.audit).where(_where(query or AuditQuery())).order_by(tables.audit.c.id.desc())
    with database.reading() as connection:
        return [AuditEntry(**row) for row in connection.execute(select.limit(limit).offset(offset)).mappings()]


def every(database: Database, query: AuditQuery | None = None) -> Iterator[AuditEntry]:
    """Yield all lines that match, oldest first, some at a time."""
    log, after = tables.audit.c, 0
    select = sa.select(tables.audit).where(_where(query or AuditQuery())).order_by(log.id).limit(_CHUNK)
    while True:
        with database.reading() as connection:
            found = [AuditEntry(**row) for row in connection.execute(select.where(log.id > after)).mappings()]
        if not found:
            return
        yield from found
        after = found[-1].id


def actions(database: Database) -> list[str]:
    """List the actions that the log holds."""
    with database.reading() as connection:
        return list(connection.scalars(sa.select(tables.audit.c.action).distinct().order_by(tables.audit.c.action)))


def _where(query: AuditQuery) -> sa.ColumnElement[bool]:
    log = tables.audit.c
    parts: list[sa.ColumnElement[bool]] = [sa.true()]
    for name in ("who", "action", "what", "address"):
        if (value := getattr(query, name)) is not None:
            parts.append(log[name] == clean_text(value, longest=64))
    if query.since is not None:
        parts.append(log.created >= query.since)
    if query.until is not None:
        parts.append(log.created <= query.until)
    if query.refused:
        parts.append(log.code.is_not(None))
    if query.before is not None:
        parts.append(log.id < query.before)
    return sa.and_(*parts)
