"""Worker processes of one machine: every partition comes back, also from under workers that die."""

import os
import signal
import subprocess
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster import local_engine
from covid_xray.cluster.partition_scorer import ScoredPartition, ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.source_listing import Entry
from covid_xray.errors import CovidXrayError
from support.archives import archive, make_bundle


@pytest.fixture
def work(tmp_path: Path) -> ScoringSetup:
    return ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(archive(tmp_path / "a", 60)))


def partitions() -> list[Partition]:
    names = [f"000/{n:06d}.png" for n in range(60)]
    return [Partition(k, tuple(Entry(name, name, 1) for name in names[10 * k : 10 * k + 10])) for k in range(6)]


def workers() -> list[int]:
    command = ["pgrep", "-P", str(os.getpid()), "-f", "spawn_main"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_workers_that_die_cost_no_partition(work: ScoringSetup) -> None:
    killed, done = 0, []
    for one in local_engine.score_partitions(iter(partitions()), work, workers=2):
        assert isinstance(one, ScoredPartition)
        done.append(one.number)
        if killed < 2:
            for process in workers()[:1]:
                os.kill(process, signal.SIGKILL)
                killed += 1
    assert killed == 2
    assert sorted(done) == list(range(6))
    deadline = time.monotonic() + 10
    while workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers()


def test_workers_that_always_die_end_the_run(
    work: ScoringSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource_tracker.ensure_running()  # begun below, it would not live either
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CovidXrayError, match="--workers 1") as caught:
        list(local_engine.score_partitions(iter(partitions()), work, workers=1))
    assert caught.value.code == "worker-died"
