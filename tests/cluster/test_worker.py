from pathlib import Path

import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster import crash_isolation
from covid_xray.cluster.partition_scorer import ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.source_listing import Entry
from covid_xray.cluster.worker import Worker
from covid_xray.errors import InputRefused
from support.archives import archive, make_bundle

PART = Partition(3, (Entry("000/000000.png", "000/000000.png", 1), Entry("000/000001.png", "000/000001.png", 1)))


@pytest.fixture
def work(tmp_path: Path) -> ScoringSetup:
    return ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(archive(tmp_path / "a", 2)))


def test_a_partition_is_the_same_at_the_first_try_and_with_care(work: ScoringSetup) -> None:
    worker = Worker(work)
    first, third = (worker.score(PART, attempt=attempt) for attempt in (1, crash_isolation.ISOLATE_FROM))
    assert first.files["answers"] == third.files["answers"]
    assert (first.number, first.entries, first.size) == (3, 2, 2)


def test_an_error_is_handed_back(work: ScoringSetup, tmp_path: Path) -> None:
    worker = Worker(work)
    (tmp_path / "a").rename(tmp_path / "gone")
    error = worker.score(PART, attempt=1)
    assert isinstance(error, InputRefused)
    assert error.code == "source-lost"
