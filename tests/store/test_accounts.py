"""Users, sessions and tokens: secrets are kept as hashes, end when they should, and tell nothing by their failure."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.errors import InputRefused, NotFound, NotLoggedIn
from covid_xray.store import tables
from covid_xray.store.accounts import Accounts, equal_secrets, token_id
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.principals import User
from covid_xray.store.records import now

PASSWORD = "ten letters or more"


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    database = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield Accounts(database)
    database.close()


def everything(accounts: Accounts) -> str:
    with accounts._database.reading() as connection:
        return "\n".join(str(connection.execute(sa.select(table)).all()) for table in tables.metadata.sorted_tables)


def test_passwords_are_argon2id_and_verified(accounts: Accounts) -> None:
    assert accounts.add("doe", password=PASSWORD, role="reader") == User("doe", "reader")
    cookie = accounts.log_in("doe", PASSWORD, hours=1)
    assert accounts.user_of_session(cookie) == User("doe", "reader")
    assert "$argon2id$" in everything(accounts)
    assert PASSWORD not in everything(accounts)
    assert cookie not in everything(accounts)


@pytest.mark.parametrize(("name", "password"), [("doe", "another password"), ("roe", PASSWORD), ("", ""), ("doe", "")])
def test_another_pair_is_refused_alike(accounts: Accounts, name: str, password: str) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    with pytest.raises(NotLoggedIn) as refusal:
        accounts.log_in(name, password, hours=1)
    assert refusal.value.code == "bad-login"
    assert refusal.value.message == "Wrong name or password."


def test_sessions_end(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="admin")
    first, second = (accounts.log_in("doe", PASSWORD, hours=1) for _ in range(2))
    accounts.log_out(first)
    assert accounts.user_of_session(first) is None
    assert accounts.user_of_session(second) == User("doe", "admin")
    with accounts._database.writing() as connection:
        connection.execute(sa.update(tables.sessions).values(expires=now() - timedelta(seconds=1)))
    assert accounts.user_of_session(second) is None


def test_tokens_are_shown_once(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    token = accounts.new_token("doe")
    assert accounts.user_of_token(token) == (User("doe", "reader"), "all")
    assert accounts.user_of_token(token + "x") is None
    assert token not in everything(accounts)
    with pytest.raises(NotFound):
        accounts.new_token("roe")


def test_a_removed_user_is_out_at_once(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    cookie, token = accounts.log_in("doe", PASSWORD, hours=1), accounts.new_token("doe")
    accounts.remove("doe")
    assert accounts.user_of_session(cookie) is None
    assert accounts.user_of_token(token) is None
    assert accounts.all() == []
    with pytest.raises(NotFound):
        accounts.remove("doe")


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "local", "token", "dœ", "a\0"])
def test_names_that_are_none(accounts: Accounts, name: str) -> None:
    with pytest.raises(InputRefused):
        accounts.add(name, password=PASSWORD, role="reader")


def test_a_name_is_taken_once_and_passwords_are_long(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    with pytest.raises(InputRefused, match="already exists"):
        accounts.add("doe", password=PASSWORD, role="admin")
    with pytest.raises(InputRefused, match="at least 12"):
        accounts.add("roe", password="short", role="reader")


def test_tokens_expire_are_listed_and_revoked(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    accounts.add("roe", password=PASSWORD, role="admin")
    short = accounts.new_token("doe", name="nightly", scope="read", days=1)
    endless = accounts.new_token("roe", days=None)
    assert [(it.user, it.name, it.scope, it.expires is None) for it in accounts.tokens()] == [
        ("doe", "nightly", "read", False),
        ("roe", "", "all", True),
    ]
    assert accounts.user_of_token(short) == (User("doe", "reader"), "read")
    assert accounts.tokens("doe")[0].used is not None
    with accounts._database.writing() as connection:
        connection.execute(sa.update(tables.tokens).where(tables.tokens.c.expires.is_not(None)).values(expires=now()))
    assert accounts.user_of_token(short) is None
    with pytest.raises(NotFound):
        accounts.revoke_token(token_id(endless), user="doe")
    assert accounts.revoke_token(token_id(endless)).user == "roe"
    assert accounts.user_of_token(endless) is None


def test_idle_sessions_end_and_use_keeps_them(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    cookie = accounts.log_in("doe", PASSWORD, hours=1)

    def rest(minutes: float) -> None:
        with accounts._database.writing() as connection:
            connection.execute(sa.update(tables.sessions).values(seen=now() - timedelta(minutes=minutes)))

    rest(20)
    assert accounts.user_of_session(cookie, idle_minutes=30, is_use=False)
    assert accounts.user_of_session(cookie, idle_minutes=15) is None
    assert accounts.user_of_session(cookie, idle_minutes=30)  # counts from now on
    assert accounts.user_of_session(cookie, idle_minutes=15)
    rest(600)
    assert accounts.user_of_session(cookie, idle_minutes=0)


def test_a_new_password_ends_the_other_sessions(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    here, there = (accounts.log_in("doe", PASSWORD, hours=1) for _ in range(2))
    with pytest.raises(InputRefused):
        accounts.set_password("doe", "short")
    accounts.set_password("doe", "some other words in a row", keep=here)
    assert accounts.user_of_session(here)
    assert accounts.user_of_session(there) is None
    with pytest.raises(NotLoggedIn):
        accounts.check_password("doe", PASSWORD)
    accounts.check_password("doe", "some other words in a row")
    with pytest.raises(NotFound):
        accounts.set_password("roe", "some other words in a row")
    accounts.log_out_user("doe")
    assert accounts.user_of_session(here) is None


def test_a_user_of_a_provider_is_known_by_its_subject(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    assert accounts.user_of_subject("https://id.example 1", name="roe", role="reader") == User("roe", "reader")
    assert accounts.user_of_subject("https://id.example 1", name="renamed", role="admin") == User("roe", "admin")
    with pytest.raises(InputRefused) as refusal:
        accounts.user_of_subject("https://id.example 2", name="doe", role="admin")
    assert refusal.value.code == "name-taken"
    for password in ("", PASSWORD):
        with pytest.raises(NotLoggedIn):
            accounts.log_in("roe", password, hours=1)
    with pytest.raises(InputRefused) as refusal:
        accounts.set_password("roe", "some other words in a row")
    assert refusal.value.code == "no-password"


def test_the_first_user_is_noticed(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Accounts(accounts._database)
    assert not other.has_users()
    accounts.add("doe", password=PASSWORD, role="reader")
    assert accounts.has_users()
    monkeypatch.setattr("covid_xray.store.accounts._CACHE_SECONDS", 0.0)
    assert other.has_users()


def test_secrets_are_compared_whole() -> None:
    assert equal_secrets("abc", "abc")
    assert not equal_secrets("abc", "abd")
    assert not equal_secrets("", "a")
    assert not equal_secrets("ä", "a")


def test_the_last_admin_stays(accounts: Accounts) -> None:
    accounts.add("ada", password=PASSWORD, role="admin")
    accounts.add("doe", password=PASSWORD, role="reader")
    with pytest.raises(InputRefused) as refusal:
        accounts.remove("ada")
    assert refusal.value.code == "last-admin"
    accounts.add("eve", password=PASSWORD, role="admin")
    accounts.remove("ada")
    assert [user.name for user in accounts.all()] == ["doe", "eve"]


def test_the_last_user_leaves_a_locked_server_and_the_name_free(accounts: Accounts) -> None:
    accounts.add("doe", password=PASSWORD, role="reader")
    accounts.remove("doe")
    again = Accounts(accounts._database)
    assert (again.all(), again.has_users()) == ([], True)
    for password in ("", PASSWORD):
        with pytest.raises(NotLoggedIn):
            again.log_in("doe", password, hours=1)
    with pytest.raises(NotFound):
        again.new_token("doe")
    again.add("doe", password=PASSWORD, role="admin")
    assert again.all() == [User("doe", "admin")]
