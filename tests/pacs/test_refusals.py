"""Refusals are counted by reason and sender, logged now and then, and bounded in number."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from covid_xray.errors import Busy
from covid_xray.pacs import refusals
from covid_xray.pacs.refusals import RefusalLog, read_refusals
from covid_xray.store.database import Database, sqlite_url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield opened
    opened.close()


class Clock:
    moment = 0.0

    def __call__(self) -> float:
        return self.moment


def counts(database: Database) -> dict[tuple[str, str, str], int]:
    return {(one.code, one.ae_title, one.address): one.count for one in read_refusals(database)}


def test_counts_add_up_over_restarts(database: Database) -> None:
    for _ in range(2):
        log = RefusalLog(database)
        for _ in range(3):
            log.note("busy", "Too many objects wait.", ae_title="MODALITY", address="10.0.0.7")
        log.note("unknown-caller", "Not one of `callers`.", ae_title="STRANGER", address="10.0.0.8")
        log.flush(force=True)
    assert counts(database) == {("busy", "MODALITY", "10.0.0.7"): 6, ("unknown-caller", "STRANGER", "10.0.0.8"): 2}
    assert [one.code for one in read_refusals(database)] == ["busy", "unknown-caller"]


def test_a_sender_that_repeats_itself_has_a_line_a_minute(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(database, clock=clock)
    for second in range(600):
        clock.moment = second / 5  # two minutes
        log.note("store-full", "The disk is full.", ae_title="MODALITY", address="10.0.0.7")
    assert [line.message for line in caplog.records] == [
        "refused from MODALITY at 10.0.0.7 (store-full): The disk is full.",
        "refused from MODALITY at 10.0.0.7, 300 times (store-full): The disk is full.",
    ]
    log.note("store-full", "The disk is full.", ae_title="OTHER", address="10.0.0.8")
    assert len(caplog.records) == 3


def test_nobody_fills_the_table_by_inventing_names(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_MOST", 5)
    logging.getLogger("covid_xray.pacs").disabled = True
    try:
        log = RefusalLog(database)
        for number in range(50):
            log.note("unknown-caller", "x", ae_title=f"A{number}", address="10.0.0.7")
        log.note("unknown-caller", "x", ae_title="A1", address="10.0.0.7")
        log.flush(force=True)
    finally:
        logging.getLogger("covid_xray.pacs").disabled = False
    found = counts(database)
    assert len(found) == 6
    assert found["unknown-caller", "others", "others"] == 45
    assert found["unknown-caller", "A1", "10.0.0.7"] == 2


def test_a_title_that_is_none_is_not_repeated(database: Database) -> None:
    log = RefusalLog(database)
    log.note("unknown-caller", "x", ae_title="A\\B\nC", address="10.0.0.7")
    log.flush(force=True)
    assert [*counts(database)] == [("unknown-caller", "invalid", "10.0.0.7")]


def test_a_database_that_does_not_answer_loses_no_count(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> None:
        raise Busy("not now")

    log = RefusalLog(database)
    log.note("busy", "x")
    with monkeypatch.context() as patch:
        patch.setattr(database, "writing", busy)
        log.flush(force=True)
    assert counts(database) == {}
    log.flush(force=True)
    assert counts(database) == {("busy", "", ""): 1}
