"""Log-ins that fail are recorded and lock a name and an address; what was typed as an unknown name is kept nowhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from covid_xray.store import tables
from covid_xray.store.lockouts import by_address, by_name
from support.servers import audit_lines, client, service_of

PASSWORD = "ten letters or more"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path, lockout_failures=3, logins_per_minute=1000) as inside:
        for name in ("doe", "roe"):
            service_of(inside).accounts.add(name, password=PASSWORD, role="reader")
        yield inside


def log_in(api: TestClient, name: str = "doe", password: str = PASSWORD) -> tuple[int, str]:
    answer = api.post("/api/v1/login", json={"name": name, "password": password})
    return answer.status_code, answer.json()["code"] if answer.content else ""


def test_a_name_and_an_address_are_locked_and_it_is_recorded(api: TestClient) -> None:
    assert [log_in(api, password="wrong password") for _ in range(3)] == [(401, "bad-login")] * 3
    assert log_in(api) == (429, "locked-out")
    assert log_in(api, "roe") == (429, "locked-out")  # from the same address
    lines = [(line.who, line.action, line.what, line.code, line.address) for line in audit_lines(api)]
    assert lines == [
        *[("doe", "log-in-failed", None, "bad-login", "testclient")] * 3,
        ("doe", "lock-out", "doe", "locked-out", "testclient"),
        ("doe", "lock-out", "testclient", "locked-out", "testclient"),
        ("doe", "log-in-refused", None, "locked-out", "testclient"),
        ("roe", "log-in-refused", None, "locked-out", "testclient"),
    ]
    for client_ in (by_name("doe"), by_address("testclient")):
        service_of(api).lockouts.clear(client_)
    assert log_in(api) == (204, "")


def test_a_log_in_forgets_the_failures_of_its_name(api: TestClient) -> None:
    for _ in range(3):
        assert log_in(api, password="wrong password")[0] == 401
        service_of(api).lockouts.clear(by_address("testclient"))
        assert log_in(api)[0] == 204
        api.cookies.clear()


def test_a_lock_survives_a_restart(tmp_path: Path) -> None:
    settings = {"lockout_failures": 1, "logins_per_minute": 1000}
    with client(tmp_path, **settings) as api:
        service_of(api).accounts.add("doe", password=PASSWORD, role="reader")
        assert log_in(api, password="wrong password")[0] == 401
    with client(tmp_path, **settings) as api:
        assert log_in(api) == (429, "locked-out")


def test_an_unknown_name_may_be_a_password_and_is_not_kept(api: TestClient) -> None:
    typed = "mY-pAsSwOrD-tYpEd-aS-nAmE"
    for _ in range(3):
        log_in(api, typed, "doe")
    assert {line.who for line in audit_lines(api)} == {"unknown"}
    with service_of(api).store.database.reading() as connection:
        kept = [connection.execute(sa.select(table)).all() for table in tables.metadata.sorted_tables]
    assert typed not in str(kept)


def test_out_is_recorded_too(api: TestClient) -> None:
    log_in(api)
    token = {"X-CSRF-Token": api.get("/api/v1/me").json()["csrf_token"]}
    assert api.post("/api/v1/logout", headers=token).status_code == 204
    assert [(line.who, line.action, line.address) for line in audit_lines(api)] == [
        ("doe", "log-in", "testclient"),
        ("doe", "log-out", "testclient"),
    ]
