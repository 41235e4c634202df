"""What arrived, what became of it, and which results are still to be sent: the transactions of the node.

An arrival waits, then is answered, has no result, or has failed; a delivery waits, then is sent or given up. Whatever
a crash interrupts is still waiting after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import now
from covid_xray.store.tables import arrivals, deliveries

WAITING, ANSWERED, NO_RESULT, FAILED = "waiting", "answered", "no result", "failed"
_CHUNK = 500  # ids of one question
ALONE = 3  # tries after which an arrival is answered by itself
SENT, GIVEN_UP = "sent", "given up"


@dataclass(frozen=True)
class Arrival:
    """An object that was received. `id` is 32 hexadecimal digits; `sha256` is of its data set."""

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
    """One result object that one peer is to get."""

    arrival_id: str
    kind: str
    peer: str
    tries: int
    created: datetime  # when the arrival came


@dataclass(frozen=True)
class Outcome:
    """What became of an arrival: its state, why there is no result, and the kinds of objects to send."""

    id: str
    state: str
    code: str | None = None
    kinds: tuple[str, ...] = ()


class Arrivals:
    """The two tables. Thread-safe. Every method raises `Busy` and `StoreFull` of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Sequence[Arrival]) -> list[bool]:
        """Add arrivals in one transaction; whether each is new. The same object again is not added."""
        with self._database.writing() as connection:
            return [insert_once(connection, arrivals, _row(arrival)) for arrival in new]

    def known(self, sop_uid: str, sha256: str) -> bool:
        """Whether this object arrived before."""
        where = (arrivals.c.sop_uid == sop_uid) & (arrivals.c.sha256 == sha256)
        with self._database.reading() as connection:
            return connection.execute(sa.select(arrivals.c.id).where(where)).first() is not None

    def waiting(self) -> int:
        """How many have no answer yet."""
        with self._database.reading() as connection:
            query = sa.select(sa.func.count()).select_from(arrivals).where(arrivals.c.state == WAITING)
            return int(connection.execute(query).scalar_one())

    def begin(self, *, limit: int) -> list[Arrival]:
        """The oldest that wait, with one more try counted; those that were tried before come after the others.

        An arrival at which the process died several times comes alone, so that it takes no other down with it.
        """
        columns = [arrivals.c[name] for name in Arrival.__dataclass_fields__]
        with self._database.writing() as connection:
            order = (arrivals.c.tries, arrivals.c.created, arrivals.c.id)
            query = sa.select(*columns).where(arrivals.c.state == WAITING).order_by(*order).limit(limit)
            found = [Arrival(*row) for row in connection.execute(query)]
            found = found[:1] if found and found[0].tries >= ALONE else found
            ids = [arrival.id for arrival in found]
            connection.execute(sa.update(arrivals).where(arrivals.c.id.in_(ids)).values(tries=arrivals.c.tries + 1))
        return found

    def give_back(self, begun: Sequence[Arrival]) -> None:
        """They wait on, and the try does not count: it was not they that failed."""
        ids = [arrival.id for arrival in begun]
        with self._database.writing() as connection:
            connection.execute(sa.update(arrivals).where(arrivals.c.id.in_(ids)).values(tries=arrivals.c.tries - 1))

    def finish(self, outcomes: Sequence[Outcome], *, peers: Sequence[str]) -> None:
        """Say what became of arrivals, and that their objects are to be sent to `peers`."""
        moment = now()
        rows = [
            {"arrival_id": one.id, "kind": kind, "peer": peer, "state": WAITING, "tries": 0, "due": moment}
            for one in outcomes
            for kind in one.kinds
            for peer in peers
        ]
        with self._database.writing() as connection:
            for one in outcomes:
                values = {"state": one.state, "code": one.code}
                connection.execute(sa.update(arrivals).where(arrivals.c.id == one.id).values(values))
            if rows:
                connection.execute(sa.insert(deliveries), rows)

    def due(self, peer: str, *, limit: int) -> list[Delivery]:
        """What a peer is to get now, the longest due first."""
        table = deliveries.join(arrivals, arrivals.c.id == deliveries.c.arrival_id)
        columns = (
            deliveries.c.arrival_id,
            deliveries.c.kind,
            deliveries.c.peer,
            deliveries.c.tries,
            arrivals.c.created,
        )
        where = (deliveries.c.peer == peer) & (deliveries.c.state == WAITING) & (deliveries.c.due <= now())
        query = sa.select(*columns).select_from(table).where(where).order_by(deliveries.c.due).limit(limit)
        with self._database.reading() as connection:
            return [Delivery(*row) for row in connection.execute(query)]

    def sent(self, done: Sequence[Delivery]) -> None:
        """The peer has them."""
        with self._database.writing() as connection:
            for one in done:
                connection.execute(_update(one).values(state=SENT, tries=one.tries + 1, code=None))

    def put_off(self, failed: Sequence[Delivery], *, codes: Sequence[str], waits: Sequence[float | None]) -> None:
        """The peer has not got them: again in so many seconds, or `None` for never."""
        with self._database.writing() as connection:
            for one, code, wait in zip(failed, codes, waits, strict=True):
                values = {"tries": one.tries + 1, "code": code[:64]}
                values |= {"state": GIVEN_UP} if wait is None else {"due": now() + timedelta(seconds=wait)}
                connection.execute(_update(one).values(values))

    def open_deliveries(self, ids: Sequence[str] | None = None) -> set[tuple[str, str]]:
        """(arrival, kind) of what still waits to be sent, of these arrivals or of all."""
        query = sa.select(deliveries.c.arrival_id, deliveries.c.kind).where(deliveries.c.state == WAITING)
        if ids is not None:
            query = query.where(deliveries.c.arrival_id.in_(ids))
        with self._database.reading() as connection:
            return {(row.arrival_id, row.kind) for row in connection.execute(query)}

    def open_arrivals(self) -> set[str]:
        """Ids of those that have no answer yet."""
        with self._database.reading() as connection:
            return set(connection.scalars(sa.select(arrivals.c.id).where(arrivals.c.state == WAITING)))

    def done(self, ids: set[str]) -> set[str]:
        """Those of these ids that need no answer any more."""
        columns, found = arrivals.c, set[str]()
        with self._database.reading() as connection:
            ordered = sorted(ids)
            for start in range(0, len(ordered), _CHUNK):
                some = ordered[start : start + _CHUNK]
                query = sa.select(columns.id).where(columns.id.in_(some) & (columns.state != WAITING))
                found.update(connection.scalars(query))
        return found

    def counts(self) -> dict[str, int]:
        """How many arrivals and deliveries are in each state, as `arrivals waiting`, `deliveries sent` ..."""
        found: dict[str, int] = {}
        with self._database.reading() as connection:
            for table in (arrivals, deliveries):
                query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
                found |= {f"{table.name} {state}": int(count) for state, count in connection.execute(query)}
        return found

    def forget(self, *, hours: float) -> None:
        """Delete what is done with and older than `hours` (0: nothing)."""
        if not hours:
            return
        old = arrivals.c.created < now() - timedelta(hours=hours)
        open_ones = sa.select(deliveries.c.arrival_id).where(deliveries.c.state == WAITING)
        done = (arrivals.c.state != WAITING) & arrivals.c.id.not_in(open_ones)
        with self._database.writing() as connection:
            connection.execute(sa.delete(arrivals).where(old & done))


def _row(arrival: Arrival) -> dict[str, object]:
    return {**vars(arrival), "created": now()}


def _update(one: Delivery) -> sa.Update:
    key = (deliveries.c.arrival_id == one.arrival_id) & (deliveries.c.kind == one.kind)
    return sa.update(deliveries).where(key & (deliveries.c.peer == one.peer))
