"""A store that watches its answers: a reference is collected, a change is noticed, named, logged once and kept."""

import dataclasses
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from covid_xray.errors import Busy, UsageError
from covid_xray.images.appearance import Appearance
from covid_xray.inference.drift.checks import EVERY
from covid_xray.inference.drift.reference import MOST, Reference
from covid_xray.inference.finding import Failure, Finding, ModelIdentity
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.drift import monitor, rows
from covid_xray.store.drift.monitor import COMMISSIONING, FIRST, DriftMonitor, Status

MODEL = "c" * 64


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "a.sqlite"))
    yield opened
    opened.close()


def findings(count: int, *, seed: int, shift: float = 0.0, ill: float = 0.2) -> Iterator[Finding]:
    """Answers of a network with eight features; `shift` moves features and figures, `ill` the share of the ill."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        p = float(np.clip((rng.random() < ill) * 0.7 + rng.normal(0.15, 0.05), 0.01, 0.99))
        label = "covid" if p > 0.5 else "normal"
        figures = Appearance((rng.normal(shift, 1, 5)).astype(np.float32), view="PA", vendor="GE")
        yield Finding(
            image="doe.png",
            probabilities={"covid": p, "normal": 1 - p},
            label=label,
            reasons=(),
            prediction_set=None,
            gate=None,
            model=ModelIdentity("small", "1", MODEL),
            embedding=rng.normal(shift + 2 * p, 1, 8).astype(np.float32),
            appearance=figures,
        )


def feed(watched: DriftMonitor, answers: Iterator[Finding]) -> list[rows.Check]:
    for answer in answers:
        watched.note(answer)
    return watched.flush()


def reference() -> Reference:
    return Reference.from_findings(findings(MOST, seed=1), model_sha256=MODEL)


def test_without_commissioning_the_first_images_are_the_reference(database: Database) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL)
    assert feed(watched, findings(280, seed=2)) == []
    assert watched.status() == Status(FIRST, 280, (), None)
    assert "there are 280" in watched.status().words
    assert len(feed(watched, findings(70, seed=3))) == 2
    found = watched.status()
    assert found.ready
    assert found.reference == FIRST
    assert [check.images for check in found.checks] == [25, 50]
    assert {result.against for result in found.checks[-1].results} == {FIRST}
    assert found.words == "No alarm in the last 7 days; 50 images were watched."


def test_a_change_is_named_logged_once_and_kept(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL, reference=reference())
    with caplog.at_level(logging.WARNING, "covid_xray.drift"):
        assert [check.kind for check in feed(watched, findings(100, seed=4))] == [None] * 4
        assert not caplog.records
        kinds = [check.kind for check in feed(watched, findings(100, seed=5, shift=1.0))]
    assert kinds[-1] == "appearance"
    lines = [record.getMessage() for record in caplog.records]
    assert lines
    assert len(lines) == len(set(lines)) < 4
    assert "appearance" in lines[0]
    assert "doe" not in "".join(lines)
    found = watched.status()
    assert found.reference == COMMISSIONING
    assert found.alarm == found.checks[-1]
    assert found.words == monitor.describe(found.checks[-1])


def test_an_alarm_is_in_force_for_a_week(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL, reference=reference())
    feed(watched, findings(100, seed=5, shift=1.0))
    day = rows.today()
    monkeypatch.setattr(rows, "today", lambda: day + monitor.timedelta(days=7))
    assert watched.status().alarm
    monkeypatch.setattr(rows, "today", lambda: day + monitor.timedelta(days=8))
    assert watched.status().alarm is None


def test_more_of_the_ill_is_a_change_of_prevalence(database: Database) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL, reference=reference())
    assert feed(watched, findings(100, seed=6, ill=0.6))[-1].kind == "prevalence"
    words = watched.status().words
    assert "prevalence" in words
    assert "positives (against commissioning)" in words


def test_many_refused_files_are_an_alarm(database: Database) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL, reference=reference())
    for number, answer in enumerate(findings(100, seed=7)):
        watched.note(Failure("doe.dcm", "unreadable-file", "no") if number % 3 == 0 else answer)
    last = watched.flush()[-1]
    assert "answers" in {result.test for result in last.alarms}
    assert rows.counts(database)["refused"][rows.today()] == {"unreadable-file": 34}


def test_last_month_is_compared_with_too(database: Database) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL, reference=reference())
    feed(watched, findings(100, seed=8))
    last_month = rows.today().replace(day=1) - monitor.timedelta(days=1)
    with database.writing() as connection:
        connection.execute(rows.sa.update(rows._IMAGES).values(day=last_month))
    check = feed(watched, findings(100, seed=9, shift=1.0))[-1]
    assert {result.against for result in check.results} == {COMMISSIONING, monitor.MONTH}
    assert {result.against for result in check.alarms} >= {COMMISSIONING, monitor.MONTH}


def test_two_processes_share_a_store(database: Database) -> None:
    """A server and a DICOM node note answers at the same time: every look is stored once."""
    known = reference()
    watchers = [DriftMonitor(database, model_sha256=MODEL, reference=known) for _ in range(2)]

    def work(number: int) -> None:
        for part in range(2):
            feed(watchers[number], findings(25, seed=10 * number + part))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for watched in watchers:
        feed(watched, findings(1, seed=1))
    checks = watchers[0].status().checks
    assert [check.images for check in checks] == [EVERY * (i + 1) for i in range(4)]


def test_what_a_busy_database_refuses_is_stored_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = DriftMonitor(database, model_sha256=MODEL, reference=reference())

    def refuse(*_: object, **__: object) -> None:
        raise Busy("The database does not answer.", code="store-unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "add", refuse)
        with pytest.raises(Busy):
            feed(watched, findings(30, seed=1))
    assert len(watched.flush()) == 1


def test_another_network_needs_another_reference(database: Database) -> None:
    with pytest.raises(UsageError, match="another network"):
        DriftMonitor(database, model_sha256="d" * 64, reference=reference())
    other = dataclasses.replace(reference(), model_sha256="d" * 64)
    assert DriftMonitor(database, model_sha256="d" * 64, reference=other).flush() == []
