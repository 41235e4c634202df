"""A drawn data set and a run that was trained on it from Python, made once."""

from pathlib import Path

import pytest

import covid_xray
from covid_xray.api.results import Run
from support.datasets import draw_folders

SMALL = {"image_size": 32, "blocks": (8, 16), "convolutions": 1, "dense": (32,), "batch_size": 8,
         "learning_rate": 0.003, "initializer": "he_normal", "epochs": 10}  # fmt: skip


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folders(tmp_path_factory.mktemp("python") / "data", each=20)


@pytest.fixture(scope="session")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    pytest.importorskip("tensorflow")
    return covid_xray.train(pictures, output=tmp_path_factory.mktemp("python-run") / "run", progress=False, **SMALL)
