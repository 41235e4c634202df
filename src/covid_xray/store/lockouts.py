"""Lock a name or an address after failed log-ins; the database keeps it through a restart.

Each further round of failures doubles the time, up to a day, so that 100 guesses at one password take more than three
days (NIST SP 800-63B-4, section 3.2.2, allows 100). A name is free again after a log-in or when an admin unlocks it. An
address, which many people may share, is also free when it has not failed for the time of the first round.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from covid_xray.errors import TooOften
from covid_xray.files import sha256_bytes
from covid_xray.store import tables
from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import now

_LONGEST_MINUTES = 24 * 60.0


class Lockouts:
    """The failed log-ins of one database. Thread-safe.

    Args:
        database: of the store.
        failures: in a row, that make one round; 0 locks nothing.
        minutes: that the first round locks for.
    """

    def __init__(self, database: Database, *, failures: int, minutes: float) -> None:
        self._database, self._failures, self._minutes = database, failures, minutes

    def check(self, *clients: str) -> None:
        """Raise `TooOften` (`locked-out`) when one of these clients (`by_name`, `by_address`) is locked."""
        locked = tables.lockouts.c
        query = sa.select(sa.func.max(locked.until)).where(locked.sha256.in_([_key(each) for each in clients]))
        with self._database.reading() as connection:
            until = connection.execute(query).scalar_one_or_none()
        if until is not None and (seconds := (until - now()).total_seconds()) > 0:
            message = "Too many failed log-ins. Wait, or ask an admin to unlock the account."
            raise TooOften(message, code="locked-out", retry_after=int(seconds) + 1)

    def fail(self, clients: Sequence[str]) -> list[str]:
        """Count a failure of each client and return those that this one locks."""
        if not self._failures:
            return []
        with self._database.writing() as connection:
            return [client for client in clients if self._count(connection, client)]

    def clear(self, client: str) -> bool:
        """Forget the failures of a client; say whether there were any."""
        with self._database.writing() as connection:
            where = tables.lockouts.c.sha256 == _key(client)
            return bool(connection.execute(sa.delete(tables.lockouts).where(where)).rowcount)

    def locked(self, clients: Sequence[str]) -> dict[str, datetime]:
        """Return those of these clients that are locked, each with the time until when."""
        row, keys = tables.lockouts.c, {_key(client): client for client in clients}
        query = sa.select(row.sha256, row.until).where(row.sha256.in_(keys), row.until > now())
        with self._database.reading() as connection:
            return {keys[key]: until for key, until in connection.execute(query)}

    def expire(self) -> None:
        """Forget clients that have not failed for a week."""
        with self._database.writing() as connection:
            old = tables.lockouts.c.last < now() - timedelta(days=7)
            connection.execute(sa.delete(tables.lockouts).where(old))

    def _count(self, connection: sa.Connection, client: str) -> bool:
        time, row = now(), tables.lockouts.c
        where = row.sha256 == _key(client)
        insert_once(connection, tables.lockouts, {"sha256": _key(client), "failures": 0, "last": time})
        known = connection.execute(sa.select(row.failures, row.last).where(where).with_for_update()).one()
        is_old = time - known.last > timedelta(minutes=self._minutes)
        failures = 1 if is_old and client.startswith("address ") else known.failures + 1
        rounds, rest = divmod(failures, self._failures)
        values = {"failures": failures, "last": time}
        if locks := bool(rounds and not rest):
            minutes = min(_LONGEST_MINUTES, self._minutes * 2.0 ** min(rounds - 1, 20))
            values["until"] = time + timedelta(minutes=minutes)
        connection.execute(sa.update(tables.lockouts).where(where).values(values))
        return locks


def by_name(name: str) -> str:
    """Return the client of a user name."""
    return f"name {name}"


def by_address(address: str) -> str:
    """Return the client of an address; one of IPv6 stands for its /64, which one machine has to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"address {address}"
    if isinstance(parsed, ipaddress.IPv4Address):
        return f"address {parsed}"
    return f"address {parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False)}"


def _key(client: str) -> str:
    return sha256_bytes(client.encode("utf-8", "replace"))
