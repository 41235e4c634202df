"""Stop a training that more epochs cannot help, with advice."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.config import Training
from covid_xray.errors import CovidXrayError
from covid_xray.training.batches import Part
from covid_xray.training.schedule import Schedule, at_chance


class TrainingDiverged(CovidXrayError):
    """The loss is no number, or the network answers at chance after many epochs."""

    default_code = "diverged"


def stop_if_lost(out: Path, val: Part, settings: Training, *, state: Schedule, row: Mapping[str, float]) -> None:
    """Raise `TrainingDiverged` where the loss is no number, or stays at chance.

    Args:
        out: the run folder, for history.csv.
        val: the validation part.
        settings: of the run.
        state: after the epoch that just ended.
        row: of that epoch in history.csv.
    """
    if not state.best_epoch and not (math.isfinite(row["loss"]) and math.isfinite(row["val_loss"])):
        raise diverged(f"the loss of epoch {state.epoch} is not finite", settings)
    patience = settings.chance_patience
    if not patience or state.epoch != patience or "val_accuracy" not in row:
        return
    table = pd.read_csv(out / "history.csv")[["loss", "val_accuracy", "val_loss"]]
    history = [dict(zip(table.columns, values, strict=True)) for values in table.to_numpy().tolist()]
    shares = np.bincount(val.labels, minlength=len(val.classes)) / len(val)
    if at_chance(history, shares=shares.tolist()):
        raise diverged(f"after {patience} epochs the network answers no better than always the same", settings)


def diverged(problem: str, settings: Training) -> TrainingDiverged:
    """Make the error, with settings to try."""
    advice = [f"learning_rate={settings.learning_rate / 10:g}"]
    advice += ["precision=float32"] if settings.precision != "float32" else []
    advice += ["initializer=he_normal"] if settings.model == "vgg" and settings.initializer != "he_normal" else []
    advice += ["weights=imagenet"] if settings.model != "vgg" and not settings.weights and not settings.init else []
    return TrainingDiverged(
        f"The training diverged: {problem}. Try --set {', --set '.join(advice)}, find a rate with `covid-xray "
        "lr-find`, or look at the images with `covid-xray doctor`."
    )
