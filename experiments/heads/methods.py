"""Fit a linear head on frozen features; each function is one method from features, labels and hospitals to a `Head`.

A head is a kernel D x 3 and a bias 3, so the best one can become the 1 x 1 convolution of the network that ships.
Labels: covid, normal, virus, and where a method can use them bacterial and pneumonia.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.linear_model import LogisticRegression

from experiments.network_grid import CLASSES

ABNORMAL = ("covid", "virus", "bacterial", "pneumonia")
SMALLEST = 15  # images of a group with a usable mean


@dataclass(frozen=True)
class Head:
    """Logits of covid, normal, virus: x @ kernel + bias."""

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """N x D -> N x 3."""
        return np.asarray(x @ self.kernel + self.bias)


Fit = Callable[..., Head]  # features, labels, hospitals; `hidden` where the row says so


def weights_of(labels: np.ndarray, hospitals: np.ndarray, prior: str = "balanced") -> np.ndarray:
    """Compute weights of mean 1: equal classes, sources of a class by the square root of their size.

    `natural`: classes as often as they are; `root`: by the square root of that; `plain`: every image alike;
    `even`: classes and the sources of a class alike.
    """
    from covid_xray.training.sampling import group_numbers, shares

    codes = np.unique(labels, return_inverse=True)[1]
    groups = group_numbers(codes.tolist(), hospitals.tolist())
    weight = shares(groups, codes)
    frequency = np.bincount(codes)[codes] / len(codes)
    if prior == "plain":
        weight = np.ones(len(codes))
    elif prior == "even":
        weight = 1 / np.bincount(groups)[groups]
        weight /= np.bincount(codes, weights=weight)[codes]
    elif prior in ("natural", "root"):
        weight = weight * frequency ** (1.0 if prior == "natural" else 0.5)
    return np.asarray(weight / weight.mean())


def scaled(x: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and scale of features; no scale below the quantile `floor`, with 1 a single scale for all."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    if floor >= 1:
        return mean, np.full_like(scale, np.sqrt((scale**2).mean()))
    return mean, np.maximum(scale, max(np.quantile(scale, floor), 1e-6))


def logistic(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, prior: str = "balanced", floor: float = 0.0,
    weights: np.ndarray | None = None,
) -> Head:  # fmt: skip
    """Fit multinomial logistic regression on standardised features, as the setting `probe` does."""
    mean, scale = scaled(x, floor)
    weight = weights_of(labels, hospitals, prior) if weights is None else weights
    return _three(*_regress((x - mean) / scale, labels, weight, C), mean, scale)


def _regress(z: np.ndarray, labels: np.ndarray, weight: np.ndarray, C: float) -> tuple[np.ndarray, ...]:
    found = LogisticRegression(C=C, max_iter=200).fit(z, labels, sample_weight=weight)
    rows, offsets = found.coef_, found.intercept_
    if len(found.classes_) == 2:
        rows, offsets = np.concatenate([-rows, rows]) / 2, np.concatenate([-offsets, offsets]) / 2
    return rows, offsets, found.classes_


def _three(rows: np.ndarray, offsets: np.ndarray, known: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Head:
    """Order rows as CLASSES; a missing class is never predicted."""
    kernel, bias = np.zeros((len(mean), len(CLASSES))), np.full(len(CLASSES), -30.0)
    for place, name in enumerate(CLASSES):
        if name in known:
            row = list(known).index(name)
            kernel[:, place] = rows[row] / scale
            bias[place] = offsets[row] - mean @ kernel[:, place]
    return Head(kernel, bias)


def ridge(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, strength: float, floor: float = 1.0,
    prior: str = "balanced", nuisance: float = 0.0,
) -> Head:  # fmt: skip
    """Fit ridge regression on one-hot labels; `nuisance` also penalises the scatter between sources of a class."""
    mean, scale = scaled(x, floor)
    z, w = (x - mean) / scale, weights_of(labels, hospitals, prior)
    known = np.unique(labels)
    y = (labels[:, None] == known).astype(float)
    centre, rate = np.average(z, axis=0, weights=w), np.average(y, axis=0, weights=w)
    a = (z - centre).T @ ((z - centre) * w[:, None]) / len(z)
    rows_ = between(z, labels, hospitals)
    penalty = strength * np.eye(len(a)) + nuisance * rows_.T @ rows_
    rows = np.linalg.solve(a + penalty, ((z - centre) * w[:, None]).T @ (y - rate) / len(z)).T
    return _three(rows, rate - rows @ centre, known, mean, scale)


def discriminant(x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, shrink: float | None = None) -> Head:
    """Fit a linear discriminant: scatter within (class, source) shrunk to its mean variance; means over sources."""
    mean, scale = scaled(x, 0.0)
    z = (x - mean) / scale
    known = np.unique(labels)
    groups = np.unique([f"{a}|{b}" for a, b in zip(labels, hospitals, strict=True)], return_inverse=True)[1]
    inside = z - np.stack([z[groups == g].mean(axis=0) for g in range(groups.max() + 1)])[groups]
    w = weights_of(labels, hospitals)
    alpha = ledoit_wolf_shrinkage(inside) if shrink is None else shrink
    a = inside.T @ (inside * w[:, None]) / len(z)
    a = (1 - alpha) * a + alpha * np.trace(a) / len(a) * np.eye(len(a))
    centres = np.stack([np.average(z[labels == c], axis=0, weights=w[labels == c]) for c in known])
    rows = np.linalg.solve(a, centres.T).T
    return _three(rows, -0.5 * (rows * centres).sum(axis=1), known, mean, scale)


def between(z: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, coarse: bool = False) -> np.ndarray:
    """K x D whose own scatter (transposed times itself) is that of the means of a class's sources about their mean,
    summed over classes; `coarse`: two classes, ill and well."""
    names = np.where(np.isin(labels, ABNORMAL), "abnormal", labels) if coarse else labels
    found = [np.zeros((0, z.shape[1]))]
    for name in np.unique(names):
        chosen = [(names == name) & (hospitals == h) for h in np.unique(hospitals[names == name])]
        means = np.array([z[rows].mean(axis=0) for rows in chosen if rows.sum() >= SMALLEST])
        if len(means) > 1:
            found.append((means - means.mean(axis=0)) / np.sqrt(len(means)))
    return np.concatenate(found)


def shrunk(rows: np.ndarray, alpha: float) -> np.ndarray:
    """D x D, (1 + alpha * scatter of `rows`)^-1/2: a plain penalty after it is one on that scatter too; inf removes."""
    _, sizes, vectors = np.linalg.svd(rows, full_matrices=False)
    keep = sizes > 1e-6 * max(sizes.max(initial=0), 1e-12)
    shrink = np.zeros(keep.sum()) if np.isinf(alpha) else 1 / np.sqrt(1 + alpha * sizes[keep] ** 2)
    return np.asarray(np.eye(rows.shape[1]) - (vectors[keep].T * (1 - shrink)) @ vectors[keep])


def projected(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, alpha: float, coarse: bool = False,
    prior: str = "balanced", floor: float = 0.0,
) -> Head:  # fmt: skip
    """Nuisance attribute projection (Solomonoff and others 2005): directions between sources of a class shrunk, then
    logistic regression."""
    mean, scale = scaled(x, floor)
    z = (x - mean) / scale
    turn = shrunk(between(z, labels, hospitals, coarse=coarse), alpha)
    rows, offsets, known = _regress(z @ turn, labels, weights_of(labels, hospitals, prior), C)
    return _three(rows @ turn, offsets, known, mean, scale)


def blinded(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, hidden: np.ndarray, C: float, prior: str = "natural",
    floor: float = 1.0, sources: float = inf, outside: float = inf, cornered: np.ndarray | None = None,
) -> Head:  # fmt: skip
    """As `projected`, and blind to what the same pictures tell with the lungs hidden: the means of every (class,
    source) of `hidden`, embeddings of them in the order of the first copy, about their own mean. A line can then tell
    neither class nor source from them (the argument of SAL, Shao and others 2023, arXiv:2203.07893). With `cornered`,
    embeddings with black corners, as the house does it: hidden means about the mean picture, no shift by corners."""
    mean, scale = scaled(x, floor)
    z, blind = (x - mean) / scale, (hidden - mean) / scale
    groups = np.array([f"{a}|{b}" for a, b in zip(labels, hospitals, strict=True)][: len(blind)])
    means = np.array([blind[groups == g].mean(axis=0) for g in np.unique(groups) if (groups == g).sum() >= SMALLEST])
    turn = np.eye(len(mean))
    if cornered is None:
        means = means - means.mean(axis=0)
    else:
        means = np.concatenate([means, ((cornered - mean) / scale - z[: len(blind)]).mean(axis=0, keepdims=True)])
    for rows, alpha in ((between(z, labels, hospitals), sources), (means, outside)):
        # The second after the first: two removals must not bring back what the first took.
        turn = turn @ shrunk(rows @ turn, alpha) if alpha else turn
    rows, offsets, known = _regress(z @ turn, labels, weights_of(labels, hospitals, prior), C)
    return _three(rows @ turn.T, offsets, known, mean, scale)


def whitened(x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, alpha: float) -> Head:
    """Within-class covariance normalisation (Hatch and others 2006): the within-class scatter, sources included, made
    rounder by (scatter + alpha)^-1/2, then logistic regression."""
    mean, scale = scaled(x, 0.0)
    z, w = (x - mean) / scale, weights_of(labels, hospitals)
    centres = {c: np.average(z[labels == c], axis=0, weights=w[labels == c]) for c in np.unique(labels)}
    inside = z - np.stack([centres[c] for c in labels])
    values, vectors = np.linalg.eigh(inside.T @ (inside * w[:, None]) / len(z))
    turn = (vectors * np.sqrt(alpha / (values.clip(0) + alpha))) @ vectors.T
    rows, offsets, known = _regress(z @ turn, labels, w, C)
    return _three(rows @ turn, offsets, known, mean, scale)


def erased(x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, rounds: int = 1) -> Head:
    """The source within a class made unreadable to a line (LEACE, Belrose and others 2023, arXiv:2306.03819; more
    `rounds`: again on halves of the images, as INLP, Ravfogel and others 2020), then logistic regression."""
    mean, scale = scaled(x, 0.0)
    z, w = (x - mean) / scale, weights_of(labels, hospitals)
    turn, random = np.eye(len(mean)), np.random.default_rng(0)
    for number in range(rounds):
        rows = np.arange(len(z)) if number == 0 else random.permutation(len(z))[: len(z) // 2]
        turn = turn @ _unreadable((z @ turn)[rows], labels[rows], hospitals[rows])
    rows, offsets, known = _regress(z @ turn, labels, w, C)
    return _three(rows @ turn.T, offsets, known, mean, scale)


def _unreadable(z: np.ndarray, labels: np.ndarray, hospitals: np.ndarray) -> np.ndarray:
    """D x D, to the right of features: the oblique projection of LEACE on features and sources centred by class."""
    inside, groups = z.copy(), (hospitals[:, None] == np.unique(hospitals)).astype(float)
    for c in np.unique(labels):
        inside[labels == c] -= z[labels == c].mean(axis=0)
        groups[labels == c] -= groups[labels == c].mean(axis=0)
    scatter = inside.T @ inside / len(z) + 0.01 * np.eye(z.shape[1])
    values, vectors = np.linalg.eigh(scatter)
    root, back = (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T
    left, sizes, _ = np.linalg.svd(back @ (inside.T @ groups) / len(z), full_matrices=False)
    left = left[:, sizes > 1e-3]
    return np.asarray((np.eye(len(values)) - root @ left @ left.T @ back).T)
