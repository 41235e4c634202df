"""The tables that the code knows are those that the migrations make."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from covid_xray.store import tables
from covid_xray.store.database import Database, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgresql") if request.param == "postgresql" else sqlite_url(tmp_path / "a.sqlite")


def test_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    opened = Database(url)
    with opened.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    opened.close()
