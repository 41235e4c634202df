"""Refused files stay on the worklist until somebody has dealt with them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.errors import BadImage, NotFound
from covid_xray.store import refusals, tables
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.records import now

ERROR = BadImage("Not an image file.", code="not-an-image")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield opened
    opened.close()


def test_a_file_is_noted_once_until_it_was_dealt_with(database: Database) -> None:
    for name in ("a.pdf", "again.pdf"):
        refusals.add(database, ERROR, sha256="a" * 64, name=name, uploader="doe")
    refusals.add(database, ERROR, sha256="b" * 64, name="b.pdf", uploader="doe", origin="PACS")
    found, total = refusals.waiting(database, limit=1)
    assert ([one.name for one in found], total) == (["b.pdf"], 2)
    refusals.mark_seen(database, found[0].id)
    found, total = refusals.waiting(database, limit=5)
    assert ([(one.name, one.code) for one in found], total) == ([("a.pdf", "not-an-image")], 1)
    with pytest.raises(NotFound):
        refusals.mark_seen(database, "f" * 32)


def test_they_expire_with_the_studies(database: Database) -> None:
    refusals.add(database, ERROR, sha256="a" * 64, name="a.pdf", uploader="doe")
    with database.writing() as connection:
        connection.execute(sa.update(tables.unread_files).values(created=now() - timedelta(hours=3)))
    for hours, left in ((0, 1), (4, 1), (2, 0)):
        refusals.expire(database, hours=hours)
        assert refusals.waiting(database, limit=5)[1] == left
