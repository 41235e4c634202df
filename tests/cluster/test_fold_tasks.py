"""Folds trained at the same time on Ray: the study of the sequential run."""

import json
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from covid_xray.cluster.fold_tasks import fold_runner, run_fold
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import CovidXrayError
from covid_xray.evaluation.predictions import read_predictions
from covid_xray.training.crossval.crossval import crossval
from covid_xray.training.crossval.folds import Protocol, plan_folds
from support.clusters import cluster
from support.datasets import draw_folders

SETTINGS = Training(
    image_size=32, blocks=(4,), convolutions=1, dense=(8,), epochs=1, batch_size=8, augment=False, precision="float32",
    deterministic=True, decode_workers=1,
)  # fmt: skip
TWO = Protocol(folds=2)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_folds_in_parallel_give_the_answers_of_folds_one_after_the_other(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "set", each=6))
    one, two = tmp_path / "one", tmp_path / "two"
    crossval(manifest, settings=SETTINGS, protocol=TWO, out=one, rounds=10)
    said = []
    with cluster(2):
        crossval(
            manifest, settings=SETTINGS, protocol=TWO, out=two, rounds=10, run_folds=fold_runner(),
            progress=lambda *about: said.append(about),
        )  # fmt: skip
    here, there = (read_predictions(out / "predictions.csv").table.set_index("image") for out in (one, two))
    assert list(here.index) == list(there.index)
    probabilities = [name for name in here if name.startswith("p_")]
    assert abs(here[probabilities] - there[probabilities]).to_numpy().max() < 1e-5
    assert json.loads((two / "crossval.json").read_text())["figures"].keys()
    assert ("folds", 2, 2) in [about[:3] for about in said]
    assert not list(two.glob("fold-*/bundle"))


def test_a_folder_that_a_node_does_not_have_is_said(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "set", each=6))
    fold = plan_folds(manifest, TWO)[0]
    error = run_fold(tmp_path / "not" / "here", fold, manifest, SETTINGS)
    assert isinstance(error, CovidXrayError)
    assert error.code == "not-shared"
