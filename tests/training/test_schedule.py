"""Early stopping and learning-rate reduction follow Keras' callbacks, epoch by epoch."""

import numpy as np
import pytest

from covid_xray.config import Training
from covid_xray.training import schedule


def follow(losses: list[float], settings: Training) -> tuple[list[float], int, int]:
    """Learning rate of each epoch, number of epochs, best epoch."""
    state, rates = schedule.start(settings), []
    for loss in losses:
        if schedule.finished(state, settings):
            break
        rates.append(state.learning_rate)
        state = schedule.after_epoch(state, val_loss=loss, settings=settings)
    return rates, state.epoch, state.best_epoch


@pytest.mark.parametrize("seed", range(8))
def test_same_decisions_as_keras(seed: int) -> None:
    keras = pytest.importorskip("keras")
    losses = np.random.default_rng(seed).uniform(0.2, 1.0, 25).tolist()
    settings = Training(epochs=25)
    rates, epochs, best = follow(losses, settings)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(settings.learning_rate), loss="mse")
    stopping = keras.callbacks.EarlyStopping(patience=settings.early_stopping_patience)
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=settings.reduce_lr_factor,
        patience=settings.reduce_lr_patience,
        min_lr=settings.min_learning_rate,
        min_delta=0,
    )
    expected = []
    for callback in (stopping, plateau):
        callback.set_model(model)
        callback.on_train_begin()
    model.stop_training = False
    for epoch, loss in enumerate(losses):
        expected.append(float(model.optimizer.learning_rate))
        for callback in (stopping, plateau):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    assert epochs == len(expected)
    assert best == int(np.argmin(losses[:epochs])) + 1


def test_a_loss_that_is_no_number_is_never_best() -> None:
    settings = Training(early_stopping_patience=2)
    state = schedule.start(settings)
    for _ in range(2):
        state = schedule.after_epoch(state, val_loss=float("nan"), settings=settings)
    assert state.best_epoch == 0
    assert not state.is_best
    assert schedule.finished(state, settings) == "no better validation loss for 2 epochs"


def test_the_last_epoch_ends_the_run() -> None:
    settings = Training(epochs=1)
    state = schedule.after_epoch(schedule.start(settings), val_loss=0.5, settings=settings)
    assert state.is_best
    assert schedule.finished(state, settings) == "1 epochs done"


def test_a_network_at_chance_is_known_by_accuracy_and_loss() -> None:
    from covid_xray.training.schedule import at_chance

    shares = (0.5, 0.3, 0.2)
    blind = {"loss": 1.1, "val_accuracy": 0.5, "val_loss": 1.04}
    assert at_chance([blind, {**blind, "val_accuracy": 0.3, "val_loss": 2.0}], shares=shares)
    assert not at_chance([blind, {**blind, "val_accuracy": 0.52}], shares=shares)
    assert not at_chance([{**blind, "val_loss": 0.9}], shares=shares)  # it ranks already
    assert not at_chance([blind, {**blind, "loss": 0.9}], shares=shares)  # it learns the training images


def test_layers_that_are_unfrozen_later_get_their_epochs() -> None:
    settings = Training(freeze=("block1",), unfreeze={4: ("block1",)}, early_stopping_patience=2)
    assert follow([0.1] + [0.5] * 20, settings)[1] == 5  # epochs 4 and 5 train block1; without it 3 would be the last
    assert follow([0.5, 0.4, 0.3, 0.2, 0.1] + [0.5] * 20, settings)[1] == 7
