"""Failed log-ins lock a name and an address, longer each time, through restarts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.errors import TooOften
from covid_xray.store import lockouts, tables
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.lockouts import Lockouts, by_address, by_name

DOE, PLACE = by_name("doe"), by_address("192.0.2.7")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield opened
    opened.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    time = [datetime(2026, 5, 1, tzinfo=UTC)]
    monkeypatch.setattr(lockouts, "now", lambda: time[0])
    return time


def locked_minutes(guard: Lockouts, client: str) -> float:
    try:
        guard.check(client)
    except TooOften as error:
        return round(error.retry_after / 60) if error.code == "locked-out" else -1
    return 0


def test_a_name_is_locked_longer_each_time_until_it_succeeds(database: Database, clock: list[datetime]) -> None:
    guard = Lockouts(database, failures=3, minutes=15)
    found = []
    for _ in range(30):
        locks = guard.fail([DOE])
        if locks:
            found.append(locked_minutes(Lockouts(database, failures=3, minutes=15), DOE))  # after a restart
            clock[0] += timedelta(minutes=found[-1], seconds=1)
        assert locked_minutes(guard, DOE) == 0
    assert found == [15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440]
    assert guard.clear(DOE)
    assert not guard.clear(DOE)
    guard.fail([DOE])
    assert locked_minutes(guard, DOE) == 0


def test_an_address_is_free_after_a_pause_and_a_name_is_not(database: Database, clock: list[datetime]) -> None:
    guard = Lockouts(database, failures=3, minutes=15)
    for _ in range(2):
        assert guard.fail([DOE, PLACE]) == []
    clock[0] += timedelta(minutes=16)
    assert guard.fail([DOE, PLACE]) == [DOE]
    assert (locked_minutes(guard, DOE), locked_minutes(guard, PLACE)) == (15, 0)


def test_each_is_counted_by_itself_and_without_its_name(database: Database) -> None:
    guard = Lockouts(database, failures=2, minutes=15)
    guard.fail([DOE, PLACE])
    assert guard.fail([by_name("roe"), PLACE]) == [PLACE]
    assert locked_minutes(guard, DOE) == 0
    with database.reading() as connection:
        assert "doe" not in str(connection.execute(sa.select(tables.lockouts)).all())
    Lockouts(database, failures=0, minutes=1).fail([DOE])
    assert locked_minutes(guard, DOE) == 0


def test_the_old_is_forgotten(database: Database, clock: list[datetime]) -> None:
    guard = Lockouts(database, failures=3, minutes=15)
    guard.fail([DOE])
    clock[0] += timedelta(days=8)
    guard.expire()
    assert not guard.clear(DOE)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "address 192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "address 192.0.2.7"),
        ("testclient", "address testclient"),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, client: str) -> None:
    assert by_address(address) == client


def test_who_is_locked_now_and_until_when(database: Database, clock: list[datetime]) -> None:
    guard = Lockouts(database, failures=1, minutes=15)
    guard.fail([DOE])
    assert guard.locked([DOE, by_name("roe")]) == {DOE: clock[0] + timedelta(minutes=15)}
    clock[0] += timedelta(minutes=16)
    assert guard.locked([DOE]) == {}
