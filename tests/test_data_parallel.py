"""Two processes that train together under Ray Train.

By default that they meet and learn; `COVID_XRAY_RAY_TRAINING=1` also compares with the loss curve of one process.
"""

import csv
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("jax")

from clusters import cluster
from covid_xray.cluster.data_parallel import train_together
from covid_xray.config import Training
from covid_xray.data.manifest import read_manifest
from covid_xray.data.split import make_split
from covid_xray.errors import UsageError
from datasets import draw_folders

LONG = bool(os.environ.get("COVID_XRAY_RAY_TRAINING"))
SETTINGS = Training(
    image_size=32,
    blocks=(4,),
    convolutions=1,
    dense=(8,),
    dropout=0.0,
    epochs=3,
    batch_size=8,
    precision="float32",
    decode_workers=1,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def losses(out: Path) -> list[float]:
    with (out / "history.csv").open(newline="") as stream:
        return [float(row[name]) for row in csv.DictReader(stream) for name in ("loss", "val_loss")]


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "set", each=10))
    split = make_split(manifest, val_fraction=0.25, test_fraction=0.0, seed=0)
    with cluster(2):
        for name, processes in {"two": 2, **({"one": 1} if LONG else {})}.items():
            out = train_together(manifest, split, settings=SETTINGS, out=tmp_path / name, processes=processes)
            assert (out / "model.keras").stat().st_size > 0
            met = json.loads((out / "processes.json").read_text())
            assert met == {"processes": processes, "images_each": SETTINGS.batch_size // processes}
    two = losses(tmp_path / "two")
    assert len(two) == 2 * SETTINGS.epochs
    assert two[-2] < two[0]
    if LONG:
        one = losses(tmp_path / "one")
        assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-3
        print("losses of one process and of two", json.dumps([one, two]))
    with pytest.raises(UsageError, match="holds a run"):
        train_together(manifest, split, settings=SETTINGS, out=tmp_path / "two", processes=2)
