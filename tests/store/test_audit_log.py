"""The audit log: every act is a line, an open page is one an hour, filters find what is asked for."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from covid_xray.store import audit_log
from covid_xray.store.audit_log import AuditLog, AuditQuery
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.principals import Principal

DOE, ROE = Principal("doe", "reader", "session", "192.0.2.7"), Principal("roe", "admin", "token", "192.0.2.8")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield opened
    opened.close()


def lines(database: Database, query: AuditQuery | None = None) -> list[tuple[str, str, str | None]]:
    return [(line.who, line.action, line.what) for line in audit_log.every(database, query)]


def test_an_open_page_is_a_line_an_hour_and_acts_are_always_lines(database: Database) -> None:
    now = [0.0]
    audit = AuditLog(database, clock=lambda: now[0])
    for _ in range(2 * 60):  # two hours, once a minute
        audit.record(DOE, "list")
        now[0] += 60.0
    assert lines(database) == [("doe", "list", None)] * 2
    now[0] += 301.0  # closed and opened again
    audit.record(DOE, "list")
    for _ in range(3):
        audit.record(DOE, "view", "a")
        audit.record(DOE, "delete", "a")
    audit.record(DOE, "view", "b")
    audit.record(ROE, "view", "a")
    views = [line for line in lines(database) if line[1] == "view"]
    assert views == [("doe", "view", "a"), ("doe", "view", "b"), ("roe", "view", "a")]
    assert len([line for line in lines(database) if line[1] == "delete"]) == 3
    assert len([line for line in lines(database) if line[1] == "list"]) == 3


def test_what_is_not_written_is_not_remembered_as_written(database: Database) -> None:
    """Another address, another reason: another line."""
    audit = AuditLog(database)
    for code in ("not-allowed", "not-allowed", "cross-site"):
        audit.record(DOE, "refused", "/audit", code=code)
    assert [line.code for line in audit_log.every(database)] == ["not-allowed", "cross-site"]


def test_filters(database: Database) -> None:
    audit = AuditLog(database)
    audit.record(DOE, "view", "a")
    audit.record(ROE, "delete", "a")
    audit.record(DOE, "refused", "/audit", code="not-allowed")
    assert audit_log.actions(database) == ["delete", "refused", "view"]
    newest = audit_log.read(database, limit=1)[0]
    assert (newest.address, newest.code) == ("192.0.2.7", "not-allowed")
    for query, wanted in (
        (AuditQuery(who="doe"), ["view", "refused"]),
        (AuditQuery(action="delete"), ["delete"]),
        (AuditQuery(what="a"), ["view", "delete"]),
        (AuditQuery(address="192.0.2.8"), ["delete"]),
        (AuditQuery(refused=True), ["refused"]),
        (AuditQuery(before=newest.id), ["view", "delete"]),
        (AuditQuery(since=newest.created + timedelta(seconds=1)), []),
        (AuditQuery(until=newest.created), ["view", "delete", "refused"]),
        (AuditQuery(who="a\0b"), []),
    ):
        assert [line[1] for line in lines(database, query)] == wanted, query
    assert [line.action for line in audit_log.read(database, limit=2, offset=1)] == ["delete", "view"]
