"""The Ray engine on a real cluster: the bytes of the local engine, a deadly input, other versions, ray:// addresses."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster import ray_engine, ray_session
from covid_xray.cluster.partition_scorer import ScoringSetup
from covid_xray.cluster.plan import Partition
from covid_xray.cluster.ray_engine import RayWorker, TryCounter
from covid_xray.cluster.score import ScoringRequest, score
from covid_xray.cluster.source_listing import Entry
from covid_xray.cluster.worker import Worker
from covid_xray.errors import CovidXrayError, InputRefused
from support.archives import archive, make_bundle, picture, rows
from support.clusters import cluster
from support.poison import poisoned

pytestmark = [
    pytest.mark.timeout(900),
    # Ray's own: pipes that its processes leave, and interfaces that it uses itself after it gave them up.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def made(root: Path) -> Iterator[Any]:
    """A cluster whose workers die of deadly inputs; its driver does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    deadly = poisoned(root)
    (root / "films" / "000" / "000021.png").write_bytes(picture(21))  # one of the two takes long enough
    before = {name: os.environ.get(name) for name in deadly}
    os.environ.update(deadly)
    try:
        with cluster(1, ray_client_server_port=port) as made:
            made.client_port = port
            yield made
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def here(parts: Iterator[Partition], work: ScoringSetup) -> Iterator:
    worker = Worker(work)
    return (worker.score(part, attempt=1) for part in parts)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "answers").iterdir()}


def test_it_gives_the_bytes_of_the_local_engine_and_a_deadly_input_fails_alone(made: Any, root: Path) -> None:
    bundle = make_bundle(root / "bundle")
    harmless = archive(root / "harmless", 40)
    score(ScoringRequest(str(harmless), root / "here", bundle=bundle), engine=here, name="here")
    score(ScoringRequest(str(harmless), root / "ray", bundle=bundle), engine=ray_engine.score_partitions, name="ray")
    assert files(root / "ray") == files(root / "here")
    score(
        ScoringRequest(str(root / "films"), root / "deadly", bundle=bundle),
        engine=ray_engine.score_partitions,
        name="ray",
    )
    failed = {row["image"]: row["code"] for row in rows(root / "deadly", "quarantine")}
    assert failed == {"000/000005.png": "gave-up"}
    plain = {row["image"]: row for row in rows(root / "here")}
    assert len(rows(root / "deadly")) == 40
    assert all(row == plain[row["image"]] for row in rows(root / "deadly") if row["image"] not in failed)


def test_an_error_in_a_worker_is_the_drivers(made: Any, tmp_path: Path) -> None:
    work = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path / "gone"))
    (error,) = ray_engine.score_partitions(iter([Partition(0, (Entry("a.png", "a.png", 1),))]), work, workers=1)
    assert isinstance(error, InputRefused)
    assert error.code == "source-lost"


def test_nodes_of_other_versions_are_refused_before_the_first_answer(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ray_session.versions()
    monkeypatch.setattr(ray_session, "versions", lambda: {**ours, "onnxruntime": "0.1"})
    films, bundle = archive(tmp_path / "films", 1), make_bundle(tmp_path / "bundle")
    with pytest.raises(ray_session.OtherVersions, match=rf"onnxruntime {ours['onnxruntime']} there, 0.1 here"):
        score(
            ScoringRequest(str(films), tmp_path / "out", bundle=bundle), engine=ray_engine.score_partitions, name="ray"
        )
    assert not (tmp_path / "out" / "answers").exists()


def test_a_driver_outside_of_the_cluster_reaches_it_through_ray(made: Any, root: Path, tmp_path: Path) -> None:
    films, bundle = archive(tmp_path / "films", 20), make_bundle(tmp_path / "bundle")
    command = [sys.executable, "-m", "covid_xray", "score", films, "-o", tmp_path / "out", "--bundle", bundle]
    command += ["--engine", "ray", "--address", f"ray://127.0.0.1:{made.client_port}"]
    ran = subprocess.run([str(part) for part in command], capture_output=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr.decode()
    assert b"20 rows" in ran.stdout
    assert b"raylet" not in ran.stdout + ran.stderr
    score(ScoringRequest(str(films), tmp_path / "here", bundle=bundle), engine=here, name="here")
    assert files(tmp_path / "out") == files(tmp_path / "here")


def test_the_register_counts_tries() -> None:
    counter = TryCounter()
    assert [counter.begin(number) for number in (1, 2, 1, 1)] == [1, 1, 2, 3]


def test_a_worker_of_a_node_that_joined_later_with_other_versions_answers_nothing(tmp_path: Path) -> None:
    work = ScoringSetup(load_bundle(make_bundle(tmp_path / "bundle")), str(tmp_path))
    error = RayWorker(work, None, {"onnxruntime": "0.1"})._worker
    assert isinstance(error, CovidXrayError)
    assert error.code == "other-versions"
