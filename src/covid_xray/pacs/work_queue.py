"""Keep track of received objects, their outcomes and the results still to be sent, in database transactions.

An arrival is waiting, then answered, without a result, or failed; a delivery is waiting, then sent or given up. What a
crash interrupts is still waiting afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import now
from covid_xray.store.tables import arrivals, deliveries

WAITING, ANSWERED, NO_RESULT, FAILED = "waiting", "answered", "no result", "failed"
SENT, GIVEN_UP = "sent", "given up"
_CHUNK = 500  # ids per query
ALONE = 3  # tries after which an arrival is classified by itself


@dataclass(frozen=True)
class Arrival:
    """A received object. `id` is 32 hexadecimal digits; `sha256` is of its data set."""

    id: str
    origin: str
    study_uid: str
    sop_uid: str
    sha256: str
    state: str = WAITING
    tries: int = 0
    code: str | None = None


@dataclass(frozen=True)
class Delivery:
    """A result object to be sent to one peer; `created` is when its arrival came."""

    arrival_id: str
    kind: str
    peer: str
    tries: int
    created: datetime


@dataclass(frozen=True)
class Outcome:
    """The final state of an arrival, why there is no result, and the kinds of objects to send."""

    id: str
    state: str
    code: str | None = None
    kinds: tuple[str, ...] = ()


class WorkQueue:
    """The tables of arrivals and deliveries. Thread-safe. Every method raises `Busy` and `StoreFull`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, new: Sequence[Arrival]) -> list[bool]:
        """Add arrivals in one transaction; return for each whether it is new. An object is added only once."""
        with self.database.writing() as connection:
            return [insert_once(connection, arrivals, {**vars(arrival), "created": now()}) for arrival in new]

    def contains(self, sop_uid: str, sha256: str) -> bool:
        """Return whether this object arrived before."""
        where = (arrivals.c.sop_uid == sop_uid) & (arrivals.c.sha256 == sha256)
        return bool(self._read(sa.select(arrivals.c.id).where(where)))

    def count_waiting(self) -> int:
        """Count the arrivals without an outcome."""
        return int(self._read(sa.select(sa.func.count()).where(arrivals.c.state == WAITING))[0][0])

    def claim(self, *, limit: int) -> list[Arrival]:
        """Return the oldest waiting arrivals, those tried before last, and count one more try of each.

        An arrival at which the process died several times comes alone, so that it fails no other.
        """
        columns = [arrivals.c[name] for name in Arrival.__dataclass_fields__]
        with self.database.writing() as connection:
            order = (arrivals.c.tries, arrivals.c.created, arrivals.c.id)
            query = sa.select(*columns).where(arrivals.c.state == WAITING).order_by(*order).limit(limit)
            found = [Arrival(*row) for row in connection.execute(query)]
            found = found[:1] if found and found[0].tries >= ALONE else found
            connection.execute(_update_arrivals(found, tries=arrivals.c.tries + 1))
        return found

    def release(self, claimed: Sequence[Arrival]) -> None:
        """Return arrivals to the queue without counting the try."""
        with self.database.writing() as connection:
            connection.execute(_update_arrivals(claimed, tries=arrivals.c.tries - 1))

    def record(self, outcomes: Sequence[Outcome], *, peers: Sequence[str]) -> None:
        """Record the outcomes of arrivals, and schedule their objects for `peers`."""
        moment = now()
        rows = [
            {"arrival_id": one.id, "kind": kind, "peer": peer, "state": WAITING, "tries": 0, "due": moment}
            for one in outcomes
            for kind in one.kinds
            for peer in peers
        ]
        with self.database.writing() as connection:
            for one in outcomes:
                connection.execute(_update_arrivals([one], state=one.state, code=one.code))
            if rows:
                connection.execute(sa.insert(deliveries), rows)

    def due_deliveries(self, peer: str, *, limit: int) -> list[Delivery]:
        """Return what a peer is to get now, the longest due first."""
        table, columns = deliveries.join(arrivals, arrivals.c.id == deliveries.c.arrival_id), deliveries.c
        where = (columns.peer == peer) & (columns.state == WAITING) & (columns.due <= now())
        query = sa.select(columns.arrival_id, columns.kind, columns.peer, columns.tries, arrivals.c.created)
        query = query.select_from(table).where(where).order_by(columns.due).limit(limit)
        return [Delivery(*row) for row in self._read(query)]

    def mark_sent(self, done: Sequence[Delivery]) -> None:
        """Record that the peer has these objects."""
        with self.database.writing() as connection:
            for one in done:
                connection.execute(_update_delivery(one, state=SENT, code=None))

    def reschedule(self, failed: Sequence[tuple[Delivery, str, float | None]]) -> None:
        """Record failures: each with its code and the seconds until the next try, `None` for no other try."""
        with self.database.writing() as connection:
            for one, code, delay in failed:
                next_try = {"state": GIVEN_UP} if delay is None else {"due": now() + timedelta(seconds=delay)}
                connection.execute(_update_delivery(one, code=code[:64], **next_try))

    def unsent_results(self, ids: Sequence[str] | None = None) -> set[tuple[str, str]]:
        """Return (arrival id, kind) of what is still to be sent, of these arrivals or of all."""
        query = sa.select(deliveries.c.arrival_id, deliveries.c.kind).where(deliveries.c.state == WAITING)
        if ids is not None:
            query = query.where(deliveries.c.arrival_id.in_(ids))
        return {(row.arrival_id, row.kind) for row in self._read(query)}

    def waiting_ids(self) -> set[str]:
        """Return the ids of arrivals without an outcome."""
        return {row.id for row in self._read(sa.select(arrivals.c.id).where(arrivals.c.state == WAITING))}

    def finished_ids(self, ids: set[str]) -> set[str]:
        """Return those of these ids that have an outcome."""
        columns, ordered = arrivals.c, sorted(ids)
        chunks = (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))
        finished = sa.select(columns.id).where(columns.state != WAITING)
        return {row.id for some in chunks for row in self._read(finished.where(columns.id.in_(some)))}

    def count_states(self) -> dict[str, int]:
        """Count arrivals and deliveries by state, as `arrivals waiting`, `deliveries sent` ..."""
        found: dict[str, int] = {}
        for table in (arrivals, deliveries):
            query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
            found |= {f"{table.name} {state}": int(count) for state, count in self._read(query)}
        return found

    def delete_finished(self, *, hours: float) -> None:
        """Delete finished arrivals without unsent results that are older than `hours`; 0 deletes nothing."""
        if not hours:
            return
        old = arrivals.c.created < now() - timedelta(hours=hours)
        unsent = sa.select(deliveries.c.arrival_id).where(deliveries.c.state == WAITING)
        finished = (arrivals.c.state != WAITING) & arrivals.c.id.not_in(unsent)
        with self.database.writing() as connection:
            connection.execute(sa.delete(arrivals).where(old & finished))

    def _read(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self.database.reading() as connection:
            return connection.execute(query).all()


def _update_arrivals(rows: Sequence[Arrival | Outcome], **values: object) -> sa.Update:
    return sa.update(arrivals).where(arrivals.c.id.in_([one.id for one in rows])).values(values)


def _update_delivery(one: Delivery, **values: object) -> sa.Update:
    key = (deliveries.c.arrival_id == one.arrival_id) & (deliveries.c.kind == one.kind)
    return sa.update(deliveries).where(key & (deliveries.c.peer == one.peer)).values(tries=one.tries + 1, **values)
