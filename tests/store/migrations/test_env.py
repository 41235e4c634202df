"""The steps run once, forwards and back."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from covid_xray.store import database, tables
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.records import now


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgresql") if request.param == "postgresql" else sqlite_url(tmp_path / "a.sqlite")


def user(name: str = "doe") -> dict[str, object]:
    return {"name": name, "created": now(), "role": "reader", "password": "x"}


def test_migrations_run_once_and_back(url: str) -> None:
    first = Database(url)
    with first.writing() as connection:
        connection.execute(sa.insert(tables.users).values(user()))
    first.close()
    second = Database(url)
    with second.reading() as connection:
        assert connection.execute(sa.select(tables.users.c.name)).scalars().all() == ["doe"]
    with second.writing() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    second.close()
