"""One pass over a part: batches through the network, mean figures out. Training and validation."""

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from covid_xray.config import Training
from covid_xray.training import devices
from covid_xray.training.batches import Batch, Part, plain_batches, prefetch, training_batches
from covid_xray.training.sampling import GroupWeights


def train_epoch(
    model: keras.Model,
    part: Part,
    *,
    settings: Training,
    epoch: int,
    watch: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """One pass over `part` in the order of (seed, epoch), augmented: mean loss and accuracy; `model` is compiled.

    `watch` is called with (step, steps, note) after each batch but the last.
    """
    steps = steps_of(part, settings)
    robust = GroupWeights(int(part.groups.max()) + 1, step=settings.worst_group) if settings.worst_group else None
    seen, sums = 0, {"loss": 0.0, "accuracy": 0.0}
    for step, batch in enumerate(prefetch(training_batches(part, settings=settings, epoch=epoch)), start=1):
        model.reset_metrics()  # so that the logs are of this batch, in every Keras version
        weight = batch.weight * robust.update(batch.groups, _losses(model, batch)) if robust else batch.weight
        logs = devices.train_on_batch(model, batch.x, batch.y, weight=weight)
        seen += len(batch.images)
        sums = {name: sums[name] + float(logs[name]) * len(batch.images) for name in sums}
        if watch and step < steps:
            watch(step, steps, f"loss {sums['loss'] / seen:.3f}")
    return {name: value / seen for name, value in sums.items()}


def steps_of(part: Part, settings: Training) -> int:
    """Batches in one epoch."""
    drawn = settings.samples_per_epoch if settings.sampling == "balanced" else 0
    return -(-(drawn or len(part)) // settings.batch_size)


def _losses(model: keras.Model, batch: Batch) -> NDArray[np.float64]:
    """Cross-entropy of each image as the network stands: what group DRO weighs the groups by."""
    probabilities = np.asarray(devices.predict_on_batch(model, batch.x), dtype=np.float64)
    return np.asarray(-np.log(np.clip((probabilities * batch.y).sum(axis=1), 1e-7, None)))


def validate(model: keras.Model, part: Part, *, batch_size: int) -> tuple[float, float, float]:
    """Cross-entropy, accuracy and macro-F1 on a part, each label beside the prediction of its own image."""
    labels, losses, predicted = [], [], []
    for batch in prefetch(plain_batches(part, batch_size=batch_size)):
        probabilities = np.asarray(devices.predict_on_batch(model, batch.x), dtype=np.float64)
        truth = batch.y.argmax(axis=1)
        labels += truth.tolist()
        predicted += probabilities.argmax(axis=1).tolist()
        losses += (-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, None))).tolist()
    accuracy = float(np.mean(np.array(labels) == np.array(predicted)))
    return float(np.mean(losses)), accuracy, float(f1_score(labels, predicted, average="macro", zero_division=0))
