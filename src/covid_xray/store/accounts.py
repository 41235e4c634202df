"""Manage users, passwords, sessions and bearer tokens in the database, which holds secrets as hashes only.

Passwords are hashed with argon2id (RFC 9106 parameters, the default of argon2-cffi). Session cookies and tokens are 32
random bytes, so a plain SHA-256 of them cannot be reversed by guessing. A token is named by the first digits of its
SHA-256.
"""

import functools
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from covid_xray.errors import InputRefused, NotFound, NotLoggedIn
from covid_xray.files import sha256_bytes
from covid_xray.store import tables
from covid_xray.store.database import Database, insert_once
from covid_xray.store.passwords import SHORTEST_PASSWORD, require_good_password
from covid_xray.store.principals import Role, Scope, Token, User
from covid_xray.store.records import clean_text, now

if TYPE_CHECKING:
    import argon2

TOKEN_DAYS = 365.0
TOKEN_ID = 12  # hexadecimal digits
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_REMOVED = "removed"  # the role of a last user's row, which is kept so that the server stays locked
_SEEN_SECONDS, _USED_SECONDS = 60.0, 3600.0  # how late the last use of a session and of a token may be recorded
_CACHE_SECONDS = 2.0  # a first user added by another process locks this server after this time at the latest


class Accounts:
    """The users of one database. Thread-safe."""

    def __init__(self, database: Database, *, shortest_password: int = SHORTEST_PASSWORD) -> None:
        self._database, self.shortest_password = database, shortest_password
        self._cached: tuple[float, bool] = (0.0, False)

    def add(self, name: str, *, password: str, role: Role) -> User:
        """Add a user. Raises `InputRefused` when the name is taken or invalid, or the password weak."""
        _require_name(name)
        require_good_password(password, name=name, shortest=self.shortest_password)
        row = {"name": name, "created": now(), "role": role, "password": _hasher().hash(password)}
        with self._database.writing() as connection:
            self._insert(connection, row)
        return User(name, role)

    def set_password(self, name: str, password: str, *, keep: str | None = None) -> None:
        """Change a password and end all sessions of the user but that of the cookie `keep`.

        Raises:
            InputRefused: the password is weak, or the user logs in by OpenID Connect (`no-password`).
            NotFound: there is no such user.
        """
        require_good_password(password, name=name, shortest=self.shortest_password)
        users, sessions = tables.users.c, tables.sessions.c
        where = (users.name == name) & (users.role != _REMOVED)
        with self._database.writing() as connection:
            row = connection.execute(sa.select(users.subject).where(where)).one_or_none()
            if row is None:
                raise _no_such_user()
            if row.subject is not None:
                message = "This user logs in by OpenID Connect. Change the password there."
                raise InputRefused(message, code="no-password")
            connection.execute(sa.update(tables.users).where(where).values(password=_hasher().hash(password)))
            kept = sessions.sha256 != (_sha256(keep) if keep else "")
            connection.execute(sa.delete(tables.sessions).where(sessions.user_name == name, kept))

    def check_password(self, name: str, password: str) -> None:
        """Raise `NotLoggedIn` (`bad-login`) for a wrong name or password; both take the same time."""
        users = tables.users.c
        query = sa.select(users.password).where(users.name == (name if _NAME.fullmatch(name) else ""))
        with self._database.reading() as connection:
            stored = connection.execute(query).scalar_one_or_none()
        if not _verify(stored or _unknown_password(), password) or not stored:
            raise NotLoggedIn("Wrong name or password.", code="bad-login")

    def user_of_subject(self, subject: str, *, name: str, role: Role) -> User:
        """Look up or add a user of OpenID Connect, and set the role that the provider gives now.

        Raises:
            InputRefused: the name is invalid, or another user has it (`name-taken`).
        """
        users = tables.users.c
        with self._database.writing() as connection:
            known = connection.execute(sa.select(users.name).where(users.subject == subject)).scalar_one_or_none()
            if known is not None:
                connection.execute(sa.update(tables.users).where(users.name == known).values(role=role))
                return User(known, role)
            _require_name(name)
            row = {"name": name, "created": now(), "role": role, "password": "", "subject": subject}
            self._insert(connection, row)
        return User(name, role)

    def _insert(self, connection: sa.Connection, row: dict[str, Any]) -> None:
        connection.execute(sa.delete(tables.users).where(tables.users.c.role == _REMOVED))
        if not insert_once(connection, tables.users, row):
            raise InputRefused(f"User {row['name']!r} already exists. Choose another name.", code="name-taken")
        self._cached = (0.0, False)

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
        columns = (users.name, users.role, users.password != "")
        query = sa.select(*columns).where(users.role != _REMOVED).order_by(users.name)
        with self._database.reading() as connection:
            return [User(*row) for row in connection.execute(query)]

    def require(self, name: str) -> None:
        """Raise `NotFound` unless there is a user of this name."""
        if name not in {user.name for user in self.all()}:
            raise _no_such_user()

    def has_users(self) -> bool:
        """Say whether there is or ever was a user; the answer may be two seconds old."""
        checked, answer = self._cached
        if not checked or time.monotonic() - checked > _CACHE_SECONDS:
            with self._database.reading() as connection:
                answer = connection.execute(sa.select(tables.users.c.name).limit(1)).first() is not None
            self._cached = (time.monotonic(), answer)
        return answer

    def log_in(self, name: str, password: str, *, hours: float) -> str:
        """Start a session and return its cookie. Raises what `check_password` raises."""
        self.check_password(name, password)
        return self.start_session(name, hours=hours)

    def start_session(self, name: str, *, hours: float) -> str:
        """Start a session of an authenticated user and return its cookie."""
        cookie, time = secrets.token_urlsafe(32), now()
        row = {"sha256": _sha256(cookie), "user_name": name, "expires": time + timedelta(hours=hours), "seen": time}
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.sessions).values(row))
        return cookie

    def log_out(self, cookie: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.sha256 == _sha256(cookie)))

    def log_out_user(self, name: str) -> None:
        """End all sessions of a user."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.user_name == name))

    def user_of_session(self, cookie: str, *, idle_minutes: float = 0.0, is_use: bool = True) -> User | None:
        """Look up the user of a session that has not ended.

        Args:
            cookie: of the browser.
            idle_minutes: without use, after which a session ends; 0 for any number.
            is_use: whether this request counts as use; those that a page makes by itself do not.
        """
        time, sessions = now(), tables.sessions.c
        where = (sessions.sha256 == _sha256(cookie)) & (sessions.expires > time)
        if idle_minutes:
            where &= sessions.seen > time - timedelta(minutes=idle_minutes)
        row = self._owner(tables.sessions, where)
        if row and is_use and time - row.seen > timedelta(seconds=_SEEN_SECONDS):
            with self._database.writing() as connection:
                connection.execute(sa.update(tables.sessions).where(where).values(seen=time))
        return User(row.name, row.role) if row else None

    def new_token(self, user: str, *, name: str = "", scope: Scope = "all", days: float | None = TOKEN_DAYS) -> str:
        """Create a bearer token and return its secret, which cannot be read again.

        Args:
            user: whose rights it has at most.
            name: what it is for.
            scope: what it may do.
            days: until it expires; `None` for never.

        Raises:
            NotFound: there is no such user.
        """
        self.require(user)
        secret, time = secrets.token_urlsafe(32), now()
        row = {"sha256": _sha256(secret), "user_name": user, "created": time, "scope": scope}
        row |= {"name": clean_text(name, longest=64), "expires": time + timedelta(days=days) if days else None}
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.tokens).values(row))
        return secret

    def tokens(self, user: str | None = None) -> list[Token]:
        """List the tokens of one user, or of all, oldest first."""
        columns = tables.tokens.c
        query = sa.select(tables.tokens).order_by(columns.created, columns.sha256)
        if user is not None:
            query = query.where(columns.user_name == user)
        with self._database.reading() as connection:
            return [_as_token(row) for row in connection.execute(query).mappings()]

    def revoke_token(self, identity: str, *, user: str | None = None) -> Token:
        """Remove a token, of this user where one is given. Raises `NotFound`."""
        found = [token for token in self.tokens(user) if token.id == identity]
        if not found:
            raise NotFound("No such token. `covid-xray user tokens` lists all.")
        columns = tables.tokens.c
        with self._database.writing() as connection:
            connection.execute(sa.delete(tables.tokens).where(columns.sha256.startswith(identity, autoescape=True)))
        return found[0]

    def user_of_token(self, secret: str) -> tuple[User, Scope] | None:
        """Look up the user and the scope of a bearer token that has not expired."""
        time, tokens = now(), tables.tokens.c
        where = (tokens.sha256 == _sha256(secret)) & (tokens.expires.is_(None) | (tokens.expires > time))
        row = self._owner(tables.tokens, where)
        if row is None:
            return None
        if row.used is None or time - row.used > timedelta(seconds=_USED_SECONDS):
            with self._database.writing() as connection:
                connection.execute(sa.update(tables.tokens).where(where).values(used=time))
        return User(row.name, row.role), row.scope

    def _owner(self, table: sa.Table, where: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
        users = tables.users.c
        others = [column for column in table.c if column.name != "name"]
        query = sa.select(users.name, users.role, *others).join(table, table.c.user_name == users.name).where(where)
        with self._database.reading() as connection:
            return connection.execute(query).first()


def token_id(secret: str) -> str:
    """Return the id of the token with this secret."""
    return _sha256(secret)[:TOKEN_ID]


def equal_secrets(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _as_token(row: Mapping[Any, Any]) -> Token:
    copied = {name: row[name] for name in ("name", "scope", "created", "expires", "used")}
    return Token(id=row["sha256"][:TOKEN_ID], user=row["user_name"], **copied)


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in ("local", "token", "server", "unknown"):
        raise InputRefused(
            "Invalid user name. Use up to 64 letters, digits and . _ @ -, beginning with a letter or digit; "
            "'local', 'token', 'server' and 'unknown' are reserved."
        )


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
