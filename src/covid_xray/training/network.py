"""Build and compile the network of the settings, and swap in the running average of its weights."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Training
from covid_xray.models import zoo
from covid_xray.training import devices, precision
from covid_xray.training.within_source.ranker import build_ranker, compile_arguments


def build_model(settings: Training, classes: int, *, sources: int = 1) -> keras.Model:
    """Build and compile the network of `settings`, seeded, in the precision that is fastest on this machine.

    With objective=within_source it gives one score instead of classes; `sources` is the number of them in the data.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    with devices.scope(settings.devices):
        with precision.policy(precision.choose(settings.precision, model=settings.model)):
            ranks = settings.objective == "within_source"
            model = build_ranker(settings) if ranks else zoo.build(settings, classes)
        aim = (
            compile_arguments(settings, sources=sources)
            if ranks
            else {"loss": _loss(settings), "metrics": ["accuracy"]}
        )
        model.compile(optimizer=_optimizer(settings), **aim)
    return model


def weights_of(model: keras.Model) -> list[NDArray[Any]]:
    """Copy all weights of `model`, in its order."""
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Replace the trained weights by their running averages inside the context, where the optimiser keeps them.

    One epoch's last steps decide the threshold of a fine-tuned network as much as all the others; the average does not
    swing with them.
    """
    if not model.optimizer.use_ema:
        yield
        return
    kept = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def _optimizer(settings: Training) -> keras.optimizers.Optimizer:
    average = {"use_ema": settings.average_decay > 0, "ema_momentum": settings.average_decay or 0.99}
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay, **average)
    return keras.optimizers.Adam(settings.learning_rate, **average)


def _loss(settings: Training) -> keras.losses.Loss:
    return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
