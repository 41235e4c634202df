"""Two kinds of database behave alike: what is confirmed stays, writers wait for each other, errors tell no values."""

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.errors import Busy, CovidXrayError, UsageError
from covid_xray.store import database, tables
from covid_xray.store.database import Database, insert_once, sqlite_url
from covid_xray.store.records import now


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgresql") if request.param == "postgresql" else sqlite_url(tmp_path / "a.sqlite")


def user(name: str = "doe") -> dict[str, object]:
    return {"name": name, "created": now(), "role": "reader", "password": "x"}


def test_a_block_that_fails_leaves_nothing(url: str) -> None:
    opened = Database(url)
    with pytest.raises(ZeroDivisionError), opened.writing() as connection:
        assert connection.execute(sa.insert(tables.users).values(user())).rowcount / 0
    with opened.reading() as connection:
        assert connection.execute(sa.select(tables.users)).all() == []
    opened.close()


def test_insert_once(url: str) -> None:
    opened = Database(url)
    with opened.writing() as connection:
        assert insert_once(connection, tables.users, user())
        assert not insert_once(connection, tables.users, user())
        assert insert_once(connection, tables.users, user("roe"))
    opened.close()


def test_many_writers_wait_for_each_other(url: str) -> None:
    """A deferred transaction that reads and then writes would fail at once with "database is locked"."""
    opened, failures = Database(url), []

    def write(name: str) -> None:
        try:
            for number in range(5):
                with opened.writing() as connection:
                    connection.execute(sa.select(tables.users)).all()
                    connection.execute(sa.insert(tables.users).values(user(f"{name}{number}")))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with opened.reading() as connection:
        assert len(connection.execute(sa.select(tables.users)).all()) == 40
    opened.close()


def test_times_come_back_in_utc(url: str) -> None:
    opened, moment = Database(url), now()
    with opened.writing() as connection:
        connection.execute(sa.insert(tables.users).values({**user(), "created": moment}))
        assert connection.execute(sa.select(tables.users.c.created)).scalar_one() == moment
    opened.close()


def test_sqlite_keeps_what_it_confirms(tmp_path: Path) -> None:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    with opened.writing() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    opened.close()


def test_errors_hold_no_values(url: str) -> None:
    opened = Database(url)
    with opened.writing() as connection:
        connection.execute(sa.insert(tables.users).values(user("CANARY^DOE")))
    with pytest.raises(CovidXrayError) as error, opened.writing() as connection:
        connection.execute(sa.insert(tables.users).values(user("CANARY^DOE")))
    assert "CANARY" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    opened.close()


def test_a_locked_database_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.1)
    file = tmp_path / "a.sqlite"
    opened = Database(sqlite_url(file))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy) as error, opened.writing():
        pass
    assert (error.value.code, error.value.retry_after) == ("store-unavailable", 5)
    other.close()
    with opened.writing():
        pass
    opened.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c", ""])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Database(url)


def test_postgresql_that_is_not_there_is_busy(tmp_path: Path) -> None:
    with pytest.raises(Busy):
        Database(f"postgresql://nobody@/nothing?host={tmp_path}")
