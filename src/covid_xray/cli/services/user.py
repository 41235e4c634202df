"""Define the commands for the server's users, their tokens and the audit log: user."""

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import out
from covid_xray.cli.services.serve import Config, Set, Store, load_settings

if TYPE_CHECKING:
    from covid_xray.store.accounts import Accounts
    from covid_xray.store.audit_log import AuditLog
    from covid_xray.store.database import Database
    from covid_xray.store.principals import Principal

UserName = Annotated[str, typer.Argument(help="Name of the user.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])]
users = typer.Typer(help="Users of the server: accounts, tokens for programs, and the audit log.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.add_typer(users, name="user", no_args_is_help=True)


@dataclass(frozen=True)
class _Opened:
    """The accounts and the audit log of an open database, and who uses the command."""

    database: "Database"
    accounts: "Accounts"
    log: "AuditLog"
    who: "Principal"

    def record(self, action: str, what: str | None = None) -> None:
        self.log.record(self.who, action, what)


@users.command("add")
def add_user(
    name: UserName,
    role: Annotated[str, typer.Option("--role", help="reader, or admin, who may also delete and audit.")] = "reader",
    password_stdin: PasswordStdin = False,
    store: Store = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Add a user; the password is asked for."""
    password = _ask_password(password_stdin)
    from covid_xray.store.principals import as_role

    with _opened(store, config, settings) as it:
        it.accounts.add(name, password=password, role=as_role(role))
        it.record("add-user", name)
    out.line(f"{name} may log in as {role}")


@users.command("list")
def list_users(store: Store = None, config: Config = None, settings: Set = None) -> None:
    """List the users and their roles."""
    with _opened(store, config, settings) as it:
        for user in it.accounts.all():
            typer.echo(f"{user.name}\t{user.role}")


@users.command("remove")
def remove_user(name: UserName, store: Store = None, config: Config = None, settings: Set = None) -> None:
    """Remove a user; their sessions and tokens end."""
    with _opened(store, config, settings) as it:
        it.accounts.remove(name)
        it.record("remove-user", name)
    out.line(f"{name} is removed")


@users.command("password")
def set_password(
    name: UserName,
    password_stdin: PasswordStdin = False,
    store: Store = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Set the password of a user, for example of one who forgot it; their sessions end."""
    password = _ask_password(password_stdin)
    with _opened(store, config, settings) as it:
        it.accounts.set_password(name, password)
        it.record("set-password", name)
    out.line(f"{name} has a new password")


@users.command("unlock")
def unlock_user(name: UserName, store: Store = None, config: Config = None, settings: Set = None) -> None:
    """Let a user log in again who is locked out after failed log-ins."""
    from covid_xray.store.lockouts import Lockouts, by_name

    with _opened(store, config, settings) as it:
        was = Lockouts(it.database, failures=0, minutes=0).clear(by_name(name))
        it.record("unlock-user", name)
    out.line(f"{name} may try again" if was else f"{name} had no failed log-ins")


@users.command("token")
def new_token(
    name: UserName,
    scope: Annotated[
        str, typer.Option("--scope", help="metrics, read, write (what readers may) or all (what the user may).")
    ] = "all",
    days: Annotated[float, typer.Option("--days", min=0, help="Until it expires; 0: never.")] = 365,
    purpose: Annotated[str, typer.Option("--for", help="What it is for.")] = "",
    store: Store = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Make a bearer token with at most the rights of a user and print it; it is shown this once."""
    from covid_xray.store.accounts import token_id
    from covid_xray.store.principals import as_scope

    with _opened(store, config, settings) as it:
        secret = it.accounts.new_token(name, name=purpose, scope=as_scope(scope), days=days or None)
        it.record("add-token", token_id(secret))
        typer.echo(secret)


@users.command("tokens")
def list_tokens(store: Store = None, config: Config = None, settings: Set = None) -> None:
    """List the tokens: id, user, scope, expiry, last use, what it is for."""
    with _opened(store, config, settings) as it:
        for token in it.accounts.tokens():
            times = [time.isoformat(timespec="minutes") if time else "never" for time in (token.expires, token.used)]
            typer.echo("\t".join([token.id, token.user, token.scope, *times, token.name]))


@users.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Id of the token, as `user tokens` prints it.")],
    store: Store = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Revoke a token."""
    with _opened(store, config, settings) as it:
        found = it.accounts.revoke_token(token)
        it.record("revoke-token", token)
    out.line(f"token {found.id} of {found.user} is revoked")


@users.command("audit")
def audit(
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove that no line was changed; exit code 1 if one was.")
    ] = False,
    expect: Annotated[str | None, typer.Option("--expect", help="A hash noted earlier that must be there.")] = None,
    who: Annotated[str | None, typer.Option("--who", help="Only of this user.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this action.")] = None,
    what: Annotated[str | None, typer.Option("--about", help="Only about this study, job, user or route.")] = None,
    since: Day = None,
    until: Day = None,
    store: Store = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Print the audit log as CSV, oldest first, or prove that it is whole."""
    with _opened(store, config, settings) as it:
        if verify or expect:
            _verify(it, expect)
            return
        from covid_xray.store.audit_log import AuditQuery, every
        from covid_xray.store.exports import audit_csv

        it.record("export-log")
        times = {name: time.astimezone() if time else None for name, time in (("since", since), ("until", until))}
        query = AuditQuery(who, action, what, since=times["since"], until=times["until"])
        for line in audit_csv(every(it.database, query)):
            typer.echo(line, nl=False)


def _verify(it: _Opened, expected: str | None) -> None:
    from covid_xray.store.audit_chain import verify

    it.record("verify-log")
    proof = verify(it.database, expected=expected)
    first, last = (time.isoformat(timespec="seconds") if time else "" for time in (proof.first, proof.last))
    removed = f", after {proof.removed:,} that have expired" if proof.removed else ""
    out.line(f"The audit log is whole: {proof.lines:,} lines from {first} to {last}{removed}.")
    out.line(f"Note its newest hash elsewhere, for --expect: {proof.hash}")


def _ask_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


@contextlib.contextmanager
def _opened(store: Path | None, config: Path | None, overrides: list[str] | None) -> Iterator[_Opened]:
    settings = load_settings(store, config, overrides)
    from covid_xray.store.accounts import Accounts
    from covid_xray.store.audit_log import AuditLog
    from covid_xray.store.principals import Principal
    from covid_xray.store.store import open_database

    with contextlib.closing(open_database(settings)) as database:
        accounts = Accounts(database, shortest_password=settings.shortest_password)
        who = Principal(f"command:{_login_name()}"[:64], "admin", "command")
        yield _Opened(database, accounts, AuditLog(database), who)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
