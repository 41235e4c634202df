"""The steps run once, forwards and back."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from covid_xray.store import audit_chain, audit_log, database, tables
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


def test_old_lines_of_the_audit_log_are_chained(url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    opened = Database(url)
    with opened.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "v0004")
        for number in (2, 5, 9):  # with gaps, as rolled back transactions leave them
            values = f"{number}, '2026-05-0{number} 12:00:00.25', 'doe', 'view', NULL"
            connection.exec_driver_sql(f"INSERT INTO audit (id, created, who, action, what) VALUES ({values})")
        command.upgrade(config, "head")
    assert audit_chain.verify(opened).lines == 3
    assert [line.id for line in audit_log.every(opened)] == [1, 2, 3]
    opened.close()
