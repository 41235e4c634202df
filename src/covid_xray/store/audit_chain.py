"""Chain the lines of the audit log by hashes, prove the chain, and remove old lines by whole months.

The hash of a line covers the line and the hash before it, and `audit_head` holds the newest one. A changed, inserted
or removed line breaks the chain. An attacker who can write the whole database could compute a new chain, so note the
newest hash elsewhere now and then: `verify` proves that a noted hash is still part of the chain.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from covid_xray.errors import CovidXrayError
from covid_xray.files import sha256_bytes
from covid_xray.store import tables
from covid_xray.store.database import Database
from covid_xray.store.records import now

START = "0" * 64  # the hash before the first line
EXPIRED = "expire-log"
_CHUNK = 1000


@dataclass(frozen=True)
class Proof:
    """A whole chain: number of its lines and of removed ones, time of the first and the last, the newest hash."""

    lines: int
    removed: int
    first: datetime | None
    last: datetime | None
    hash: str


def chain_hash(previous: str, number: int, created: datetime, *facts: str | None) -> str:
    """Hash a line (`facts`: who, action, what, address, code) and the hash before it; `created` is UTC without zone."""
    time = created.astimezone(UTC).replace(tzinfo=None) if created.tzinfo else created
    line = [previous, number, time.isoformat(), *facts]
    return sha256_bytes(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def append(connection: sa.Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append lines (`who`, `action`; `what`, `address`, `code` or none) in the caller's transaction.

    Call it late in the transaction: until its end others cannot append.
    """
    if not lines:
        return
    head = connection.execute(sa.select(tables.audit_head).with_for_update()).one()
    number, newest, rows, time = head.last_id, head.hash, [], now()
    for line in lines:
        number += 1
        facts = {name: line.get(name) for name in ("who", "action", "what", "address", "code")}
        newest = chain_hash(newest, number, time, *facts.values())
        rows.append({"id": number, "created": time, **facts, "hash": newest})
    connection.execute(sa.insert(tables.audit), rows)
    connection.execute(sa.update(tables.audit_head).values(last_id=number, hash=newest))


def verify(database: Database, *, expected: str | None = None) -> Proof:
    """Check every hash.

    Args:
        database: of the store.
        expected: the hash of a line that must be part of the chain, as noted earlier.

    Raises:
        CovidXrayError: a line was changed, inserted or removed (`audit-broken`).
    """
    with database.reading() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        anchors = connection.execute(sa.select(tables.audit_anchors).order_by(tables.audit_anchors.c.last_id)).all()
        head = connection.execute(sa.select(tables.audit_head)).one_or_none()
        removed, newest = _check_anchors(anchors)
        known, first, last, number, expiries = {it.hash for it in anchors}, None, None, removed, set()
        for row in _rows(connection, after=0):
            number += 1
            found = chain_hash(newest, row.id, row.created, row.who, row.action, row.what, row.address, row.code)
            if row.id != number or row.hash != found:
                raise _broken(f"at line {number}")
            newest, first, last = found, first or row.created, row.created
            if row.hash == expected:
                known.add(row.hash)
            if row.action == EXPIRED:
                expiries.add(row.what)
    if head is None or (head.last_id, head.hash) != (number, newest):
        raise _broken(f"after line {number}: the newest lines are missing")
    if anchors and anchors[-1].hash not in expiries:
        raise _broken(f"before line {removed + 1}: no line records the removal of the older ones")
    if expected and expected not in known | {START}:
        raise _broken(f"somewhere: no line has the hash {expected}")
    return Proof(number - removed, removed, first, last, newest)


def expire(database: Database, *, days: float) -> int:
    """Remove the months that ended more than `days` ago (0: none), leave an anchor, and return the number of lines."""
    if not days:
        return 0
    limit = (now() - timedelta(days=days)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    log = tables.audit.c
    with database.reading() as connection:  # without a lock, since there is seldom anything to do
        oldest = connection.execute(sa.select(log.created).order_by(log.id).limit(1)).scalar_one_or_none()
    if oldest is None or oldest >= limit:
        return 0
    with database.writing() as connection:
        connection.execute(sa.select(tables.audit_head).with_for_update()).one()
        kept = connection.execute(sa.select(sa.func.min(log.id)).where(log.created >= limit)).scalar_one()
        query = sa.select(log.id, log.created, log.hash).order_by(log.id.desc()).limit(1)
        last = connection.execute(query.where(log.id < kept) if kept is not None else query).one_or_none()
        if last is None:
            return 0
        first = connection.execute(sa.select(sa.func.min(log.id))).scalar_one()
        anchor = {"last_id": last.id, "first_id": first, "until": last.created, "hash": last.hash, "removed": now()}
        connection.execute(sa.insert(tables.audit_anchors).values(anchor))
        connection.execute(sa.delete(tables.audit).where(log.id <= last.id))
        append(connection, [{"who": "server", "action": EXPIRED, "what": last.hash}])
    return int(last.id - first + 1)


def _check_anchors(anchors: Sequence[sa.Row[Any]]) -> tuple[int, str]:
    """Return the number of removed lines and the hash of the last of them."""
    removed, newest = 0, START
    for anchor in anchors:
        if anchor.first_id != removed + 1 or anchor.last_id <= removed:
            raise _broken(f"at the removed line {removed + 1}")
        removed, newest = anchor.last_id, anchor.hash
    return removed, newest


def _rows(connection: sa.Connection, *, after: int) -> Iterator[sa.Row[Any]]:
    log = tables.audit.c
    while found := connection.execute(
        sa.select(tables.audit).where(log.id > after).order_by(log.id).limit(_CHUNK)
    ).all():
        yield from found
        after = found[-1].id


def _broken(where: str) -> CovidXrayError:
    message = f"The audit log was altered {where}. Compare it with a backup and find out who can write the database."
    return CovidXrayError(message, code="audit-broken")
