"""Build and compile the network of the settings, and swap in the running average of its weights."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Training
from covid_xray.models import own, zoo
from covid_xray.training import devices, precision
from covid_xray.training.recipe import distillation
from covid_xray.training.recipe.layer_plan import LayerPlan, plan_layers, rates
from covid_xray.training.recipe.layerwise_adam import LayerwiseAdam
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
        compile_model(model, settings, sources=sources)
    return model


def compile_model(model: keras.Model, settings: Training, *, sources: int = 1) -> None:
    """Compile the network with the optimiser and the loss of `settings`; the layers that are frozen now stay so."""
    if settings.objective == "within_source":
        aim = compile_arguments(settings, sources=sources)
    elif settings.distill_from:
        aim = distillation.compile_arguments(settings)
    else:
        aim = {"loss": _loss(settings), "metrics": ["accuracy"]}
    model.compile(optimizer=_optimizer(settings, rates(model, settings)), **aim)


def begin_layers(model: keras.Model, plan: LayerPlan, settings: Training, *, epoch: int, sources: int = 1) -> bool:
    """Freeze and free the layers for `epoch`; say whether any changed, and the optimiser therefore started anew."""
    changed = plan.begin(epoch)
    with devices.scope_of(model):
        if changed:
            compile_model(model, settings, sources=sources)
        model.optimizer.build(model.trainable_variables)
    return changed


def check_layers(settings: Training) -> None:
    """Build the network once without weights to check the layers that the settings name. Raises `UsageError`."""
    if not settings.freeze and not settings.layer_rates:
        return
    plain = settings.model_copy(update={"weights": None})
    classes = own.classes_of(plain.model) or 2
    plan_layers(build_ranker(plain) if plain.objective == "within_source" else zoo.build(plain, classes), plain)


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


def _optimizer(settings: Training, shares: list[float] | None) -> keras.optimizers.Optimizer:
    average = {"use_ema": settings.average_decay > 0, "ema_momentum": settings.average_decay or 0.99}
    if shares:
        decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
        return LayerwiseAdam(settings.learning_rate, shares=shares, decay=decay, **average)
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay, **average)
    return keras.optimizers.Adam(settings.learning_rate, **average)


def _loss(settings: Training) -> keras.losses.Loss:
    return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
