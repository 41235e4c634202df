"""Write and read the rows of drift monitoring: images, counts by day, checks."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from covid_xray.inference.drift.checks import EVERY, WINDOW, Kind, Result
from covid_xray.inference.drift.reference import MOST, REFUSED, Observation
from covid_xray.store import tables
from covid_xray.store.database import Database, insert_once

MOST_CHECKS = 2000  # that are kept
COUNTED_DAYS = 400  # that counts are kept
_IMAGES, _COUNTS, _CHECKS = tables.drift_images, tables.drift_counts, tables.drift_checks


@dataclass(frozen=True)
class Check:
    """The tests of one look.

    Args:
        id: of the newest image that it looked at.
        day: of that image.
        images: of this network until then, without those of a reference of first images.
        up, down: the sums of the CUSUM after it.
        kind: of the change; `None` without an alarm.
        results: of each test.
    """

    id: int
    day: date
    images: int
    up: float
    down: float
    kind: Kind | None
    results: tuple[Result, ...]

    @property
    def alarms(self) -> tuple[Result, ...]:
        """Return the results that passed their limits."""
        return tuple(result for result in self.results if result.alarm)


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def add(database: Database, new: Sequence[Observation], *, model_sha256: str, refused: Iterable[str] = ()) -> None:
    """Store images in order and count them. Raises `Busy`, `StoreFull`.

    Args:
        database: of the store.
        new: images, refused files among them.
        model_sha256: of the network that answered.
        refused: error codes of the refused files, which are counted.
    """
    day = today()
    counts = Counter(("refused", code) for code in refused)
    for one in new:
        counts[("answer", one.answer)] += 1
        counts.update(("objection", name) for name in one.objections)
        if one.answer != REFUSED:
            counts.update([("view", one.view or "not stated"), ("vendor", one.vendor or "not stated")])
    with database.writing() as connection:
        if new:
            rows = [{"day": day, "model_sha256": model_sha256, **_as_row(one)} for one in new]
            connection.execute(sa.insert(_IMAGES), rows)
        for (kind, name), images in sorted(counts.items()):
            key = {"day": day, "kind": kind, "name": name}
            if not insert_once(connection, _COUNTS, {**key, "images": images}):
                where = (_COUNTS.c.day == day) & (_COUNTS.c.kind == kind) & (_COUNTS.c.name == name)
                connection.execute(sa.update(_COUNTS).where(where).values(images=_COUNTS.c.images + images))
        connection.execute(sa.delete(_COUNTS).where(_COUNTS.c.day < day - timedelta(days=COUNTED_DAYS)))


def first_images(database: Database, model_sha256: str) -> list[tuple[int, date, Observation]]:
    """Read the first images of a network, at most `MOST`, which are kept for ever."""
    return _read(database, _rows_of(model_sha256).order_by(_IMAGES.c.id).limit(MOST))


def images_after(database: Database, model_sha256: str, *, after: int) -> list[tuple[int, date, Observation]]:
    """Read the next `EVERY` images of a network after an id, oldest first."""
    return _read(database, _rows_of(model_sha256).where(_IMAGES.c.id > after).order_by(_IMAGES.c.id).limit(EVERY))


def window(database: Database, model_sha256: str, *, after: int, last: int) -> list[tuple[int, date, Observation]]:
    """Read the newest `WINDOW` images of a network with ids above `after` up to `last`."""
    where = (_IMAGES.c.id > after) & (_IMAGES.c.id <= last)
    return _read(database, _rows_of(model_sha256).where(where).order_by(_IMAGES.c.id.desc()).limit(WINDOW))[::-1]


def month_before(
    database: Database, model_sha256: str, *, day: date, after: int, before: int
) -> list[tuple[int, date, Observation]]:
    """Read the sample, at most `MOST`, of the calendar month before that of `day`, with ids between two others."""
    last = day.replace(day=1) - timedelta(days=1)
    where = (_IMAGES.c.day >= last.replace(day=1)) & (_IMAGES.c.day <= last)
    where &= (_IMAGES.c.id > after) & (_IMAGES.c.id < before)
    return _read(database, _rows_of(model_sha256).where(where).order_by(_IMAGES.c.chance).limit(MOST))


def add_check(database: Database, check: Check, *, model_sha256: str) -> bool:
    """Store a check; return whether no other process had stored it."""
    facts = {name: getattr(check, name) for name in ("id", "day", "images", "up", "down", "kind")}
    results = [asdict(result) for result in check.results]
    with database.writing() as connection:
        is_new = insert_once(connection, _CHECKS, {**facts, "model_sha256": model_sha256, "results": results})
        oldest = sa.select(_CHECKS.c.id).order_by(_CHECKS.c.id.desc()).offset(MOST_CHECKS)
        connection.execute(sa.delete(_CHECKS).where(_CHECKS.c.id.in_(oldest)))
    return is_new


def checks(database: Database, model_sha256: str, *, limit: int = MOST_CHECKS) -> list[Check]:
    """Read the newest checks of a network, oldest first."""
    query = sa.select(_CHECKS).where(_CHECKS.c.model_sha256 == model_sha256).order_by(_CHECKS.c.id.desc()).limit(limit)
    with database.reading() as connection:
        return [_as_check(row) for row in connection.execute(query).mappings()][::-1]


def newest_alarm(database: Database, model_sha256: str, *, since: date) -> Check | None:
    """Read the newest check with an alarm from a day on; `None` without one."""
    where = (_CHECKS.c.model_sha256 == model_sha256) & _CHECKS.c.kind.is_not(None) & (_CHECKS.c.day >= since)
    query = sa.select(_CHECKS).where(where).order_by(_CHECKS.c.id.desc()).limit(1)
    with database.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _as_check(row)


def newest_model(database: Database) -> str | None:
    """Return the SHA-256 of the network that answered the newest image; `None` without any."""
    with database.reading() as connection:
        return connection.scalar(sa.select(_IMAGES.c.model_sha256).order_by(_IMAGES.c.id.desc()).limit(1))


def counts(database: Database) -> dict[str, dict[date, dict[str, int]]]:
    """Read the counts: kind to day to name to images, in the order of the days."""
    found: dict[str, dict[date, dict[str, int]]] = {}
    with database.reading() as connection:
        for row in connection.execute(sa.select(_COUNTS).order_by(_COUNTS.c.day, _COUNTS.c.name)):
            found.setdefault(row.kind, {}).setdefault(row.day, {})[row.name] = row.images
    return found


def trim(database: Database, model_sha256: str, *, seen: int) -> None:
    """Delete what no test needs any more.

    The first images, the newest `WINDOW` up to the id `seen`, all after it, and the sample of this month and the one
    before are kept.
    """
    columns = (_IMAGES.c.id, _IMAGES.c.day, _IMAGES.c.chance)
    with database.writing() as connection:
        query = sa.select(*columns).where(_IMAGES.c.model_sha256 == model_sha256).order_by(_IMAGES.c.id)
        rows = connection.execute(query).all()
        keep = {row.id for row in rows[:MOST]} | {row.id for row in rows if row.id > seen}
        keep |= {row.id for row in [row for row in rows if row.id <= seen][-WINDOW:]}
        months = sorted({(row.day.year, row.day.month) for row in rows})[-2:]
        for month in months:
            of_month = sorted((row.chance, row.id) for row in rows if (row.day.year, row.day.month) == month)
            keep |= {identity for _, identity in of_month[:MOST]}
        gone = [row.id for row in rows if row.id not in keep]
        if gone:
            delete = sa.delete(_IMAGES).where(_IMAGES.c.id == sa.bindparam("gone"))
            connection.execute(delete, [{"gone": identity} for identity in gone])


def _rows_of(model_sha256: str) -> sa.Select[Any]:
    return sa.select(_IMAGES).where(_IMAGES.c.model_sha256 == model_sha256)


def _read(database: Database, query: sa.Select[Any]) -> list[tuple[int, date, Observation]]:
    with database.reading() as connection:
        return [(row.id, row.day, _as_observation(row)) for row in connection.execute(query)]


def _as_row(one: Observation) -> dict[str, Any]:
    return {
        "chance": random.random(),
        **{name: getattr(one, name) for name in ("answer", "ill", "view", "vendor")},
        "objections": list(one.objections),
        "embedding": None if one.embedding is None else one.embedding.astype("<f2").tobytes(),
        "figures": None if one.figures is None else one.figures.astype("<f4").tobytes(),
    }


def _as_observation(row: Any) -> Observation:
    def unpacked(data: bytes | None, kind: str) -> NDArray[np.float32] | None:
        return None if data is None else np.frombuffer(data, kind).astype(np.float32)

    packed = unpacked(row.embedding, "<f2"), unpacked(row.figures, "<f4")
    return Observation(row.answer, row.ill, row.view, row.vendor, tuple(row.objections), *packed)


def _as_check(row: Any) -> Check:
    facts = {name: row[name] for name in ("id", "day", "images", "up", "down", "kind")}
    return Check(**facts, results=tuple(Result(**result) for result in row["results"]))
