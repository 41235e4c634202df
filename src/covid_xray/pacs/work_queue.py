"""Keep track of received objects, their outcomes and the results still to be sent, in database transactions.

An arrival is waiting, then answered, without a result, or failed. A delivery is waiting, then sent, given up, or
skipped because the peer never takes its kind; "uncommitted" is sent and not yet confirmed by storage commitment;
"test" was made in test mode. What a crash interrupts is still waiting afterwards.

Urgent objects come first, then those sent by C-STORE, then those fetched from an archive; the newest of each first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from covid_xray.pacs.source_object import NOT_A_CHEST_PICTURE
from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import now
from covid_xray.store.tables import arrivals, deliveries

WAITING, ANSWERED, NO_RESULT, FAILED = "waiting", "answered", "no result", "failed"
SENT, UNCOMMITTED, GIVEN_UP, SKIPPED, TEST = "sent", "uncommitted", "given up", "skipped", "test"
PULLED, LIVE, URGENT = 0, 1, 2  # priorities of arrivals
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
    priority: int = LIVE


@dataclass(frozen=True)
class Delivery:
    """A result object to be sent to one peer; `created` is when its arrival came, or when it was queued again."""

    arrival_id: str
    kind: str
    peer: str
    tries: int
    created: datetime
    state: str = WAITING
    code: str | None = None  # of the last failure


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

    def has_answered(self, sop_uid: str) -> bool:
        """Return whether a version of this object was answered before, if only that its picture is no chest."""
        answered = (arrivals.c.state == ANSWERED) | (arrivals.c.code == NOT_A_CHEST_PICTURE)
        where = (arrivals.c.sop_uid == sop_uid) & answered
        return bool(self._read(sa.select(arrivals.c.id).where(where).limit(1)))

    def count_waiting(self) -> int:
        """Count the arrivals without an outcome."""
        return int(self._read(sa.select(sa.func.count()).where(arrivals.c.state == WAITING))[0][0])

    def claim(self, *, limit: int) -> list[Arrival]:
        """Return the waiting arrivals that come first, and count one more try of each.

        An arrival at which the process died several times comes alone, so that it fails no other.
        """
        columns = [arrivals.c[name] for name in Arrival.__dataclass_fields__]
        with self.database.writing() as connection:
            often = sa.case((arrivals.c.tries >= ALONE, arrivals.c.tries), else_=0)
            order = (often, arrivals.c.priority.desc(), arrivals.c.tries, arrivals.c.created.desc(), arrivals.c.id)
            query = sa.select(*columns).where(arrivals.c.state == WAITING).order_by(*order).limit(limit)
            found = [Arrival(*row) for row in connection.execute(query)]
            found = found[:1] if found and found[0].tries >= ALONE else found
            connection.execute(_update_arrivals(found, tries=arrivals.c.tries + 1))
        return found

    def release(self, claimed: Sequence[Arrival]) -> None:
        """Return arrivals to the queue without counting the try."""
        with self.database.writing() as connection:
            connection.execute(_update_arrivals(claimed, tries=arrivals.c.tries - 1))

    def record(
        self,
        outcomes: Sequence[Outcome],
        *,
        peers: Sequence[str],
        takes: Callable[[str, str], bool] = lambda peer, kind: True,
        state: str = WAITING,
    ) -> None:
        """Record the outcomes of arrivals, and schedule their objects for those `peers` that take them."""
        moment = now()
        rows = [
            {"arrival_id": one.id, "kind": kind, "peer": peer, "state": state, "tries": 0, "due": moment}
            for one in outcomes
            for kind in one.kinds
            for peer in peers
            if takes(peer, kind)
        ]
        with self.database.writing() as connection:
            for one in outcomes:
                connection.execute(_update_arrivals([one], state=one.state, code=one.code))
            if rows:
                connection.execute(sa.insert(deliveries), rows)

    def due_deliveries(self, peer: str, *, limit: int) -> list[Delivery]:
        """Return what a peer is to get now: by the priority of the object, the longest due first.

        What waits for a commitment that did not come in time is due again.
        """
        columns = deliveries.c
        where = (columns.peer == peer) & columns.state.in_((WAITING, UNCOMMITTED)) & (columns.due <= now())
        query = _deliveries().where(where).order_by(arrivals.c.priority.desc(), columns.due).limit(limit)
        return [Delivery(*row) for row in self._read(query)]

    def list_unsent(self, peer: str | None = None) -> list[Delivery]:
        """Return what was given up, skipped or made in test mode, the newest first."""
        where: sa.ColumnElement[bool] = deliveries.c.state.in_((GIVEN_UP, SKIPPED, TEST))
        where &= deliveries.c.peer == peer if peer is not None else sa.true()
        return [Delivery(*row) for row in self._read(_deliveries().where(where).order_by(arrivals.c.created.desc()))]

    def send_again(self, peer: str | None = None, *, ids: Sequence[str] = ()) -> int:
        """Queue what was given up once more, of one peer or all, of these arrivals or all; return how many."""
        where: sa.ColumnElement[bool] = deliveries.c.state == GIVEN_UP
        where &= deliveries.c.peer == peer if peer is not None else sa.true()
        where &= deliveries.c.arrival_id.in_(ids) if ids else sa.true()
        with self.database.writing() as connection:
            values = {"state": WAITING, "tries": 0, "due": now(), "since": now()}
            return int(connection.execute(sa.update(deliveries).where(where).values(values)).rowcount)

    def mark_sent(self, done: Sequence[Delivery]) -> None:
        """Record that the peer has these objects."""
        with self.database.writing() as connection:
            for one in done:
                connection.execute(_update_delivery(one, state=SENT, code=None))

    def await_commitment(self, sent: Sequence[Delivery], transaction_uid: str, *, seconds: float) -> None:
        """Record that these were sent and that the peer has `seconds` to confirm that it keeps them."""
        with self.database.writing() as connection:
            values = {"state": UNCOMMITTED, "code": None, "due": now() + timedelta(seconds=seconds)}
            for one in sent:
                connection.execute(_update_delivery(one, transaction_uid=transaction_uid, **values))

    def find_uncommitted(self, transaction_uid: str) -> list[Delivery]:
        """Return what waits for the answer to this request for storage commitment."""
        where = (deliveries.c.transaction_uid == transaction_uid) & (deliveries.c.state == UNCOMMITTED)
        return [Delivery(*row) for row in self._read(_deliveries().where(where))]

    def skip(self, refused: Sequence[Delivery], code: str) -> None:
        """Record that the peer never takes these objects."""
        with self.database.writing() as connection:
            for one in refused:
                connection.execute(_update_delivery(one, state=SKIPPED, code=code))

    def reschedule(self, failed: Sequence[tuple[Delivery, str, float | None]]) -> None:
        """Record failures: each with its code and the seconds until the next try, `None` for no other try."""
        with self.database.writing() as connection:
            for one, code, delay in failed:
                if delay is None:
                    connection.execute(_update_delivery(one, code=code[:64], state=GIVEN_UP))
                    continue
                due = now() + timedelta(seconds=delay)
                connection.execute(_update_delivery(one, code=code[:64], state=WAITING, due=due))

    def unsent_results(self, ids: Sequence[str] | None = None) -> set[tuple[str, str]]:
        """Return (arrival id, kind) of the results whose files are still needed, of these arrivals or of all."""
        query = sa.select(deliveries.c.arrival_id, deliveries.c.kind).where(deliveries.c.state.not_in((SENT, SKIPPED)))
        if ids is not None:
            query = query.where(deliveries.c.arrival_id.in_(ids))
        return {(row.arrival_id, row.kind) for row in self._read(query)}

    def waiting_ids(self) -> set[str]:
        """Return the ids of arrivals without an outcome."""
        return {row.id for row in self._read(sa.select(arrivals.c.id).where(arrivals.c.state == WAITING))}

    def waiting_studies(self) -> set[str]:
        """Return the Study Instance UIDs of arrivals without an outcome."""
        query = sa.select(arrivals.c.study_uid).where(arrivals.c.state == WAITING).distinct()
        return {row.study_uid for row in self._read(query)}

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
        """Delete finished arrivals without results to be sent that are older than `hours`; 0 deletes nothing."""
        if not hours:
            return
        old = arrivals.c.created < now() - timedelta(hours=hours)
        unsent = sa.select(deliveries.c.arrival_id).where(deliveries.c.state.in_((WAITING, UNCOMMITTED)))
        finished = (arrivals.c.state != WAITING) & arrivals.c.id.not_in(unsent)
        with self.database.writing() as connection:
            connection.execute(sa.delete(arrivals).where(old & finished))

    def _read(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self.database.reading() as connection:
            return connection.execute(query).all()


def _deliveries() -> sa.Select[Any]:
    columns, created = deliveries.c, sa.func.coalesce(deliveries.c.since, arrivals.c.created)
    found = (columns.arrival_id, columns.kind, columns.peer, columns.tries, created, columns.state, columns.code)
    return sa.select(*found).select_from(deliveries.join(arrivals, arrivals.c.id == columns.arrival_id))


def _update_arrivals(rows: Sequence[Arrival | Outcome], **values: object) -> sa.Update:
    return sa.update(arrivals).where(arrivals.c.id.in_([one.id for one in rows])).values(values)


def _update_delivery(one: Delivery, **values: object) -> sa.Update:
    key = (deliveries.c.arrival_id == one.arrival_id) & (deliveries.c.kind == one.kind)
    return sa.update(deliveries).where(key & (deliveries.c.peer == one.peer)).values(tries=one.tries + 1, **values)
