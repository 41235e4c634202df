"""The commands of users, tokens and the audit log; each change is a line of the log."""

import csv
import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from covid_xray.config import Serving
from covid_xray.store import tables
from covid_xray.store.lockouts import Lockouts, by_name
from covid_xray.store.store import open_database
from support.commands import run

PASSWORD = "ten letters or more"
Command = Callable[..., Any]


@pytest.fixture
def user(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`covid-xray user ...` on a store of its own, with a password on stdin."""

    def command(*words: str, password: str = PASSWORD) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        stdin = ("--password-stdin",) if words[0] in ("add", "password") else ()
        return run(capsysbinary, "user", *words, *stdin, "--store", tmp_path / "store")

    return command


def log(user: Command, *filters: str) -> list[list[str]]:
    return [[row["action"], row["what"]] for row in csv.DictReader(io.StringIO(user("audit", *filters).out.decode()))]


def test_users(user: Command, tmp_path: Path) -> None:
    assert user("add", "doe").code == 0
    assert user("add", "roe", "--role", "admin").code == 0
    assert user("add", "doe").code == 3
    assert user("add", "moe", password="short").code == 3
    assert user("add", "moe", "--role", "root").code == 3
    assert user("list").out == b"doe\treader\nroe\tadmin\n"
    token = user("token", "doe").out.strip()
    assert len(token) >= 43
    assert user("remove", "doe").code == 0
    assert user("remove", "doe").code == 3
    assert user("token", "doe").code == 3
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


def test_a_password_is_set_and_a_user_unlocked(user: Command, tmp_path: Path) -> None:
    user("add", "doe")
    assert user("password", "doe", password="short").code == 3
    assert user("password", "roe").code == 3
    assert user("password", "doe", password="some other words in a row").code == 0
    database = open_database(Serving(store=tmp_path / "store"))
    lockouts = Lockouts(database, failures=1, minutes=60)
    lockouts.fail([by_name("doe")])
    assert b"may try again" in user("unlock", "doe").out
    lockouts.check(by_name("doe"))
    database.close()
    assert b"no failed" in user("unlock", "doe").out


def test_tokens_are_listed_and_revoked(user: Command) -> None:
    user("add", "doe")
    user("token", "doe", "--scope", "read", "--days", "7", "--for", "nightly export")
    user("token", "doe", "--days", "0")
    first, second = (line.split("\t") for line in user("tokens").out.decode().splitlines())
    assert (first[1:3], first[5], second[2:4]) == (["doe", "read"], "nightly export", ["all", "never"])
    assert user("token", "doe", "--scope", "everything").code == 3
    assert user("revoke", first[0]).code == 0
    assert user("revoke", first[0]).code == 3
    assert len(user("tokens").out.splitlines()) == 1


def test_changes_are_lines_that_are_proved(user: Command, tmp_path: Path) -> None:
    user("add", "doe")
    user("add", "roe", "--role", "admin")
    user("remove", "doe")
    assert log(user)[:3] == [["add-user", "doe"], ["add-user", "roe"], ["remove-user", "doe"]]
    assert log(user, "--about", "doe", "--action", "add-user") == [["add-user", "doe"]]
    assert log(user, "--until", "2020-01-01") == []
    proof = user("audit", "--verify")
    assert (proof.code, b"is whole" in proof.out) == (0, True)
    noted = proof.out.split()[-1].decode()
    assert user("audit", "--expect", noted).code == 0
    assert user("audit", "--expect", "0f" * 32).code == 1
    database = open_database(Serving(store=tmp_path / "store"))
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.execute(sa.update(tables.audit).where(tables.audit.c.id == 2).values(who="nobody"))
    database.close()
    broken = user("audit", "--verify")
    assert (broken.code, b"altered at line 2" in broken.err) == (1, True)
