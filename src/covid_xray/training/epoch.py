"""One pass over a part: batches through the network, mean figures out. Training and validation."""

from collections.abc import Callable

import keras
import numpy as np
from sklearn.metrics import f1_score

from covid_xray.config import Training
from covid_xray.training.batches import Part, plain_batches, prefetch, training_batches


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
    steps = -(-len(part) // settings.batch_size)
    seen, sums = 0, {"loss": 0.0, "accuracy": 0.0}
    for step, batch in enumerate(prefetch(training_batches(part, settings=settings, epoch=epoch)), start=1):
        model.reset_metrics()  # so that the logs are of this batch, in every Keras version
        logs = model.train_on_batch(batch.x, batch.y, sample_weight=batch.weight, return_dict=True)
        seen += len(batch.images)
        sums = {name: sums[name] + float(logs[name]) * len(batch.images) for name in sums}
        if watch and step < steps:
            watch(step, steps, f"loss {sums['loss'] / seen:.3f}")
    return {name: value / seen for name, value in sums.items()}


def validate(model: keras.Model, part: Part, *, batch_size: int) -> tuple[float, float, float]:
    """Cross-entropy, accuracy and macro-F1 on a part, each label beside the prediction of its own image."""
    labels, losses, predicted = [], [], []
    for batch in prefetch(plain_batches(part, batch_size=batch_size)):
        probabilities = np.asarray(model.predict_on_batch(batch.x), dtype=np.float64)
        truth = batch.y.argmax(axis=1)
        labels += truth.tolist()
        predicted += probabilities.argmax(axis=1).tolist()
        losses += (-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, None))).tolist()
    accuracy = float(np.mean(np.array(labels) == np.array(predicted)))
    return float(np.mean(losses)), accuracy, float(f1_score(labels, predicted, average="macro", zero_division=0))
