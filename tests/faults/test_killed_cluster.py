"""`score --engine ray` on a cluster that loses nodes and workers: one row for each input, the bytes of a local run.

A few hundred inputs by default; `COVID_XRAY_CLUSTER_KILLS=10` is the long form, 20,000 inputs ten times over.
"""

import json
import os
import random
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from covid_xray.cluster import local_engine, ray_engine
from covid_xray.cluster.parquet_rows import checksum
from covid_xray.cluster.score import ScoringRequest, score
from support.archives import archive, make_bundle, rows
from support.clusters import cluster, kill_worker, remove_node

ROUNDS = int(os.environ.get("COVID_XRAY_CLUSTER_KILLS", "1"))
INPUTS = 20_000 if ROUNDS >= 10 else 240
pytestmark = [
    pytest.mark.timeout(300 + 900 * ROUNDS),
    # Ray leaves pipes of nodes that were removed, and a thread that its own shutdown meets.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """films, bundle and the results of an undisturbed local run."""
    root = tmp_path_factory.mktemp("whole")
    films = archive(root / "films", INPUTS - 2)
    (films / "000" / "broken.png").write_bytes(b"no image")
    (films / "000" / "empty.png").write_bytes(b"")
    job = ScoringRequest(str(films), root / "local", bundle=make_bundle(root / "bundle"))
    score(job, engine=partial(local_engine.score_partitions, workers=2), name="local")
    return root


def files(out: Path, kind: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / kind).iterdir()}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nodes_and_workers_may_die_at_any_moment(whole: Path, tmp_path: Path, number: int) -> None:
    draw = random.Random(number)
    job = ScoringRequest(str(whole / "films"), tmp_path / "out", bundle=whole / "bundle")
    failed: list[BaseException] = []
    started = threading.Event()

    def run() -> None:
        try:
            score(job, engine=ray_engine.score_partitions, name="ray", watch=lambda state: started.set())
        except BaseException as error:
            failed.append(error)

    lost = {"workers": 0, "nodes": 0}
    with cluster(2) as made:
        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            # The first strike while the first partitions are under way, then at random.
            wait = draw.uniform(0, 0.3) if not any(lost.values()) else draw.uniform(2, 20 if ROUNDS > 1 else 4)
            started.wait(timeout=120)
            thread.join(timeout=wait)
            if thread.is_alive() and (lost["nodes"] > lost["workers"] or draw.random() < 0.5):
                lost["workers"] += kill_worker(draw)
            elif thread.is_alive() and lost["nodes"] < 12:
                remove_node(made, draw)
                lost["nodes"] += 1
            time.sleep(0.05)
    assert not failed, failed
    assert sum(lost.values()) >= 1
    out = tmp_path / "out"
    found = rows(out)
    assert len(found) == len({row["image"] for row in found}) == INPUTS
    assert [row["code"] for row in rows(out, "quarantine")] == ["not-an-image", "empty"]
    for kind in ("answers", "quarantine"):
        assert files(out, kind) == files(whole / "local", kind)
    facts = json.loads((out / "run.json").read_text())
    assert facts["checksum"] == checksum(found) == json.loads((whole / "local" / "run.json").read_text())["checksum"]
    print(f"{lost['workers']} workers killed, {lost['nodes']} nodes removed over {INPUTS} inputs: one row each")
