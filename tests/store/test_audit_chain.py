"""The audit log is append-only and chained; whatever is changed is found; whole months expire and leave an anchor."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.errors import CovidXrayError
from covid_xray.store import audit_chain, tables
from covid_xray.store.audit_log import read
from covid_xray.store.database import Database, sqlite_url

TRIGGERS = {"sqlite": ("audit_no_update", "audit_no_delete"), "postgresql": ("audit_no_change",)}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_file = request.param == "sqlite"
    opened = Database(sqlite_url(tmp_path / "a.sqlite") if is_file else request.getfixturevalue("postgresql"))
    yield opened
    opened.close()


def write(database: Database, *whats: str) -> None:
    with database.writing() as connection:
        audit_chain.append(connection, [{"who": "doe", "action": "view", "what": what} for what in whats])


def tamper(database: Database, statement: sa.Executable) -> None:
    """Change what may not be changed, as somebody with all rights on the database can."""
    with database.writing() as connection:
        kind = connection.dialect.name
        for trigger in TRIGGERS[kind]:
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}" + (" ON audit" if kind == "postgresql" else ""))
        connection.execute(statement)


def age(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Let lines be written as if it were `days` ago."""
    monkeypatch.setattr(audit_chain, "now", lambda: datetime.now(UTC) - timedelta(days=days))


def broken(database: Database, **more: str) -> str:
    with pytest.raises(CovidXrayError) as error:
        audit_chain.verify(database, **more)
    assert error.value.code == "audit-broken"
    return error.value.message


def test_an_empty_log_and_a_long_one_are_whole(database: Database) -> None:
    assert audit_chain.verify(database).hash == audit_chain.START
    write(database, "a", "b")
    write(database, "c")
    proof = audit_chain.verify(database)
    assert (proof.lines, proof.removed) == (3, 0)
    assert proof.hash == read(database, limit=1)[0].hash
    write(database, "d")
    assert audit_chain.verify(database, expected=proof.hash).lines == 4


def test_lines_are_neither_changed_nor_deleted(database: Database) -> None:
    write(database, "a")
    for statement in (sa.update(tables.audit).values(who="nobody"), sa.delete(tables.audit)):
        with pytest.raises(CovidXrayError), database.writing() as connection:
            connection.execute(statement)
    assert audit_chain.verify(database).lines == 1


def test_writers_at_the_same_time_make_one_chain(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write(database, f"{number}", "again"), range(40)))
    assert audit_chain.verify(database).lines == 80
    assert [line.id for line in read(database, limit=80)] == list(range(80, 0, -1))


LOG = tables.audit.c


@pytest.mark.parametrize(
    "statement",
    [
        *(
            sa.update(tables.audit).where(LOG.id == 2).values(**{name: "x"})
            for name in ("who", "action", "what", "hash")
        ),
        sa.update(tables.audit).where(LOG.id == 2).values(address="192.0.2.1"),
        sa.update(tables.audit).where(LOG.id == 2).values(created=datetime(2020, 1, 1, tzinfo=UTC)),
        sa.delete(tables.audit).where(LOG.id == 2),
    ],
)
def test_a_changed_line_is_named(database: Database, statement: sa.Executable) -> None:
    write(database, "a", "b", "c")
    tamper(database, statement)
    assert "at line 2" in broken(database)


def test_missing_newest_lines_are_found(database: Database) -> None:
    write(database, "a", "b", "c")
    tamper(database, sa.delete(tables.audit).where(LOG.id == 3))
    assert "newest lines are missing" in broken(database)


def test_a_log_that_was_computed_anew_lacks_the_noted_hash(database: Database) -> None:
    write(database, "a", "b")
    noted = audit_chain.verify(database).hash
    tamper(database, sa.delete(tables.audit))
    with database.writing() as connection:
        connection.execute(sa.update(tables.audit_head).values(last_id=0, hash=audit_chain.START))
    write(database, "a", "c")
    assert audit_chain.verify(database).lines == 2
    assert noted in broken(database, expected=noted)


def test_whole_months_expire_and_the_rest_is_proved(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in (400, 399, 300, 0):
        age(monkeypatch, days)
        write(database, str(days))
    noted = read(database, limit=1, offset=2)[0].hash
    assert audit_chain.expire(database, days=0) == 0
    assert audit_chain.expire(database, days=500) == 0
    assert audit_chain.expire(database, days=350) == 2
    assert [line.what for line in read(database, limit=2, offset=1)] == ["0", "300"]
    newest = read(database, limit=1)[0]
    assert (newest.who, newest.action, newest.what) == ("server", "expire-log", noted)
    proof = audit_chain.verify(database, expected=noted)
    assert (proof.lines, proof.removed) == (3, 2)
    assert audit_chain.expire(database, days=250) == 1
    assert audit_chain.verify(database).removed == 3


def test_a_month_that_lasts_is_kept_whole(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "now", lambda: datetime(2026, 5, 2, tzinfo=UTC))
    write(database, "a")
    monkeypatch.setattr(audit_chain, "now", lambda: datetime(2026, 6, 30, tzinfo=UTC))
    assert audit_chain.expire(database, days=40) == 0  # 21 May: a line of 2 May is older, but May is not over
    assert audit_chain.expire(database, days=29) == 1


def test_lines_taken_away_without_a_record_are_found(database: Database) -> None:
    write(database, "a", "b", "c")
    first = read(database, limit=1, offset=2)[0]
    anchor = {"last_id": 1, "first_id": 1, "until": first.created, "hash": first.hash, "removed": first.created}
    with database.writing() as connection:
        connection.execute(sa.insert(tables.audit_anchors).values(anchor))
        connection.execute(sa.delete(tables.audit).where(LOG.id == 1))
    assert "no line records the removal" in broken(database)
