"""Learn from the probabilities of other networks besides the labels: knowledge distillation.

Hinton, Vinyals and Dean 2015 (arXiv:1503.02531). Each teacher sees every training image once, unchanged, by its own
preprocessing. Several teachers are averaged, which is what an ensemble answers (Lakshminarayanan and others 2017,
arXiv:1612.01474).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from covid_xray.bundle.bundle import load_bundle
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused, UsageError
from covid_xray.inference.finding import Failure
from covid_xray.inference.predictor import Predictor
from covid_xray.training.batches import Part

LEAST = 1e-7  # probability


def check_teachers(settings: Training) -> None:
    """Open each teacher once. Raises `BadBundle` where there is none."""
    for folder in settings.distill_from:
        load_bundle(folder)


def open_teachers(settings: Training, classes: Sequence[str]) -> list[Predictor]:
    """Open the bundles of `distill_from`.

    Raises:
        UsageError: a teacher does not know a class.
        BadBundle: a teacher is missing or altered.
    """
    teachers = [Predictor(folder) for folder in settings.distill_from]
    for folder, teacher in zip(settings.distill_from, teachers, strict=True):
        missing = sorted(set(classes) - set(teacher.classes))
        if missing:
            raise UsageError(
                f"{folder} cannot teach {', '.join(missing)}: its classes are {', '.join(teacher.classes)}. Leave "
                "their images out with --label, or name another teacher in distill_from."
            )
    return teachers


def describe_teachers(teachers: Sequence[Predictor]) -> list[dict[str, Any]]:
    """Return name, version, SHA-256 and training data of each, for the bundle."""
    return [
        {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256,
         "training_data": bundle.facts.get("training_data")}
        for bundle in (teacher.bundle for teacher in teachers)
    ]  # fmt: skip


def teach(
    part: Part, manifest: Manifest, teachers: Sequence[Predictor], *, progress: Callable[[int, int], None]
) -> Part:
    """Return the part with the mean calibrated probabilities of the teachers; classes they alone know are ruled out.

    Raises:
        InputRefused: a teacher cannot read an image.
    """
    total, sums = len(teachers) * len(part), np.zeros((len(part), len(part.classes)))
    for number, teacher in enumerate(teachers):
        paths = [manifest.path(image) for image in part.images]
        for row, answer in enumerate(teacher.predict_many(paths)):
            if isinstance(answer, Failure):
                raise InputRefused(f"{part.images[row]} cannot be read by {teacher.bundle.name}: {answer.message}")
            known = np.array([answer.probabilities[name] for name in part.classes])
            sums[row] += np.clip(known, LEAST, None) / np.clip(known, LEAST, None).sum()
            progress(number * len(part) + row + 1, total)
    return replace(part, taught=(sums / len(teachers)).astype(np.float32))


@keras.saving.register_keras_serializable(package="covid_xray")
class DistillationLoss(keras.losses.Loss):
    """Cross-entropy of the labels, and divergence from the teachers at a higher temperature.

    (1 - weight) * cross-entropy + weight * temperature^2 * KL(teachers || network), both softened by the temperature;
    the square keeps the size of the gradients (Hinton and others 2015, section 2).

    Args:
        weight: share of the teachers, 0..1.
        temperature: 1 or more; the higher, the more what is improbable counts.
        smoothing: of the labels.
    """

    def __init__(self, *, weight: float, temperature: float, smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**{"name": "distillation", **kwargs})
        self.weight, self.temperature, self.smoothing = weight, temperature, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Map N x 2C targets (labels, then teachers) and N x C probabilities to N losses."""
        classes = y_pred.shape[-1]
        hard = keras.losses.categorical_crossentropy(y_true[:, :classes], y_pred, label_smoothing=self.smoothing)
        teacher, own = (self._log_soft(values) for values in (y_true[:, classes:], y_pred))
        soft = ops.sum(ops.exp(teacher) * (teacher - own), axis=-1)
        return (1 - self.weight) * hard + self.weight * self.temperature**2 * soft

    def _log_soft(self, probabilities: Any) -> Any:
        """Compute log probabilities at the temperature; those of a softmax are logits but for a constant."""
        return ops.log_softmax(ops.log(ops.maximum(probabilities, LEAST)) / self.temperature, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"weight": self.weight, "temperature": self.temperature, "smoothing": self.smoothing}
        return {**super().get_config(), **own}


def compile_arguments(settings: Training) -> dict[str, Any]:
    """Return loss and metric for `model.compile`."""
    loss = DistillationLoss(
        weight=settings.distill_weight, temperature=settings.distill_temperature, smoothing=settings.label_smoothing
    )
    return {"loss": loss, "metrics": [keras.metrics.MeanMetricWrapper(label_accuracy, name="accuracy")]}


def label_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Say of each image whether the network gives its label: N x 2C, N x C -> N."""
    return keras.metrics.categorical_accuracy(y_true[:, : y_pred.shape[-1]], y_pred)
