"""Several processes that train together under Ray Train: the run folder of `train`, the loss curve of one process.

Two processes by default, one of them killed in the middle; `COVID_XRAY_RAY_TRAINING=1` compares with the loss curve of
one process and of TensorFlow alone, and kills in a longer training.
"""

import csv
import json
import os
import signal
import threading
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("jax")

from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster.data_parallel import trainer
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.data.split.split import make_split
from covid_xray.errors import UsageError
from covid_xray.training.train import train
from support.clusters import cluster, processes_of
from support.datasets import draw_folders

LONG = bool(os.environ.get("COVID_XRAY_RAY_TRAINING"))
SETTINGS = Training(
    image_size=32,
    blocks=(4,),
    convolutions=1,
    dense=(8,),
    dropout=0.0,
    epochs=4,
    batch_size=8,
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


def losses(out: Path) -> list[float]:
    with (out / "history.csv").open(newline="") as stream:
        return [float(row[name]) for row in csv.DictReader(stream) for name in ("loss", "val_loss")]


def furthest(one: list[float], two: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, two, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    manifest = read_manifest(draw_folders(tmp_path_factory.mktemp("set"), each=10))
    return manifest, make_split(manifest, val_fraction=0.25, test_fraction=0.0, seed=0)


@pytest.fixture(scope="module")
def by_two(data: tuple, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of two processes that nothing disturbed."""
    out = tmp_path_factory.mktemp("two") / "out"
    with cluster(2):
        train(*data, settings=SETTINGS, out=out, elsewhere=trainer(SETTINGS, processes=2))
    return out


def test_two_processes_have_the_loss_curve_of_one(data: tuple, by_two: Path, tmp_path: Path) -> None:
    runs = {2: by_two}
    if LONG:
        runs[1] = tmp_path / "1"
        with cluster(2):
            train(*data, settings=SETTINGS, out=runs[1], elsewhere=trainer(SETTINGS, processes=1))
    for processes, out in runs.items():
        assert load_bundle(out / "bundle").name == "vgg"
        met = json.loads((out / "processes.json").read_text())
        assert met == {"processes": processes, "images_each": SETTINGS.batch_size // processes}
        assert not {"checkpoint", "cache", "ray"} & {path.name for path in out.iterdir()}
    two = losses(by_two)
    assert len(two) == 2 * SETTINGS.epochs
    assert two[-2] < two[0]
    if LONG:
        train(*data, settings=SETTINGS, out=tmp_path / "tensorflow")
        one, alone = losses(runs[1]), losses(tmp_path / "tensorflow")
        assert furthest(one, two) < 1e-3
        assert furthest(alone, two) < 1e-3
        print("losses of two processes, of one, of TensorFlow", json.dumps([two, one, alone]))


def test_a_process_that_is_killed_costs_an_epoch_and_nothing_else(data: tuple, by_two: Path, tmp_path: Path) -> None:
    epochs, strike_after = (12, 3) if LONG else (SETTINGS.epochs, 1)
    killed: list[int] = []
    over = threading.Event()

    def strike() -> None:
        while not over.wait(0.05) and not killed:
            history = tmp_path / "out" / "history.csv"
            if history.is_file() and history.read_text().count("\n") == 1 + strike_after:
                for pid in processes_of(b"ray::RayTrainWorker")[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    settings = SETTINGS.model_copy(update={"epochs": epochs})
    with cluster(2):
        thread = threading.Thread(target=strike)
        thread.start()
        train(*data, settings=settings, out=tmp_path / "out", elsewhere=trainer(SETTINGS, processes=2))
        over.set()
        thread.join()
        undisturbed = tmp_path / "undisturbed" if LONG else by_two
        if LONG:
            train(*data, settings=settings, out=undisturbed, elsewhere=trainer(SETTINGS, processes=2))
    assert killed
    assert furthest(losses(tmp_path / "out"), losses(undisturbed)) < 1e-5


@pytest.mark.parametrize(
    ("change", "processes", "words"),
    [({"devices": 2}, 2, "devices=1"), ({"batch_size": 2}, 3, "less than one image per process")],
)
def test_settings_that_do_not_go_together(change: dict, processes: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        trainer(SETTINGS.model_copy(update=change), processes=processes)


def test_a_cluster_with_fewer_cores_than_processes(data: tuple, tmp_path: Path) -> None:
    with cluster(1), pytest.raises(UsageError, match="too few for 3 processes"):
        train(*data, settings=SETTINGS, out=tmp_path / "out", elsewhere=trainer(SETTINGS, processes=3))
