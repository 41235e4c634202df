"""Manage users, passwords, sessions and bearer tokens in the database, which holds secrets as hashes only.

Passwords are hashed with argon2id (RFC 9106 parameters, the default of argon2-cffi). Session cookies and tokens are 32
random bytes, so a plain SHA-256 of them cannot be reversed by guessing.
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
_REMOVED = "removed"  # the role of a last user's row, which is kept so that the server stays locked
_CACHE_SECONDS = 2.0  # a first user added by another process locks this server after this time at the latest


@dataclass(frozen=True)
class User:
    """A user account."""

    name: str
    role: Role


@dataclass(frozen=True)
class Principal:
    """The author of a request: a user, the holder of the server's token, or anybody at this machine (`local`)."""

    name: str
    role: Role
    how: Literal["local", "session", "token"]


class Accounts:
    """The users of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cached: tuple[float, bool] = (0.0, False)

    def add(self, name: str, *, password: str, role: Role) -> User:
        """Add a user. Raises `InputRefused` when the name is taken or invalid, or the password too short."""
        if not _NAME.fullmatch(name) or name in ("local", "token"):
            raise InputRefused(
                "Invalid user name. Use up to 64 letters, digits and . _ @ -, beginning with a letter or digit; "
                "'local' and 'token' are reserved."
            )
        if len(password) < SHORTEST_PASSWORD:
            raise InputRefused(f"Password too short. Use at least {SHORTEST_PASSWORD} characters.")
        row = {"name": name, "created": now(), "role": role, "password": _hasher().hash(password)}
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.users).where(tables.users.c.role == _REMOVED))
            added = insert_once(connection, tables.users, row)
        if not added:
            raise InputRefused(f"User {name!r} already exists. Choose another name.")
        self._cached = (0.0, False)
        return User(name, role)

    def remove(self, name: str) -> None:
        """Remove a user with all sessions and tokens. A server that has lost its last user stays locked.

        Raises:
            NotFound: there is no such user.
            InputRefused: the user is the last admin (`last-admin`).
        """
        users, kept = tables.users.c, tables.users.c.role != _REMOVED
        with self._database.writing() as connection:
            query = sa.select(users.name, users.role).where(kept).with_for_update()
            roles = {row.name: row.role for row in connection.execute(query)}
            if name not in roles:
                raise _no_such_user()
            if roles[name] == "admin" and list(roles.values()).count("admin") == 1:
                message = f"{name} is the last admin and cannot be removed. Add another admin first."
                raise InputRefused(message, code="last-admin")
            connection.execute(sa.delete(tables.users).where(users.name == name))
            if len(roles) == 1:
                row = {"name": name, "created": now(), "role": _REMOVED, "password": ""}
                connection.execute(sa.insert(tables.users).values(row))

    def all(self) -> list[User]:
        """List all users by name."""
        users = tables.users.c
        query = sa.select(users.name, users.role).where(users.role != _REMOVED).order_by(users.name)
        with self._database.reading() as connection:
            return [User(*row) for row in connection.execute(query)]

    def has_users(self) -> bool:
        """Say whether there is or ever was a user; the answer may be two seconds old."""
        checked, answer = self._cached
        if not checked or time.monotonic() - checked > _CACHE_SECONDS:
            with self._database.reading() as connection:
                answer = connection.execute(sa.select(tables.users.c.name).limit(1)).first() is not None
            self._cached = (time.monotonic(), answer)
        return answer

    def log_in(self, name: str, password: str, *, hours: float) -> str:
        """Start a session and return its cookie.

        Raises:
            NotLoggedIn: wrong name or password (`bad-login`); both take the same time.
        """
        users = tables.users.c
        query = sa.select(users.password).where(users.name == (name if _NAME.fullmatch(name) else ""))
        with self._database.reading() as connection:
            stored = connection.execute(query).scalar_one_or_none()
        if not _verify(stored or _unknown_password(), password) or stored is None:
            raise NotLoggedIn("Wrong user name or password.", code="bad-login")
        cookie = secrets.token_urlsafe(32)
        row = {"sha256": _sha256(cookie), "user_name": name, "expires": now() + timedelta(hours=hours)}
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.sessions).values(row))
        return cookie

    def log_out(self, cookie: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.sha256 == _sha256(cookie)))

    def user_of_session(self, cookie: str) -> User | None:
        """Look up the user of a session that has not expired."""
        where = (tables.sessions.c.sha256 == _sha256(cookie)) & (tables.sessions.c.expires > now())
        return self._owner(tables.sessions, where)

    def new_token(self, name: str) -> str:
        """Create a bearer token with the rights of a user; it cannot be read again. Raises `NotFound`."""
        if name not in {user.name for user in self.all()}:
            raise _no_such_user()
        token = secrets.token_urlsafe(32)
        row = {"sha256": _sha256(token), "user_name": name, "created": now()}
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.tokens).values(row))
        return token

    def user_of_token(self, token: str) -> User | None:
        """Look up the user of a bearer token."""
        return self._owner(tables.tokens, tables.tokens.c.sha256 == _sha256(token))

    def _owner(self, table: sa.Table, where: sa.ColumnElement[bool]) -> User | None:
        users = tables.users.c
        query = sa.select(users.name, users.role).join(table, table.c.user_name == users.name).where(where)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return User(*row) if row else None


def as_role(text: str) -> Role:
    """Parse the name of a role. Raises `InputRefused`."""
    if text not in get_args(Role):
        raise InputRefused(f"Unknown role {text!r}. Choose one of {', '.join(get_args(Role))}.")
    return cast(Role, text)


def equal_secrets(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _no_such_user() -> NotFound:
    return NotFound("No such user. `covid-xray user list` shows all names.")


def _sha256(secret: str) -> str:
    return sha256_bytes(secret.encode("utf-8", errors="replace"))


@functools.cache
def _hasher() -> "argon2.PasswordHasher":
    import argon2

    return argon2.PasswordHasher()


@functools.cache
def _unknown_password() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))


def _verify(stored: str, password: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _hasher().verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
