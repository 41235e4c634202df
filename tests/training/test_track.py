"""The figures of each epoch, the settings and the curves reach TensorBoard and MLflow, on this machine."""

from pathlib import Path

import pytest

from covid_xray.config import Training
from covid_xray.errors import MissingPackage
from covid_xray.training.track import curves, tracked

HEADER = "epoch,loss,accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,seconds\n"
ROWS = [{"epoch": 1, "loss": 1.1, "val_accuracy": 0.4}, {"epoch": 2, "loss": 0.7, "val_accuracy": 0.6}]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "history.csv").write_text(HEADER + "1,1.1,.4,1.0,.4,.3,.001,2\n2,.7,.6,.9,.6,.5,.001,2\n")
    return tmp_path


@pytest.mark.slow
def test_tensorboard_gets_scalars_settings_and_curves(run: Path) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with tracked(Training(track="tensorboard", epochs=2), run) as log:
        for row in ROWS:
            log(row)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert {"loss", "val_accuracy", "settings", "training curves"} <= set(events.Tags()["tensors"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of MLflow about its own database
def test_mlflow_gets_parameters_metrics_and_curves(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with tracked(Training(track="mlflow", epochs=2), run) as log:
        for row in ROWS:
            log(row)
    (found,) = mlflow.search_runs(experiment_names=["covid-xray"], output_format="list")
    assert found.data.params["batch_size"] == "32"
    assert found.data.metrics["loss"] == 0.7
    assert [path.name for path in run.rglob("training_curves.png")] == ["training_curves.png"]


def test_history_alone_needs_no_package(run: Path) -> None:
    for name in (None, "csv"):
        with tracked(Training(track=name), run) as log:
            log(ROWS[0])
    assert {path.name for path in run.iterdir()} == {"history.csv"}


def test_a_missing_package_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingPackage, match=r"covid-xray\[track\]"), tracked(Training(track="mlflow"), run):
        pass


def test_no_curves_without_a_history(tmp_path: Path, run: Path) -> None:
    assert curves(run / "none") is None
    assert (curves(run) or b"")[:4] == b"\x89PNG"
