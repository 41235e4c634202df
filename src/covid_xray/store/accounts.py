"""Users, their passwords, sessions and bearer tokens, in the database. Secrets are kept as hashes only.

Passwords by argon2id with the parameters of RFC 9106 (argon2-cffi's default); cookies and tokens are 32 random bytes,
so that a plain SHA-256 of them cannot be guessed back.
"""

import functools
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, cast, get_args

import sqlalchemy as sa

from covid_xray.errors import InputRefused, NotFound, NotLoggedIn
from covid_xray.files import sha256_bytes
from covid_xray.store import tables
from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import now

if TYPE_CHECKING:
    import argon2

Role = Literal["reader", "admin"]
SHORTEST_PASSWORD = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ANY_SECONDS = 2.0  # a user who is added while the server runs locks the door after this


@dataclass(frozen=True)
class User:
    """Somebody who may come in."""

    name: str
    role: Role


@dataclass(frozen=True)
class Principal:
    """Who asks: a user, the bearer of the server's token, or whoever sits at this machine."""

    name: str
    role: Role
    how: Literal["local", "session", "token"]


class Accounts:
    """The users of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._any: tuple[float, bool] = (0.0, False)

    def add(self, name: str, *, password: str, role: Role) -> User:
        """Add a user. Raises `InputRefused`: the name is taken or unfit, or the password is short."""
        if not _NAME.fullmatch(name) or name in ("local", "token"):
            raise InputRefused("expected a user name of letters, digits and . _ @ -, up to 64. Received: another name")
        if len(password) < SHORTEST_PASSWORD:
            raise InputRefused(
                f"expected a password of at least {SHORTEST_PASSWORD} characters. Received: {len(password)}"
            )
        row = {"name": name, "created": now(), "role": role, "password": _hasher().hash(password)}
        with self._database.writing() as connection:
            added = insert_once(connection, tables.users, row)
        if not added:
            raise InputRefused(f"expected a new user name. Received: {name!r}, who is there already")
        self._any = (0.0, False)
        return User(name, role)

    def remove(self, name: str) -> None:
        """Remove a user with all sessions and tokens. Raises `NotFound`."""
        with self._database.writing() as connection:
            gone = connection.execute(sa.delete(tables.users).where(tables.users.c.name == name)).rowcount
        if not gone:
            raise NotFound("expected the name of a user. Received: nobody's")

    def all(self) -> list[User]:
        """All users, by name."""
        users = tables.users.c
        with self._database.reading() as connection:
            return [User(*row) for row in connection.execute(sa.select(users.name, users.role).order_by(users.name))]

    def any(self) -> bool:
        """Whether there is a user at all; up to two seconds old."""
        asked, answer = self._any
        if not asked or time.monotonic() - asked > _ANY_SECONDS:
            with self._database.reading() as connection:
                answer = connection.execute(sa.select(tables.users.c.name).limit(1)).first() is not None
            self._any = (time.monotonic(), answer)
        return answer

    def log_in(self, name: str, password: str, *, hours: float) -> str:
        """A new session of this user; returns its cookie. Raises `NotLoggedIn`, after the same work for any name."""
        users = tables.users.c
        query = sa.select(users.password).where(users.name == (name if _NAME.fullmatch(name) else ""))
        with self._database.reading() as connection:
            stored = connection.execute(query).scalar_one_or_none()
        if not _verify(stored or _nobodys_password(), password) or stored is None:
            raise NotLoggedIn("expected a user name and its password. Received: another pair", code="bad-login")
        cookie = secrets.token_urlsafe(32)
        row = {"sha256": _sha256(cookie), "user_name": name, "expires": now() + timedelta(hours=hours)}
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.sessions).values(row))
        return cookie

    def log_out(self, cookie: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.sha256 == _sha256(cookie)))

    def of_session(self, cookie: str) -> User | None:
        """Whose cookie this is, while the session lasts."""
        where = (tables.sessions.c.sha256 == _sha256(cookie)) & (tables.sessions.c.expires > now())
        return self._owner(tables.sessions, where)

    def new_token(self, name: str) -> str:
        """A bearer token with the rights of a user; it is shown this once. Raises `NotFound`."""
        token = secrets.token_urlsafe(32)
        if name not in {user.name for user in self.all()}:
            raise NotFound("expected the name of a user. Received: nobody's")
        row = {"sha256": _sha256(token), "user_name": name, "created": now()}
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.tokens).values(row))
        return token

    def of_token(self, token: str) -> User | None:
        """Whose bearer token this is."""
        return self._owner(tables.tokens, tables.tokens.c.sha256 == _sha256(token))

    def _owner(self, table: sa.Table, where: sa.ColumnElement[bool]) -> User | None:
        users = tables.users.c
        query = sa.select(users.name, users.role).join(table, table.c.user_name == users.name).where(where)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return User(*row) if row else None


def as_role(text: str) -> Role:
    """The role of this name. Raises `InputRefused`."""
    for role in get_args(Role):
        if role == text:
            return cast(Role, role)
    raise InputRefused(f"expected a role of {', '.join(get_args(Role))}. Received: {text!r}")


def same(one: str, other: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _sha256(secret: str) -> str:
    return sha256_bytes(secret.encode("utf-8", errors="replace"))


@functools.cache
def _hasher() -> "argon2.PasswordHasher":
    import argon2

    return argon2.PasswordHasher()


@functools.cache
def _nobodys_password() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))


def _verify(stored: str, password: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _hasher().verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
