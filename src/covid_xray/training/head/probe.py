"""Fit a linear probe: the head on the frozen network's embeddings, before anything is fine-tuned.

Fine-tuning from a random head distorts the features of ImageNet (Kumar and others 2022, arXiv:2202.10054), first of
all those that unseen hospitals would need. The L2 penalty is strong for the same reason, and the head can be made
orthogonal to what identifies the hospital (`nuisance_projection`).
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.training.batches import Part, altered, prefetch
from covid_xray.training.head.nuisance_projection import (
    away_from,
    between_sources,
    group_means,
    without_corners,
    without_lungs,
)
from covid_xray.training.sampling import shares

BATCH = 64
ITERATIONS = 200

Floats = NDArray[np.float64]
Embed = Callable[[Iterator[NDArray[np.uint8]]], NDArray[np.float32]]


def probe_head(model: keras.Model, part: Part, *, settings: Training, lungs: LungNetwork | None = None) -> None:
    """Fit the layer `probabilities` of `model` by logistic regression on the embeddings of `part`, in place.

    Args:
        model: global average pooling (layer `pool`), then the softmax layer.
        part: every image is embedded as it is and, with augmentation, once more changed.
        settings: `probe` is the inverse strength of the L2 penalty (scikit-learn's C, on scaled features);
            images weigh as `sampling.shares` draws them, classes as `probe_prior` says; `probe_blind` names what the
            head must not use.
        lungs: hides the lungs, where `probe_blind` names `outside`.

    Raises:
        ValueError: a network without that head.
        UsageError: `outside`, and no lung network.
    """
    names = [layer.name for layer in model.layers]
    if "pool" not in names:
        raise ValueError(f"{model.name} has no global average pooling, which the probe needs.")
    embed = _embedding(keras.Model(model.input, model.get_layer("pool").output))
    copies = 2 if settings.augment else 1
    features = np.concatenate([embed(_pictures(part, settings, copy)) for copy in range(copies)])
    labels, groups = np.tile(part.labels, copies), np.tile(part.groups, copies)
    mean, scale = scaling(features, settings.probe_scale)
    nuisance = []
    if "source" in settings.probe_blind:
        nuisance.append(between_sources((features - mean) / scale, labels, groups))
    if "outside" in settings.probe_blind:
        outside, found = _embed_outside(part, settings, lungs, embed)
        nuisance.append(group_means((outside - mean) / scale, part.groups[found]))
    if "corners" in settings.probe_blind:
        change = embed(without_corners(batch) for batch in _pictures(part, settings, 0)) - features[: len(part)]
        nuisance.append((change / scale).mean(axis=0, keepdims=True))
    weights = np.tile(weights_of(part.groups, part.labels, settings.probe_prior), copies)
    away = away_from(nuisance, features.shape[1]) if nuisance else None
    kernel, bias = fit_head(features, labels, weights, strength=settings.probe, scaled_by=(mean, scale), away=away)
    model.get_layer("probabilities").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])


def weights_of(groups: NDArray[np.int64], labels: NDArray[np.int64], prior: str) -> Floats:
    """Compute N weights as `sampling.shares`: classes alike (`balanced`), or as often as they are (`natural`)."""
    values = shares(groups, labels)
    return values * np.bincount(labels)[labels] if prior == "natural" else values


def scaling(features: NDArray[np.float32], scale: str) -> tuple[Floats, Floats]:
    """Compute mean D and scale D: the standard deviation of `each` feature, or `one` root mean square for all.

    Each its own makes much of features that hardly vary, and those are not what another hospital has in common.
    """
    spread = features.std(axis=0, dtype=np.float64)
    if scale == "one":
        spread = np.full_like(spread, np.sqrt((spread**2).mean()))
    return features.mean(axis=0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


def fit_head(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: Floats,
    *,
    strength: float,
    scaled_by: tuple[Floats, Floats] | None = None,
    away: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Fit kernel D x C and bias C of a logistic regression on features N x D; `strength` is scikit-learn's C.

    `scaled_by` is `scaling`, of each feature by default; `away` D x D a projection of the scaled features: the kernel
    then lies in what it leaves.
    """
    mean, scale = scaled_by or scaling(features, "each")
    z = (features - mean) / scale
    found = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(
        z if away is None else z @ away, labels, sample_weight=weights / weights.mean()
    )
    # Two classes share one row in scikit-learn: the second against the first.
    rows, offsets = (found.coef_, found.intercept_) if len(found.classes_) > 2 else _both(found)
    kernel = ((rows if away is None else rows @ away) / scale).T
    return kernel, offsets - mean @ kernel


def _both(found: LogisticRegression) -> tuple[Floats, Floats]:
    return np.concatenate([-found.coef_, found.coef_]) / 2, np.concatenate([-found.intercept_, found.intercept_]) / 2


def _embed_outside(
    part: Part, settings: Training, lungs: LungNetwork | None, embed: Embed
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Embed the pictures in which lungs were found, with the lungs hidden; also return which these are, N booleans."""
    if lungs is None:
        raise UsageError("probe_blind=outside needs a lung network. Give one with --lungs RUN or --set lungs=RUN.")
    kept: list[NDArray[np.bool_]] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for batch in _pictures(part, settings, 0):
            without, found = without_lungs(batch, lungs)
            kept.append(found)
            yield without

    embedded = embed(pictures())
    found = np.concatenate(kept)
    return embedded[found], found


def _pictures(part: Part, settings: Training, copy: int) -> Iterator[NDArray[np.uint8]]:
    """Yield batches N x h x w; copy 0 is unaugmented."""
    for start in range(0, len(part), BATCH):
        chosen = range(start, min(start + BATCH, len(part)))
        yield np.stack([altered(part, i, settings, (settings.seed, 0, i) if copy else None) for i in chosen])


def _embedding(trunk: keras.Model) -> Embed:
    def embed(batches: Iterator[NDArray[np.uint8]]) -> NDArray[np.float32]:
        found = [np.asarray(trunk.predict_on_batch(x[..., None].astype(np.float32))) for x in prefetch(batches)]
        return np.concatenate(found).astype(np.float32)

    return embed
