"""Inputs that crash workers: all others are scored, and the guilty ones are named."""

import subprocess
from pathlib import Path

import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster import crash_isolation
from covid_xray.cluster.partition_scorer import PartitionScorer, ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.source_listing import Entry
from covid_xray.errors import CovidXrayError
from support.archives import archive, make_bundle
from support.poison import poisoned


def part(count: int) -> Partition:
    return Partition(0, tuple(Entry(f"000/{n:06d}.png", f"000/{n:06d}.png", 100) for n in range(count)))


def found(chunks) -> list:
    return [row for chunk in chunks for row in chunk.rows]


def test_without_a_death_it_answers_as_any_worker_does(tmp_path: Path) -> None:
    archive(tmp_path / "a", 40)
    work = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path / "a"))
    here, there = PartitionScorer(work), [row.answer for row in found(crash_isolation.score_isolated(work, part(40)))]
    plain = [row.answer for row in found(here.score_batches(part(40)))]
    assert [(a.image, a.probabilities) for a in there] == [(a.image, a.probabilities) for a in plain]


def test_deadly_inputs_fail_and_all_others_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in poisoned(tmp_path).items():
        monkeypatch.setenv(name, value)
    work = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path / "films"))
    answers = [row.answer for row in found(crash_isolation.score_isolated(work, part(40)))]
    assert [a.image for a in answers] == [entry.name for entry in part(40).entries]
    failed = {a.image: a.code for a in answers if hasattr(a, "code")}
    assert failed == {"000/000005.png": "gave-up", "000/000021.png": "gave-up"}


def test_an_error_of_the_child_is_the_callers(tmp_path: Path) -> None:
    work = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path / "gone"))
    with pytest.raises(CovidXrayError) as caught:
        found(crash_isolation.score_isolated(work, part(3)))
    assert caught.value.code == "source-lost"


def test_children_that_never_begin_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(1)")
    work = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CovidXrayError, match="3 workers in a row died") as caught:
        found(crash_isolation.score_isolated(work, part(3)))
    assert caught.value.code == "worker-died"


def test_a_child_that_dies_before_it_reads_breaks_no_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(subprocess.Popen):
        """A child that is gone before anything is written to it, as on a busy machine."""

        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            self.wait()

    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(1)")
    setup = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", Dead)
    with pytest.raises(CovidXrayError) as caught:
        found(crash_isolation.score_isolated(setup, part(3)))
    assert caught.value.code == "worker-died"
