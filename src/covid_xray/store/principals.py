"""Define who may do what: users, their tokens, and the author of a request."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from covid_xray.errors import InputRefused

Role = Literal["reader", "admin"]
Scope = Literal["metrics", "read", "write", "all"]  # /metrics only, no changes, what readers may, what its user may


@dataclass(frozen=True)
class User:
    """A user account; one of OpenID Connect has no password here."""

    name: str
    role: Role
    has_password: bool = True


@dataclass(frozen=True)
class Token:
    """A bearer token without its secret."""

    id: str
    user: str
    name: str
    scope: Scope
    created: datetime
    expires: datetime | None
    used: datetime | None  # at most an hour late


@dataclass(frozen=True)
class Principal:
    """The author of a request: a user, the holder of the server's token, or anybody at this machine (`local`)."""

    name: str
    role: Role
    how: Literal["local", "session", "token", "command"]
    address: str | None = None
    scope: Scope = "all"


def as_role(text: str) -> Role:
    """Parse the name of a role. Raises `InputRefused`."""
    if text not in get_args(Role):
        raise InputRefused(f"Unknown role {text!r}. Choose one of {', '.join(get_args(Role))}.")
    return cast(Role, text)


def as_scope(text: str) -> Scope:
    """Parse the name of a scope. Raises `InputRefused`."""
    if text not in get_args(Scope):
        raise InputRefused(f"Unknown scope {text!r}. Choose one of {', '.join(get_args(Scope))}.")
    return cast(Scope, text)
