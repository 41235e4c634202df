"""A search by Ray Tune with ASHA: trials stopped early, another search refused.

Two trials of one epoch by default; `COVID_XRAY_RAY_TRAINING=1` is the long form: three of four, stopped and resumed.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from covid_xray.cluster.search_space import DEFAULT
from covid_xray.cluster.tune import search
from covid_xray.config import Training, load
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.split import make_split
from covid_xray.errors import UsageError
from support.clusters import cluster
from support.datasets import draw_folders

LONG = bool(os.environ.get("COVID_XRAY_RAY_TRAINING"))
TRIALS, EPOCHS = (3, 4) if LONG else (2, 1)
SETTINGS = Training(
    image_size=32,
    blocks=(4,),
    convolutions=1,
    dense=(8,),
    epochs=EPOCHS,
    batch_size=8,
    augment=False,
    precision="float32",
    decode_workers=1,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return read_manifest(draw_folders(tmp_path_factory.mktemp("set"), each=10))


@pytest.fixture(scope="module")
def made() -> Iterator[Any]:
    with cluster(2) as made:
        yield made


def again(made: Any) -> None:
    """Connected anew, as a command that was stopped and started again is: its actors end with the connection."""
    import ray

    ray.shutdown()
    ray.init(address=made.address, log_to_driver=False)


def test_the_best_of_some_trials_and_a_search_that_was_stopped(made: Any, manifest: Manifest, tmp_path: Path) -> None:
    split = make_split(manifest, val_fraction=0.3, test_fraction=0.0, seed=0)
    out, seen = tmp_path / "out", []

    def stop(stage: str, done: int, total: int, note: str) -> None:
        if stage == "tune" and "epoch" in note:
            seen.append(note)
            if len(seen) == 3:
                os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does

    how = {"settings": SETTINGS, "space": DEFAULT, "trials": TRIALS, "out": out}
    if LONG:
        with pytest.raises(KeyboardInterrupt):
            search(manifest, split, **how, progress=stop)
        assert not (out / "trials.csv").exists()
        again(made)
        rows = search(manifest, split, **how, resume=True)
    else:
        rows = search(manifest, split, **how)
    with pytest.raises(UsageError, match="--resume"):
        search(manifest, split, **how)
    with pytest.raises(UsageError, match="other trials"):
        search(manifest, split, **{**how, "settings": SETTINGS.model_copy(update={"dropout": 0.4})}, resume=True)
    assert sorted(row["trial"] for row in rows) == list(range(1, TRIALS + 1))
    assert [row["val_loss"] for row in rows] == sorted(row["val_loss"] for row in rows)
    assert {row["ended"] for row in rows} <= {"finished", "stopped early"}
    whole = [row for row in rows if row["ended"] == "finished"]
    assert whole  # not always the best: a trial may be stopped for its last epoch and have a better one before
    for row in whole:
        assert row["epochs"] == EPOCHS
        assert (out / f"trial-{row['trial']:02d}" / "bundle" / "model.onnx").is_file()
    assert load(Training, file=out / "best.yaml").learning_rate == rows[0]["learning_rate"]
    assert (out / "figures" / "tune.png").is_file()
    plan = json.loads((out / "plan.json").read_text())
    assert len(plan["trials"]) == TRIALS
