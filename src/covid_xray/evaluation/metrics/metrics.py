"""Compute classification metrics from labels and probabilities, for one or many weightings of the images.

Point estimate (weight 1) and bootstrap (weight = times drawn) share one implementation. An undefined metric is left
out, never 0 or NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ECE_BINS = 15
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Images sorted by the probability of one class, for AUROC and AUPRC under any weights."""

    order: Ints  # N positions, lowest probability first
    starts: Ints  # where each run of equal probabilities begins in `order`
    positive: Floats  # N, 1 where the image at this place of `order` has the class, else 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not depend on the weights, computed once."""

    classes: tuple[str, ...]  # C names
    # N x (C*C + 2 + bins): one-hot confusion cell, log loss, Brier score, and correct - confidence in the column of
    # the image's confidence bin
    sums: Floats
    rankings: tuple[Ranking, ...]  # one for each class


def compute(labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """Return all metrics of one set of predictions, by flat names.

    Args:
        labels: N class codes, 0..C-1.
        probabilities: N x C, rows sum to 1.
        classes: the C names.

    Returns:
        accuracy, balanced_accuracy (mean sensitivity), macro_f1, auroc_macro (one against the rest), nll (natural
        logarithm), brier (sum over the classes, 0..2; Brier 1950), ece (15 equal bins of the highest probability; Guo
        and others 2017), and for each class f1/, sensitivity/, specificity/, precision/, auroc/ and auprc/ (average
        precision) + its name. Means are over the classes for which the metric is defined.

    Raises:
        ValueError: shapes that do not fit, a code outside 0..C-1, a probability outside 0..1, no image.
    """
    prepared = prepare(labels, probabilities, classes)
    figures = weighted(prepared, np.ones((1, len(prepared.sums))))
    return {name: float(values[0]) for name, values in figures.items() if np.isfinite(values[0])}


def prepare(labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> Prepared:
    """Check the arguments of `compute` and do what no weight changes: sorting, losses, bins."""
    codes, p = check_arguments(labels, probabilities, classes)
    count = len(classes)
    predicted = p.argmax(axis=1)
    confidence = p.max(axis=1)
    cells = np.eye(count * count)[codes * count + predicted]
    bins = np.eye(ECE_BINS)[confidence_bins(confidence)] * ((predicted == codes) - confidence)[:, None]
    sums = np.column_stack([cells, _log_loss(codes, p), _brier(codes, p), bins])
    rankings = tuple(_ranking(p[:, c], codes == c) for c in range(count))
    return Prepared(tuple(classes), sums, rankings)


def weighted(prepared: Prepared, weights: Floats, *, average_precision: bool = True) -> dict[str, Floats]:
    """Return the metrics under R weightings (R x N, zero or more) as arrays of length R; NaN where undefined.

    Without `average_precision` the auprc/ metrics are left out; they cost as much as the AUROC.
    """
    count = len(prepared.classes)
    totals = weights @ prepared.sums
    total = weights.sum(axis=1)
    figures = _from_confusion(totals[:, : count * count].reshape(-1, count, count), prepared.classes)
    figures["nll"] = ratio(totals[:, count * count], total)
    figures["brier"] = ratio(totals[:, count * count + 1], total)
    figures["ece"] = ratio(np.abs(totals[:, count * count + 2 :]).sum(axis=1), total)
    for name, ranking in zip(prepared.classes, prepared.rankings, strict=True):
        runs = _runs(ranking, weights)
        figures[f"auroc/{name}"] = _auroc(*runs)
        if average_precision:
            figures[f"auprc/{name}"] = _average_precision(*runs)
    figures["auroc_macro"] = mean_of_defined(np.stack([figures[f"auroc/{name}"] for name in prepared.classes]))
    return figures


def confusion(labels: ArrayLike, predicted: ArrayLike, n: int) -> Ints:
    """Return the n x n counts: row = true class, column = predicted class."""
    cells = np.asarray(labels, dtype=np.int64) * n + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=n * n).reshape(n, n).astype(np.int64)


def classification_report(labels: ArrayLike, predicted: ArrayLike, classes: Sequence[str]) -> str:
    """Return scikit-learn's text report over all classes; an undefined metric reads `nan`."""
    from sklearn.metrics import classification_report as report

    codes = list(range(len(classes)))
    return str(report(labels, predicted, labels=codes, target_names=list(classes), digits=3, zero_division=np.nan))


def confidence_bins(confidence: Floats) -> Ints:
    """Return the bin 0..14 of each confidence in 0..1; bins are open on the left and closed on the right."""
    edges = np.linspace(0.0, 1.0, ECE_BINS + 1)
    return np.searchsorted(edges[1:-1], confidence, side="left")


def check_arguments(labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> tuple[Ints, Floats]:
    """Return labels as int64 and probabilities as float64; raise `ValueError` where they do not fit."""
    codes, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape != (len(codes), len(classes)) or len(codes) == 0:
        raise ValueError(f"Shapes do not fit: labels {codes.shape}, probabilities {p.shape}, {len(classes)} classes.")
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= len(classes):
        raise ValueError(f"Labels out of range: {codes.min()}..{codes.max()}. Give integers 0..{len(classes) - 1}.")
    if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + 1e-6:
        raise ValueError(f"Probabilities out of range: {p.min()}..{p.max()}. Give values in 0..1.")
    return codes.astype(np.int64), np.minimum(p, 1.0)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return numerator / denominator, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def mean_of_defined(values: Floats) -> Floats:
    """Return the mean over the first axis, NaN left out; NaN where nothing is defined."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))


def _log_loss(codes: Ints, p: Floats) -> Floats:
    # The smallest float64 step from 0 and 1, as in scikit-learn: one certain error must not make the mean infinite.
    eps = np.finfo(np.float64).eps
    return -np.log(np.clip(p[np.arange(len(codes)), codes], eps, 1 - eps))


def _brier(codes: Ints, p: Floats) -> Floats:
    return np.square(p - np.eye(p.shape[1])[codes]).sum(axis=1)


def _ranking(scores: Floats, positive: NDArray[np.bool_]) -> Ranking:
    order = np.argsort(scores, kind="stable")
    new = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    return Ranking(order, new, positive[order].astype(np.float64))


def _from_confusion(matrix: Floats, classes: Sequence[str]) -> dict[str, Floats]:
    """Return the metrics of R confusion matrices, R x C x C."""
    total = matrix.sum(axis=(1, 2))
    right = np.diagonal(matrix, axis1=1, axis2=2)
    actual, said = matrix.sum(axis=2), matrix.sum(axis=1)
    rest = total[:, None] - actual
    by_class = {
        "f1": ratio(2 * right, actual + said),
        "sensitivity": ratio(right, actual),
        "specificity": ratio(rest - said + right, rest),
        "precision": ratio(right, said),
    }
    figures = {
        "accuracy": ratio(right.sum(axis=1), total),
        "balanced_accuracy": mean_of_defined(by_class["sensitivity"].T),
        "macro_f1": mean_of_defined(by_class["f1"].T),
    }
    for kind, values in by_class.items():
        figures |= {f"{kind}/{name}": values[:, c] for c, name in enumerate(classes)}
    return figures


def _runs(ranking: Ranking, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the weight at each distinct probability, rising, R x runs: of the class, the rest, the rest so far."""
    sorted_weights = weights[:, ranking.order]
    positive = sorted_weights * ranking.positive
    negative = sorted_weights - positive
    if len(ranking.starts) < len(ranking.order):
        positive = np.add.reduceat(positive, ranking.starts, axis=1)
        negative = np.add.reduceat(negative, ranking.starts, axis=1)
    return positive, negative, np.cumsum(negative, axis=1)


def _auroc(positive: Floats, negative: Floats, below: Floats) -> Floats:
    """Return the Mann-Whitney statistic, ties count half; NaN with one side empty."""
    won = (positive * (below - 0.5 * negative)).sum(axis=1)
    return ratio(won, positive.sum(axis=1) * negative.sum(axis=1))


def _average_precision(positive: Floats, negative: Floats, below: Floats) -> Floats:
    positives, negatives = positive.sum(axis=1), negative.sum(axis=1)
    # Called positive at the threshold of a run: everything from that run upwards.
    hits = positives[:, None] - np.cumsum(positive, axis=1) + positive
    alarms = negatives[:, None] - below + negative
    called = hits + alarms
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    found = (positive * precision).sum(axis=1)
    # With one side empty it says nothing, as the AUROC.
    return ratio(found, np.where(negatives > 0, positives, 0.0))
