"""A linear probe: the head fitted to the frozen network's embeddings before anything is fine-tuned.

Fine-tuning from a random head distorts the features that ImageNet taught (Kumar and others 2022, arXiv:2202.10054),
and what is distorted first is what unseen hospitals would have needed. The L2 penalty is strong for the same reason.
"""

from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from covid_xray.config import Training
from covid_xray.training.batches import Part, altered, prefetch
from covid_xray.training.sampling import shares

BATCH = 64
ITERATIONS = 200


def probe_head(model: keras.Model, part: Part, *, settings: Training) -> None:
    """Fit the layer `probabilities` of `model` by logistic regression on the embeddings of `part`, in place.

    Args:
        model: global average pooling (layer `pool`), then the softmax layer.
        part: every image is embedded as it is and, with augmentation, once more changed.
        settings: `probe` is the inverse strength of the L2 penalty (scikit-learn's C, on standardised features);
            images weigh as `sampling.shares` draws them.

    Raises:
        ValueError: a network without that head.
    """
    names = [layer.name for layer in model.layers]
    if "pool" not in names:
        raise ValueError(f"expected a network with global average pooling. Received: {model.name}")
    trunk = keras.Model(model.input, model.get_layer("pool").output)
    copies = 2 if settings.augment else 1
    features = np.concatenate([_embed(trunk, part, settings, copy) for copy in range(copies)])
    labels, weights = np.tile(part.labels, copies), np.tile(shares(part.groups, part.labels), copies)
    kernel, bias = fit_head(features, labels, weights, strength=settings.probe)
    model.get_layer("probabilities").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])


def fit_head(
    features: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float64], *, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel D x C and bias C of the logistic regression on features N x D; `strength` is scikit-learn's C."""
    scaler = StandardScaler().fit(features)
    found = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(
        scaler.transform(features), labels, sample_weight=weights / weights.mean()
    )
    # Two classes share one row in scikit-learn: the second against the first.
    rows, offsets = (found.coef_, found.intercept_) if len(found.classes_) > 2 else _both(found)
    kernel = (rows / scaler.scale_).T
    return kernel, offsets - scaler.mean_ @ kernel


def _both(found: LogisticRegression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.concatenate([-found.coef_, found.coef_]) / 2, np.concatenate([-found.intercept_, found.intercept_]) / 2


def _embed(trunk: keras.Model, part: Part, settings: Training, copy: int) -> NDArray[np.float32]:
    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(part), BATCH):
            chosen = range(start, min(start + BATCH, len(part)))
            yield np.stack([altered(part, i, settings, (settings.seed, 0, i) if copy else None) for i in chosen])

    found = [np.asarray(trunk.predict_on_batch(x[..., None].astype(np.float32))) for x in prefetch(batches())]
    return np.concatenate(found).astype(np.float32)
