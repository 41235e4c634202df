"""What the store confirms is on disk, and what it does not confirm leaves nothing; on SQLite and on PostgreSQL."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from covid_xray.config import Serving
from covid_xray.errors import InputRefused, NotFound, StoreFull
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.store import tables
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.records import Key, NewStudy, Study, new_id, now
from covid_xray.store.store import Store, open_database
from support.bundles import grey, make_bundle


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("bundle") / "bundle"), threads=1)


def open_store(folder: Path, url: str | None = None, *, quota: int = 1 << 30) -> Store:
    database = open_database(Serving(store=folder, database=url))
    return Store(database, ImageFiles(folder / "images", quota=quota), limits=Limits())


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    opened = open_store(tmp_path / "store", url)
    yield opened
    opened.database.close()


def put(store: Store, predictor: Predictor, label: str = "covid", **changes: object) -> NewStudy:
    """A study whose image file is written, not yet in the database."""
    radiograph = Radiograph(grey(label))
    identity = new_id()
    new = NewStudy(
        id=identity,
        name="chest.png",
        uploader="doe",
        upload_sha256="0" * 64,
        bytes=store.images.put(identity, radiograph),
        shape=radiograph.pixels.shape,
        bits=8,
        source=ImageSource(format="PNG", view="PA"),
        finding=predictor.predict(radiograph, class_maps=True),
        thresholds={"covid": {"balanced": 0.5}},
    )
    return replace(new, **changes)


def add(store: Store, new: NewStudy) -> Study:
    (stored,) = store.add_many([new])
    assert isinstance(stored, Study)
    return stored


def images(store: Store) -> list[str]:
    return sorted(path.name for path in store.images.folder.iterdir())


def test_what_was_stored_comes_back(store: Store, predictor: Predictor) -> None:
    new = put(store, predictor, origin="AE", study_uid="1.2.3", sop_uid="1.2.4")
    study = add(store, new)
    again = store.study(new.id)
    assert vars(study) == vars(again)
    assert (again.name, again.uploader, again.format, again.view) == ("chest.png", "doe", "PNG", "PA")
    assert (again.height, again.width, again.bits) == (40, 30, 8)
    assert (again.origin, again.study_uid, again.sop_uid) == ("AE", "1.2.3", "1.2.4")
    assert again.label == "covid"
    assert again.probabilities == pytest.approx(new.finding.probabilities, abs=1e-6)
    assert again.suspicion == pytest.approx(1 - new.finding.probabilities["normal"], abs=1e-6)
    assert again.finding["thresholds"] == {"covid": {"balanced": 0.5}}
    assert again.model == predictor.identity
    assert (now() - again.created).total_seconds() < 60
    assert np.array_equal(store.radiograph(again).pixels, grey("covid"))
    maps = new.finding.class_maps
    assert maps is not None
    assert np.abs(store.class_maps(again) - maps).max() <= maps.max() / 255


def test_images_are_for_their_owner_only(store: Store, predictor: Predictor) -> None:
    study = add(store, put(store, predictor))
    path = store.images.folder / f"{study.id}.png"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.images.folder.stat().st_mode) == 0o700
    assert "chest" not in json.dumps(images(store))


def test_many_studies_are_one_transaction(store: Store, predictor: Predictor) -> None:
    new = [put(store, predictor, label) for label in ("covid", "normal", "virus")]
    stored = store.add_many(new)
    assert [study.id for study in stored if isinstance(study, Study)] == [study.id for study in new]


def test_a_failed_transaction_stores_nothing(store: Store, predictor: Predictor) -> None:
    good, bad = put(store, predictor), put(store, predictor)
    twice = replace(bad, id=good.id)
    with pytest.raises(Exception, match="The database refused"):
        store.add_many([good, twice])
    with pytest.raises(NotFound):
        store.study(good.id)


def test_the_same_key_gives_the_same_study(store: Store, predictor: Predictor) -> None:
    key = Key("a" * 64, "b" * 64)
    first = add(store, put(store, predictor, key=key))
    second = add(store, put(store, predictor, key=key))
    assert second.id == first.id
    assert images(store) == [f"{first.id}.png"]
    assert store.result_of_key(key) == first.id
    other = Key("a" * 64, "c" * 64)
    fine, refused = put(store, predictor), put(store, predictor, key=other)
    stored, problem = store.add_many([fine, refused])
    assert isinstance(stored, Study)
    assert isinstance(problem, InputRefused)
    assert problem.code == "key-reused"
    assert images(store) == sorted([f"{first.id}.png", f"{fine.id}.png"])
    with pytest.raises(InputRefused):
        store.result_of_key(other)


def test_two_uploads_with_one_key_in_one_transaction(store: Store, predictor: Predictor) -> None:
    key = Key("a" * 64, "b" * 64)
    first, second = store.add_many([put(store, predictor, key=key), put(store, predictor, key=key)])
    assert isinstance(first, Study)
    assert isinstance(second, Study)
    assert first.id == second.id
    assert len(images(store)) == 1


def test_a_key_of_a_deleted_study_is_free_again(store: Store, predictor: Predictor) -> None:
    key = Key("a" * 64, "b" * 64)
    first = add(store, put(store, predictor, key=key))
    store.delete(first.id)
    assert store.result_of_key(key) is None
    assert add(store, put(store, predictor, key=key)).id != first.id


def test_delete_takes_image_and_feedback(store: Store, predictor: Predictor) -> None:
    study = add(store, put(store, predictor))
    store.add_feedback(study, reader="doe", verdict="agree")
    store.delete(study.id)
    assert images(store) == []
    assert store.feedback() == []
    assert store.images.used == 0
    for call in (store.study, store.delete):
        with pytest.raises(NotFound):
            call(study.id)
    for call in (store.radiograph, store.class_maps):
        with pytest.raises(NotFound):
            call(study)
    with pytest.raises(NotFound):
        store.add_feedback(study, reader="doe", verdict="agree")


def test_feedback_is_kept_with_time_and_model(store: Store, predictor: Predictor) -> None:
    study = add(store, put(store, predictor))
    store.add_feedback(study, reader="doe", verdict="disagree")
    said = store.add_feedback(study, reader="roe", verdict="correct", label="normal", note="old\0scar\nseen 2019")
    assert store.feedback(study.id)[1] == said
    assert said.note == "old scar\nseen 2019"
    assert said.model == predictor.identity
    assert store.study(study.id).verdict == "correct"
    assert [one.verdict for one in store.feedback()] == ["disagree", "correct"]


@pytest.mark.parametrize(
    "said",
    [
        {"verdict": "correct"},
        {"verdict": "agree", "label": "covid"},
        {"verdict": "correct", "label": "flu"},
        {"verdict": "disagree", "label": "normal"},
    ],
)
def test_feedback_that_says_nothing_clear_is_refused(store: Store, predictor: Predictor, said: dict) -> None:
    study = add(store, put(store, predictor))
    with pytest.raises(InputRefused) as refusal:
        store.add_feedback(study, reader="doe", **said)
    assert refusal.value.code == "bad-feedback"
    assert store.feedback() == []


def test_old_studies_expire_and_new_ones_stay(store: Store, predictor: Predictor) -> None:
    old, young = add(store, put(store, predictor)), add(store, put(store, predictor))
    with store.database.writing() as connection:
        where = tables.studies.c.id == old.id
        connection.execute(sa.update(tables.studies).where(where).values(created=now() - timedelta(hours=3)))
    assert store.expire(hours=0) == 0
    assert store.expire(hours=4) == 0
    assert store.expire(hours=2) == 1
    assert images(store) == [f"{young.id}.png"]
    with pytest.raises(NotFound):
        store.study(old.id)


def test_keys_live_for_a_day(store: Store, predictor: Predictor) -> None:
    key = Key("a" * 64, "b" * 64)
    add(store, put(store, predictor, key=key))
    with store.database.writing() as connection:
        connection.execute(sa.update(tables.keys).values(created=now() - timedelta(hours=25)))
    store.expire(hours=0)
    assert store.result_of_key(key) is None


def test_images_without_a_study_are_cleared(store: Store, predictor: Predictor) -> None:
    study = add(store, put(store, predictor))
    put(store, predictor)
    put(store, predictor)
    assert len(images(store)) == 3
    assert store.clear_orphans() == 2
    assert images(store) == [f"{study.id}.png"]
    assert store.clear_orphans() == 0


def test_a_name_that_no_database_takes_is_made_one(store: Store, predictor: Predictor) -> None:
    study = add(store, put(store, predictor, name="a\0b\n\ud800" + "x" * 400))
    assert study.name.startswith("a b")
    assert len(study.name) <= 200


def test_numbers_that_are_none_come_first(store: Store, predictor: Predictor) -> None:
    new = put(store, predictor)
    broken = replace(new.finding, probabilities=dict.fromkeys(new.finding.probabilities, float("nan")))
    maps = np.full_like(new.finding.class_maps, np.nan)
    study = add(store, replace(new, finding=replace(broken, class_maps=maps)))
    assert set(study.probabilities.values()) == {None}
    assert study.suspicion == 1.0
    assert not store.class_maps(study).any()


def test_quota_refuses_and_leaves_nothing(tmp_path: Path, predictor: Predictor) -> None:
    small = open_store(tmp_path / "store", quota=1500)
    add(small, put(small, predictor))
    before, used = images(small), small.images.used
    with pytest.raises(StoreFull):
        put(small, predictor)
    assert small.images.used == used
    assert images(small) == before
    small.database.close()


def test_quota_counts_what_was_there_before(tmp_path: Path, predictor: Predictor) -> None:
    first = open_store(tmp_path / "store")
    add(first, put(first, predictor))
    first.database.close()
    second = open_store(tmp_path / "store")
    assert second.images.used == first.images.used > 0
    second.database.close()


def test_sqlite_file_is_for_its_owner_only(tmp_path: Path, predictor: Predictor) -> None:
    before = os.umask(0)
    try:
        opened = open_store(tmp_path / "store")
        add(opened, put(opened, predictor))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").glob("studies*")}
    finally:
        os.umask(before)
    opened.database.close()
    assert set(modes.values()) == {0o600}, modes
    assert "studies.sqlite-wal" in modes
