"""Filter, sort and page of the worklist, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.config import Serving
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.store import tables, worklist
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.records import NewStudy, new_id, now
from covid_xray.store.store import Store, open_database
from covid_xray.store.worklist import Query
from support.bundles import grey, make_bundle

NAMES = ("a.png", "B_100%.png", "c\\d.png", "e.dcm")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("bundle") / "bundle"), threads=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, predictor: Predictor) -> Iterator[Store]:
    """Four studies, an hour apart, the first the oldest."""
    url = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    database = open_database(Serving(store=tmp_path / "store", database=url))
    opened = Store(database, ImageFiles(tmp_path / "images", quota=1 << 30), limits=Limits())
    for number, (name, label) in enumerate(zip(NAMES, ("normal", "covid", "virus", "covid"), strict=True)):
        radiograph = Radiograph(grey(label, seed=number))
        finding = predictor.predict(radiograph, class_maps=True)
        identity = new_id()
        new = NewStudy(
            id=identity,
            name=name,
            uploader="doe",
            upload_sha256="0" * 64,
            bytes=1,
            shape=radiograph.pixels.shape,
            bits=8,
            source=radiograph.source,
            finding=replace(finding, label="cannot say" if number == 3 else finding.label),
            origin="PACS" if number == 3 else None,
        )
        opened.add_many([new])
        with database.writing() as connection:
            where = tables.studies.c.id == identity
            created = now() - timedelta(hours=4 - number)
            connection.execute(sa.update(tables.studies).where(where).values(created=created))
    yield opened
    database.close()


def names(store: Store, **query: object) -> list[str]:
    return [study.name for study in worklist.page(store.database, Query(**query)).studies]


def test_order(store: Store) -> None:
    suspicions = [study.suspicion for study in worklist.page(store.database, Query()).studies]
    assert suspicions == sorted(suspicions, reverse=True)
    assert names(store)[-1] == "a.png"
    assert names(store, reverse=True)[0] == "a.png"
    assert names(store, sort="created") == list(NAMES[::-1])
    assert names(store, sort="created", reverse=True) == list(NAMES)
    assert set(names(store, sort="name")) == set(NAMES)
    assert names(store, sort="label")[0] == "e.dcm"


def test_filters(store: Store) -> None:
    assert names(store, label="covid") == ["B_100%.png"]
    assert names(store, label="cannot say") == ["e.dcm"]
    assert names(store, origin="PACS") == ["e.dcm"]
    assert names(store, since=now() - timedelta(hours=1.5)) == ["e.dcm"]
    assert names(store, until=now() - timedelta(hours=3.5)) == ["a.png"]
    assert worklist.labels(store.database) == ["cannot say", "covid", "normal", "virus"]
    assert worklist.origins(store.database) == ["PACS"]


def test_search_takes_every_character_as_it_is(store: Store) -> None:
    assert names(store, search="b_1") == ["B_100%.png"]
    assert names(store, search="%") == ["B_100%.png"]
    assert names(store, search="_") == ["B_100%.png"]
    assert names(store, search="\\") == ["c\\d.png"]
    assert names(store, search=".PNG", sort="name", label="virus") == ["c\\d.png"]
    assert names(store, search="' OR 1=1 --") == []
    assert names(store, search="a\0.png") == []
    study = worklist.page(store.database, Query(label="virus")).studies[0]
    assert names(store, search=study.id[:12].upper()) == ["c\\d.png"]


def test_no_filter_reads_rows_of_the_table(tmp_path: Path) -> None:
    """SQLite would look up each of 100,000 studies in the table, whose rows are thousands of bytes apart."""
    database = open_database(Serving(store=tmp_path / "store"))
    filters = ({}, {"search": "c"}, {"label": "covid"}, {"feedback": "none"}, {"feedback": "agree"}, {"origin": "PACS"})
    filters += ({"since": now(), "until": now()},)
    with database.reading() as connection:
        for given in filters:
            for sort in ("suspicion", "created"):
                query = Query(**given, unsaid_first=True, sort=sort)
                ids = worklist._ordered(query, worklist._where(query)).limit(26)
                explained = str(ids.compile(connection, compile_kwargs={"literal_binds": True}))
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {explained}")]
                assert len(plan) == 1, plan  # and nothing is sorted
                assert "COVERING INDEX ix_studies_" in plan[0], plan
    database.close()


def test_feedback_states(store: Store) -> None:
    page = worklist.page(store.database, Query(sort="created", reverse=True)).studies
    store.add_feedback(page[0], reader="doe", verdict="agree")
    store.add_feedback(page[1], reader="doe", verdict="correct", label="normal")
    assert set(names(store, feedback="none")) == set(NAMES[2:])
    assert set(names(store, feedback="any")) == set(NAMES[:2])
    assert names(store, feedback="agree") == ["a.png"]
    assert names(store, feedback="correct") == ["B_100%.png"]
    assert names(store, feedback="disagree") == []


def test_pages_and_neighbours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Query(sort="created")
    first = worklist.page(store.database, query, limit=3)
    last = worklist.page(store.database, query, limit=3, offset=3)
    assert (first.total, last.total) == (4, 4)
    assert worklist.page(store.database, query, limit=3, offset=9).total == 4
    assert worklist.page(store.database, query, limit=4).total == 4
    ids = [study.id for study in first.studies + last.studies]
    assert len(set(ids)) == 4
    assert worklist.neighbours(store.database, query, ids[0]) == (None, ids[1])
    assert worklist.neighbours(store.database, query, ids[2]) == (ids[1], ids[3])
    assert worklist.neighbours(store.database, query, ids[3]) == (ids[2], None)
    assert worklist.neighbours(store.database, query, "0" * 32) == (None, None)
    monkeypatch.setattr(worklist, "_CHUNK", 3)
    assert [study.id for study in worklist.every(store.database, query)] == ids
