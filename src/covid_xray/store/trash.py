"""Delete studies so that it can be undone for a moment: they are hidden at once, and gone when the moment is over."""

from datetime import timedelta

import sqlalchemy as sa

from covid_xray.errors import NotFound
from covid_xray.store import tables
from covid_xray.store.records import now
from covid_xray.store.store import Store

UNDO_SECONDS = 30


def delete_later(store: Store, identity: str) -> None:
    """Hide a study; `purge` deletes it. Raises `NotFound`."""
    _change(store, identity, tables.studies.c.deleted.is_(None), deleted=True)


def restore(store: Store, identity: str) -> None:
    """Show a hidden study again. Raises `NotFound` when the moment is over."""
    limit = now() - timedelta(seconds=UNDO_SECONDS)
    _change(store, identity, tables.studies.c.deleted >= limit, deleted=False)


def purge(store: Store) -> list[str]:
    """Delete the studies whose moment is over, with image and feedback, and return their ids."""
    limit = now() - timedelta(seconds=UNDO_SECONDS)
    with store.database.reading() as connection:
        ids = list(connection.scalars(sa.select(tables.studies.c.id).where(tables.studies.c.deleted < limit)))
    for identity in ids:
        store.delete(identity)
    return ids


def _change(store: Store, identity: str, where: sa.ColumnElement[bool], *, deleted: bool) -> None:
    update = sa.update(tables.studies).where(tables.studies.c.id == identity, where)
    with store.database.writing() as connection:
        if not connection.execute(update.values(deleted=now() if deleted else None)).rowcount:
            raise NotFound("No such study: it was deleted, and undoing is over after half a minute.")
