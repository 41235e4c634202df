"""More ways to fit a linear head: several fits or invented images, all of them one kernel in the end.

The same contract as head_methods.py, which holds the single fits.
"""

import numpy as np
from scipy.special import log_softmax

from experiments.heads.methods import ABNORMAL, Head, logistic, ridge, weights_of
from experiments.network_grid import CLASSES


def worst_group(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, step: float = 0.5, rounds: int = 6,
    prior: str = "balanced",
) -> Head:  # fmt: skip
    """Group DRO (Sagawa and others 2020, arXiv:1911.08731): groups (class, source) weigh by their loss."""
    names = np.array([f"{a}|{b}" for a, b in zip(labels, hospitals, strict=True)])
    groups = np.unique(names, return_inverse=True)[1]
    start, factor = weights_of(labels, hospitals, prior), np.ones(groups.max() + 1)
    codes = np.array([CLASSES.index(label) for label in labels])
    for _ in range(rounds):
        weight = start * factor[groups]
        head = logistic(x, labels, hospitals, C=C, weights=weight / weight.mean())
        loss = -log_softmax(head(x), axis=1)[np.arange(len(x)), codes]
        factor *= np.exp(step * np.bincount(groups, weights=loss) / np.bincount(groups))
        factor /= factor.mean()
    return head


def mixed(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, share: float = 1.0, beta: float = 1.0,
    prior: str = "balanced",
) -> Head:  # fmt: skip
    """Mix-up (Zhang and others 2018, arXiv:1710.09412) of embeddings, within a class and across its sources (as LISA,
    Yao and others 2022, arXiv:2201.00299): `share` synthetic images for each real one."""
    random = np.random.default_rng(0)
    made, kinds, places = [x], [labels], [hospitals]
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        sources = np.unique(hospitals[rows])
        if len(sources) < 2:
            continue
        count = round(share * len(rows))
        pools = [rows[hospitals[rows] == source] for source in sources]
        pairs = np.array([random.choice(len(sources), 2, replace=False) for _ in range(count)])
        first, second = (np.array([random.choice(pools[s]) for s in pairs[:, side]]) for side in (0, 1))
        part = random.beta(beta, beta, count)[:, None]
        made.append((part * x[first] + (1 - part) * x[second]).astype(x.dtype))
        kinds.append(np.full(count, name, dtype=labels.dtype))
        places.append(np.full(count, "mixed", dtype=object))
    weight = weights_of(np.concatenate(kinds), np.concatenate(places).astype(str), prior)
    return logistic(np.concatenate(made), np.concatenate(kinds), np.concatenate(places), C=C, weights=weight)


def bagged(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, prior: str = "balanced"
) -> Head:  # fmt: skip
    """Average the logits of heads fitted without one source each, which is again one linear head."""
    heads = []
    for source in np.unique(hospitals):
        rows = hospitals != source
        if {"covid", "normal"} <= set(labels[rows]):
            heads.append(logistic(x[rows], labels[rows], hospitals[rows], C=C, prior=prior))
    return mean_of(heads)


def mean_of(heads: list[Head]) -> Head:
    """Average logits; a class that one head lacks takes the other heads' value instead of -30."""
    bias = np.stack([np.where(head.bias <= -29, np.nan, head.bias) for head in heads])
    return Head(np.mean([head.kernel for head in heads], axis=0), np.nan_to_num(np.nanmean(bias, axis=0), nan=-30.0))


def staged(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, prior: str = "natural"
) -> Head:  # fmt: skip
    """Fit two stages and add their logits: abnormal or normal with every label, then covid or virus."""
    ill = np.isin(labels, ABNORMAL)
    first = logistic(x, np.where(ill, "covid", "normal"), hospitals, C=C, prior=prior)
    which = np.isin(labels, ("covid", "virus"))
    kernel, bias = first.kernel.copy(), first.bias.copy()
    if len(np.unique(labels[which])) == 1:  # a fold without a virus
        return Head(kernel, bias)
    second = logistic(x[which], labels[which], hospitals[which], C=C, prior=prior)
    kernel[:, 2], bias[2] = kernel[:, 0], bias[0]
    kernel[:, [0, 2]] += second.kernel[:, [0, 2]]
    bias[[0, 2]] += second.bias[[0, 2]]
    return Head(kernel, bias)


def within(
    x: np.ndarray, labels: np.ndarray, hospitals: np.ndarray, *, C: float, share: float, strength: float = 10.0,
    prior: str = "balanced",
) -> Head:  # fmt: skip
    """Fit the probe, and add `share` of a second direction that is independent of the source: abnormal against normal,
    fitted inside hospitals that have both, with their mean removed."""
    rows = np.isin(labels, CLASSES)
    head = logistic(x[rows], labels[rows], hospitals[rows], C=C, prior=prior)
    names = np.where(np.isin(labels, ABNORMAL), "covid", "normal")
    both = [h for h in np.unique(hospitals) if min((names[hospitals == h] == c).sum() for c in ("covid", "normal")) > 9]
    used = np.isin(hospitals, both)
    if not used.any():
        return head
    centred = x[used].copy()
    for h in both:
        here = hospitals[used] == h
        sides = [centred[here & (names[used] == c)].mean(axis=0) for c in ("covid", "normal")]
        centred[here] -= np.mean(sides, axis=0)
    second = ridge(centred, names[used], hospitals[used], strength=strength, floor=0.0)
    # Both directions in units of their spread over the images.
    direction = second.kernel[:, 1] - second.kernel[:, 0]
    usual = head.kernel[:, 1] - head.kernel[:, 0]
    direction *= (x[rows] @ usual).std() / (x[rows] @ direction).std() * share
    kernel, bias = head.kernel.copy(), head.bias.copy()
    kernel[:, 1] += direction
    bias[1] -= (x[rows] @ direction).mean()
    return Head(kernel, bias)
