"""Keep which files were refused, so that the worklist shows them until a user has dealt with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from covid_xray.errors import CovidXrayError, NotFound
from covid_xray.store import tables
from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import clean_name, now


@dataclass(frozen=True)
class Refusal:
    """A file that could not be read: `code` and `message` say why; `origin` is the PACS that sent it."""

    id: str
    created: datetime
    name: str
    code: str
    message: str
    uploader: str
    origin: str | None


def add(
    database: Database, error: CovidXrayError, *, sha256: str, name: str, uploader: str, origin: str | None = None
) -> None:
    """Note a refused file; the same bytes are noted once.

    Args:
        error: why it was refused.
        sha256: of its bytes.
        name, uploader, origin: as of a study.
    """
    row = {"id": sha256[:32], "created": now(), "name": clean_name(name), "code": error.code}
    row |= {"message": error.message, "uploader": uploader, "origin": origin, "seen": None}
    with database.writing() as connection:
        insert_once(connection, tables.unread_files, row)


def waiting(database: Database, *, limit: int) -> tuple[Sequence[Refusal], int]:
    """Return the newest refusals that are still open, and how many there are."""
    table = tables.unread_files.c
    columns = [table[name] for name in Refusal.__dataclass_fields__]
    with database.reading() as connection:
        found = connection.execute(
            sa.select(*columns).where(table.seen.is_(None)).order_by(table.created.desc()).limit(limit)
        )
        refusals = [Refusal(*row) for row in found]
        total = sa.select(sa.func.count()).select_from(tables.unread_files).where(table.seen.is_(None))
        return refusals, connection.execute(total).scalar_one() if len(refusals) == limit else len(refusals)


def mark_seen(database: Database, identity: str) -> None:
    """Take a refusal off the worklist. Raises `NotFound`."""
    where = tables.unread_files.c.id == identity
    with database.writing() as connection:
        if not connection.execute(sa.update(tables.unread_files).where(where).values(seen=now())).rowcount:
            raise NotFound("No such refused file: it was dealt with or has expired.")


def expire(database: Database, *, hours: float) -> None:
    """Delete refusals older than `hours`; 0 keeps them."""
    if hours:
        with database.writing() as connection:
            limit = now() - timedelta(hours=hours)
            connection.execute(sa.delete(tables.unread_files).where(tables.unread_files.c.created < limit))
