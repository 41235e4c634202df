"""Fit the answering heads on the pooled features of a network that is trained and frozen.

The last layer is fitted anew because the mean of several runs has no head of its own, and because a linear head on few
hundred images of each hospital carries over to others better than one that was trained with the features (last-layer
retraining: Kirichenko and others 2023, arXiv:2204.02937).

Each illness has a score of its own, learned where it can be compared with the healthy of the same source. Beside the
scores stands the background: pictures of children look unlike those of adults, and an illness that the data has in
children alone (viral pneumonia, in the public data) is answered only for pictures of that kind, at a threshold that
the healthy of that kind decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from covid_xray.training.head.probe import fit_head, scaling
from covid_xray.training.within_source.contrasts import LEAST

# scikit-learn's C. The scores: the strongest penalty at which hospitals left out lose nothing. `known` and the
# background: small, since illnesses come from different hospitals and little of what tells them apart is disease.
SCORE_STRENGTH, BACKGROUND_STRENGTH, KNOWN_STRENGTH = 1e-3, 1e-2, 1e-2
FLAT = 0.1  # least scale of a feature, as a share of the largest: one that hardly varies would get a huge weight
INTERCEPT = 10.0  # value of a contrast's indicator: large, so that the penalty leaves its intercept free
CLEARLY = 0.5  # a picture has the background of an illness from this share of the median picture's logit
ITERATIONS = 300

Floats = NDArray[np.float64]
Strings = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Described:
    """Features N x D of N images, the class of each and the source of each ("" where it is not known)."""

    features: NDArray[np.float32]
    classes: Strings
    sources: Strings

    def rows(self, source: str, *classes: str) -> NDArray[np.int64]:
        """Find the images of one source and of these classes."""
        return np.flatnonzero((self.sources == source) & np.isin(self.classes, classes))

    def scaled_by(self) -> tuple[Floats, Floats]:
        """Compute mean D and scale D of the features."""
        mean, scale = scaling(self.features, "each")
        return mean, np.maximum(scale, FLAT * scale.max())


@dataclass(frozen=True, eq=False)
class Linear:
    """`features @ kernel + bias`: kernel D x K, bias K."""

    kernel: Floats
    bias: Floats

    def __call__(self, features: NDArray[np.float32]) -> Floats:
        """Compute N x D -> N x K."""
        return features @ self.kernel + self.bias


def fit_scores(train: Described, illnesses: Sequence[str], *, well: str) -> Linear:
    """Fit one score for each illness, higher for ill lungs: logistic regression with an intercept for each contrast.

    An illness that some source has beside healthy images is learned there; one that no source has so is learned from
    all that is ill in any source. Both are set against the healthy of all sources too, source by source.
    """
    mean, scale = train.scaled_by()
    kernels = [_kernel((train.features - mean) / scale, _pairs(train, name, well)) for name in illnesses]
    kernel = np.stack([found / scale for found in kernels], axis=1)
    return Linear(kernel, -mean @ kernel)


def fit_background(train: Described, illnesses: Sequence[str], *, well: str) -> Linear:
    """Fit logits of the illness whose pictures an image resembles, ill or not; softmax over K illnesses.

    Trained on every image whose source belongs to one illness: those that have it beside healthy images, and for an
    illness without such a source those that belong to no other. An illness with sources of its own has a background
    only where the picture looks clearly like it (`CLEARLY`): elsewhere its threshold would be wrong.
    """
    width = train.features.shape[1]
    if len(illnesses) < 2:
        return Linear(np.zeros((width, len(illnesses))), np.zeros(len(illnesses)))
    home = {name: home_of(train, name, well) for name in illnesses}
    codes = np.array([_code(*pair, illnesses, home) for pair in zip(train.classes, train.sources, strict=True)])
    used = np.flatnonzero(codes >= 0)
    groups = np.array([f"{a}\n{b}" for a, b in zip(train.sources[used], train.classes[used], strict=True)], object)
    weights = balanced_weights(codes[used], groups) * np.bincount(codes[used])[codes[used]]
    kernel, bias = fit_head(
        train.features[used], codes[used], weights, strength=BACKGROUND_STRENGTH, scaled_by=train.scaled_by()
    )
    logits = Linear(kernel, bias)(train.features)
    for place, name in enumerate(illnesses):
        if home[name] and not all(home.values()):
            ahead = logits[:, place] - np.delete(logits, place, axis=1).max(axis=1)
            bias[place] -= CLEARLY * max(float(np.median(ahead[codes == place])), 0.0)
    return Linear(kernel, bias)


def fit_known(train: Described, illnesses: Sequence[str], *, well: str) -> Linear:
    """Fit the logit N x 1 of an ill image showing one of `illnesses`, and not another one."""
    ill = np.flatnonzero(train.classes != well)
    codes = np.isin(train.classes[ill], illnesses).astype(np.int64)
    weights = balanced_weights(codes, train.sources[ill])
    kernel, bias = fit_head(train.features[ill], codes, weights, strength=KNOWN_STRENGTH, scaled_by=train.scaled_by())
    return Linear(kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1])


def home_of(train: Described, illness: str, well: str) -> tuple[str, ...]:
    """Find the sources that have `LEAST` images of an illness and as many healthy ones."""
    return tuple(
        str(source)
        for source in sorted(set(train.sources))
        if min(len(train.rows(source, illness)), len(train.rows(source, well))) >= LEAST
    )


def balanced_weights(codes: NDArray[np.int64], groups: Strings) -> Floats:
    """Compute N weights, mean 1: codes alike, the groups of one code alike, images of one group alike."""
    weights = np.zeros(len(codes))
    for code in np.unique(codes):
        own = sorted(set(groups[codes == code]))
        for group in own:
            rows = (codes == code) & (groups == group)
            weights[rows] = 1 / (len(own) * rows.sum())
    return weights / weights.mean()


def _pairs(train: Described, illness: str, well: str) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Select healthy and ill images of each contrast that an illness is learned from."""
    home = home_of(train, illness, well)
    ill = tuple(sorted(set(train.classes) - {well}))
    sources = sorted(set(train.sources))
    within = [(train.rows(name, well), train.rows(name, *ill)) for name in (home or sources)]
    healthy = np.flatnonzero(train.classes == well)
    across = [(healthy, train.rows(name, illness)) for name in sources]
    return [pair for pair in within + across if min(map(len, pair)) >= LEAST]


def _kernel(scaled: Floats, pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Floats:
    """Fit D weights of a logistic regression; the sides of a contrast weigh alike, and so do the contrasts."""
    if not pairs:
        return np.zeros(scaled.shape[1])
    sides = [(rows, ill, number) for number, pair in enumerate(pairs) for ill, rows in enumerate(pair)]
    rows = np.concatenate([side for side, _, _ in sides])
    truth = np.concatenate([np.full(len(side), ill) for side, ill, _ in sides])
    contrast = np.concatenate([np.full(len(side), number) for side, _, number in sides])
    weights = np.concatenate([np.full(len(side), 1 / len(side)) for side, _, _ in sides])
    design = np.concatenate([scaled[rows], INTERCEPT * np.eye(len(pairs))[contrast]], axis=1)
    found = LogisticRegression(C=SCORE_STRENGTH, max_iter=ITERATIONS, fit_intercept=False)
    return np.asarray(found.fit(design, truth, sample_weight=weights / weights.mean()).coef_[0, : scaled.shape[1]])


def _code(name: str, source: str, illnesses: Sequence[str], home: dict[str, tuple[str, ...]]) -> int:
    """Number of the illness that an image belongs to, by its class or else by its source; -1 for none or several."""
    if name in illnesses:
        return illnesses.index(name)
    owners = [place for place, illness in enumerate(illnesses) if source in home[illness]]
    if not owners:
        owners = [place for place, illness in enumerate(illnesses) if not home[illness]]
    return owners[0] if len(owners) == 1 else -1
