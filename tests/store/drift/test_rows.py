"""Rows of drift monitoring: bounded, without names and times, and back as they went in, on both databases."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from covid_xray.inference.drift.checks import WINDOW, Result
from covid_xray.inference.drift.reference import MOST, REFUSED, Observation
from covid_xray.store import tables
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.drift import rows
from covid_xray.store.drift.rows import Check

MODEL = "a" * 64


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_sqlite = request.param == "sqlite"
    opened = Database(sqlite_url(tmp_path / "a.sqlite") if is_sqlite else request.getfixturevalue("postgresql"))
    yield opened
    opened.close()


def images(count: int, *, answer: str = "normal") -> list[Observation]:
    return [
        Observation(answer, 0.25, "PA", None, ("layout",), np.full(4, i, np.float32), np.full(3, i, np.float32))
        for i in range(count)
    ]


def count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(tables.drift_images)) or 0)


def move(database: Database, day: date, *, after: int = 0) -> None:
    """Make the images after an id of another day."""
    where = tables.drift_images.c.id > after
    with database.writing() as connection:
        connection.execute(sa.update(tables.drift_images).where(where).values(day=day))


def test_images_come_back_as_they_went_in(database: Database) -> None:
    rows.add(database, [*images(3), Observation(REFUSED)], model_sha256=MODEL, refused=["unreadable-file"])
    rows.add(database, images(1), model_sha256="b" * 64)
    found = rows.images_after(database, MODEL, after=0)
    assert [identity for identity, _, _ in found] == [1, 2, 3, 4]
    assert {day for _, day, _ in found} == {rows.today()}
    one = found[2][2]
    assert (one.answer, one.ill, one.view, one.vendor, one.objections) == ("normal", 0.25, "PA", None, ("layout",))
    assert one.embedding is not None
    assert one.embedding.tolist() == [2] * 4
    assert one.figures is not None
    assert one.figures.tolist() == [2] * 3
    assert found[3][2].embedding is None
    assert rows.newest_model(database) == "b" * 64


def test_counts_add_up_by_day(database: Database) -> None:
    for _ in range(2):
        rows.add(database, [*images(3), Observation(REFUSED)], model_sha256=MODEL, refused=["unreadable-file"])
    day = rows.today()
    assert rows.counts(database) == {
        "answer": {day: {"normal": 6, REFUSED: 2}},
        "objection": {day: {"layout": 6}},
        "refused": {day: {"unreadable-file": 2}},
        "vendor": {day: {"not stated": 6}},
        "view": {day: {"PA": 6}},
    }


def test_the_sample_stays_bounded(database: Database) -> None:
    for _ in range(4):
        rows.add(database, images(500), model_sha256=MODEL)
    rows.trim(database, MODEL, seen=1990)
    kept = count(database)
    assert kept <= 2 * MOST + WINDOW + 10
    assert [identity for identity, _, _ in rows.first_images(database, MODEL)] == list(range(1, MOST + 1))
    seen = rows.window(database, MODEL, after=MOST, last=1990)
    assert [identity for identity, _, _ in seen] == list(range(1891, 1991))
    assert len(rows.images_after(database, MODEL, after=1990)) == 10
    rows.trim(database, MODEL, seen=1990)
    assert count(database) == kept


def test_the_month_before_is_a_sample_of_that_month(database: Database) -> None:
    rows.add(database, images(400), model_sha256=MODEL)
    move(database, date(2026, 10, 31))
    rows.add(database, images(50), model_sha256=MODEL)
    move(database, date(2026, 11, 1), after=400)
    found = rows.month_before(database, MODEL, day=date(2026, 11, 30), after=20, before=410)
    assert len(found) == MOST
    assert {day for _, day, _ in found} == {date(2026, 10, 31)}
    assert min(identity for identity, _, _ in found) > 20
    assert rows.month_before(database, MODEL, day=date(2026, 10, 1), after=0, before=999) == []


def test_a_check_is_stored_once(database: Database) -> None:
    result = Result("answers", "commissioning", 0.2, 0.0001, 1.25)
    check = Check(25, date(2026, 11, 30), 25, 0.5, 0.0, "prevalence", (result,))
    assert rows.add_check(database, check, model_sha256=MODEL)
    assert not rows.add_check(database, check, model_sha256=MODEL)
    assert rows.checks(database, MODEL) == [check]
    assert check.alarms == (result,)
    assert rows.checks(database, "b" * 64) == []


def test_no_column_holds_a_name_or_a_time() -> None:
    for table in (tables.drift_images, tables.drift_counts, tables.drift_checks):
        assert not [column for column in table.columns if isinstance(column.type, sa.DateTime | tables.UtcTime)]
    columns = set(tables.drift_images.columns.keys())
    assert columns == {
        *("id", "day", "model_sha256", "chance", "answer", "ill", "view", "vendor", "objections"),
        *("embedding", "figures"),
    }
