"""A training that more epochs cannot help stops with advice."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.config import Training
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.recipe.divergence import TrainingDiverged, diverged, stop_if_lost
from covid_xray.training.schedule import Schedule

VAL = Part(
    ("a", "b"), np.array([0, 1]), ("covid", "normal"), PixelCache(np.zeros((2, 8, 8), np.uint8), {}), np.zeros(2)
)
BLIND = "epoch,loss,val_loss,val_accuracy\n1,0.7,0.70,0.5\n2,0.7,0.70,0.5\n"


def test_a_loss_that_is_no_number_stops_before_any_epoch_was_good(tmp_path: Path) -> None:
    row = {"loss": float("nan"), "val_loss": 0.4}
    with pytest.raises(TrainingDiverged, match="epoch 1 is not finite.*learning_rate=0.0001"):
        stop_if_lost(tmp_path, VAL, Training(), state=Schedule(1e-3, epoch=1), row=row)
    stop_if_lost(tmp_path, VAL, Training(), state=Schedule(1e-3, epoch=2, best_epoch=1), row=row)


def test_chance_stops_at_its_epoch_only(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(BLIND)
    row = {"loss": 0.7, "val_loss": 0.7, "val_accuracy": 0.5}
    settings, state = Training(chance_patience=2), Schedule(1e-3, epoch=2, best_epoch=1)
    with pytest.raises(TrainingDiverged, match="after 2 epochs the network answers no better"):
        stop_if_lost(tmp_path, VAL, settings, state=state, row=row)
    stop_if_lost(tmp_path, VAL, settings.model_copy(update={"chance_patience": 3}), state=state, row=row)


def test_advice_fits_the_settings() -> None:
    assert "initializer=he_normal" in diverged("x", Training()).message
    assert "weights=imagenet" in diverged("x", Training(model="ResNet50")).message
