"""Count and log what the node refuses: why, and from which AE title and address.

A sender that repeats itself adds to a count. It gets a line in the log at once and then at most one a minute, so that
neither a full disk nor a broken sender fills the log.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from covid_xray.errors import CovidXrayError
from covid_xray.pacs.settings import AE_TITLE
from covid_xray.store.database import Database, insert_once
from covid_xray.store.records import now
from covid_xray.store.tables import refusals

OTHERS = "others"  # in place of AE title and address, once there are too many
_MOST = 1000  # rows
_LOG_SECONDS = 60.0  # between two lines about the same refusal
_FLUSH_SECONDS = 1.0
_LOG = logging.getLogger("covid_xray.pacs")
_Key = tuple[str, str, str]  # code, AE title, address


@dataclass(frozen=True)
class Refusal:
    """How often one sender was refused for one reason, and when last; the AE title is empty where none was given."""

    code: str
    ae_title: str
    address: str
    count: int
    last: datetime


class RefusalLog:
    """The refusals of one node. Thread-safe."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock, self._lock = database, clock, threading.Lock()
        self._known = {(one.code, one.ae_title, one.address) for one in read_refusals(database)}
        self._new: Counter[_Key] = Counter()
        self._unlogged: Counter[_Key] = Counter()
        self._logged: dict[_Key, float] = {}
        self._flushed = clock()

    def note(self, code: str, reason: str, *, ae_title: str = "", address: str = "") -> None:
        """Count one refusal. `reason` is a sentence without anything of the refused data."""
        title = ae_title if not ae_title or AE_TITLE.fullmatch(ae_title) else "invalid"
        with self._lock:
            key = self._bounded((code[:64], title, address[:64]))
            self._new[key] += 1
            self._unlogged[key] += 1
            moment = self._clock()
            if moment - self._logged.get(key, -_LOG_SECONDS) < _LOG_SECONDS:
                return
            self._logged[key], count = moment, self._unlogged.pop(key)
        times = f", {count} times" if count > 1 else ""
        _LOG.warning("refused from %s at %s%s (%s): %s", key[1] or "unnamed", key[2] or "?", times, code, reason)

    def flush(self, *, force: bool = False) -> None:
        """Add what was counted since the last call to the database, at most once a second unless forced.

        A database that does not answer keeps the counts for the next call.
        """
        with self._lock:
            if not self._new or not (force or self._clock() - self._flushed >= _FLUSH_SECONDS):
                return
            new, self._new, self._flushed = self._new, Counter(), self._clock()
        try:
            with self._database.writing() as connection:
                for key, count in new.items():
                    _add(connection, key, count)
        except CovidXrayError:
            with self._lock:
                self._new.update(new)

    def _bounded(self, key: _Key) -> _Key:
        if key not in self._known and len(self._known) >= _MOST:
            key = (key[0], OTHERS, OTHERS)
        self._known.add(key)
        return key


def read_refusals(database: Database) -> list[Refusal]:
    """Return all refusals, the most frequent first. Raises `Busy`."""
    columns = [refusals.c[name] for name in Refusal.__dataclass_fields__]
    with database.reading() as connection:
        return [Refusal(*row) for row in connection.execute(sa.select(*columns).order_by(refusals.c.count.desc()))]


def _add(connection: sa.Connection, key: _Key, count: int) -> None:
    values = dict(zip(("code", "ae_title", "address"), key, strict=True))
    if insert_once(connection, refusals, {**values, "count": count, "last": now()}):
        return
    same = sa.and_(*(refusals.c[name] == value for name, value in values.items()))
    connection.execute(sa.update(refusals).where(same).values(count=refusals.c.count + count, last=now()))
