"""Send the figures of each epoch, the settings and the curves of a run to TensorBoard or MLflow.

Nothing leaves the machine unless MLFLOW_TRACKING_URI names a server. `history.csv` is written in any case.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.config import Training, to_yaml
from covid_xray.errors import MissingPackage

Row = dict[str, float]
FOLDERS = {"tensorboard": "tensorboard", "mlflow": "mlflow"}


@contextlib.contextmanager
def tracked(settings: Training, out: Path) -> Iterator[Callable[[Row], None]]:
    """Yield a function that takes the row of history.csv of each epoch; at the end the curves are logged.

    Args:
        settings: `track` says where to: None, csv, tensorboard (`out`/tensorboard) or mlflow.
        out: the run folder.

    Raises:
        MissingPackage: TensorBoard or MLflow is not installed.
    """
    makers = {"tensorboard": _tensorboard, "mlflow": _mlflow}
    maker = makers.get(settings.track or "")
    if maker is None:
        yield lambda row: None
        return
    with maker(settings, out) as log:
        yield log


@contextlib.contextmanager
def _tensorboard(settings: Training, out: Path) -> Iterator[Callable[[Row], None]]:
    _require("tensorboard")
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(out / FOLDERS["tensorboard"]))
    with writer.as_default():
        tf.summary.text("settings", f"```yaml\n{to_yaml(settings)}```", step=0)

        def log(row: Row) -> None:
            for name, value in _values(row):
                tf.summary.scalar(name, value, step=int(row["epoch"]))

        try:
            yield log
        finally:
            picture = curves(out)
            if picture:
                tf.summary.image("training curves", tf.io.decode_png(picture)[None], step=0)
            writer.close()


@contextlib.contextmanager
def _mlflow(settings: Training, out: Path) -> Iterator[Callable[[Row], None]]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    _require("mlflow")
    import mlflow

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        folder = (out / FOLDERS["mlflow"]).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = mlflow.get_experiment_by_name("covid-xray")
        if experiment is None:
            mlflow.create_experiment("covid-xray", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("covid-xray")
    with mlflow.start_run(run_name=out.name):
        mlflow.log_params(settings.model_dump(mode="json"))

        def log(row: Row) -> None:
            mlflow.log_metrics(dict(_values(row)), step=int(row["epoch"]))

        try:
            yield log
        finally:
            picture = curves(out)
            if picture:
                from PIL import Image

                mlflow.log_image(Image.open(io.BytesIO(picture)), "training_curves.png")


def curves(out: Path) -> bytes | None:
    """Draw history.csv as PNG; `None` without one."""
    from covid_xray.evaluation.report.figures import LIGHT, Chart, render, training_curves

    path = out / "history.csv"
    if not path.is_file():
        return None
    history = pd.read_csv(path)
    return render(Chart("training_curves", "Training", "", lambda theme: training_curves(history, theme)), LIGHT)


def _values(row: Row) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in row.items() if name != "epoch"]


def _require(package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise MissingPackage(f'{package} is not installed. Run pip install "covid-xray[track]".') from None
