"""Choose the images of an epoch: by a plain shuffle, or balanced over class and source.

A class that comes from one hospital teaches the hospital. Drawing every class equally often, and within a class its
sources by the square root of their size, weakens what the large sources teach about themselves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Training

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def epoch_order(groups: Ints, labels: Ints, *, settings: Training, epoch: int) -> Ints:
    """Order the images of one epoch: indices, as a function of (seed, epoch) alone.

    Args:
        groups: number of the (class, source) group of each image.
        labels: class number of each image.
        settings: `sampling` `plain` gives each image once; `balanced` draws `samples_per_epoch` images (0: as many
            as there are) with replacement by `shares`.
        epoch: its number.
    """
    random = np.random.default_rng((settings.seed, epoch))
    if settings.sampling == "plain":
        return random.permutation(len(labels))
    count = settings.samples_per_epoch or len(labels)
    return random.choice(len(labels), count, p=shares(groups, labels))


def shares(groups: Ints, labels: Ints) -> Floats:
    """Compute the probability of each image: classes alike, sources by the square root of their size, images alike."""
    size = np.bincount(groups)
    weight = 1 / np.sqrt(size[groups])  # a group of n images then weighs n / sqrt(n)
    total = np.bincount(labels, weights=weight)
    values = weight / total[labels]
    return np.asarray(values / values.sum())


def group_numbers(labels: Sequence[int], sources: Sequence[str]) -> Ints:
    """Number the occurring pairs of class and source in sorted order."""
    pairs = [f"{label}|{source}" for label, source in zip(labels, sources, strict=True)]
    return np.unique(np.array(pairs), return_inverse=True)[1].astype(np.int64)


class GroupWeights:
    """Group distributionally robust optimisation (Sagawa and others 2020, arXiv:1911.08731): weights by group loss.

    The weight of a group grows by exp(step * its loss) whenever it is seen; the weights' mean stays 1.
    """

    def __init__(self, groups: int, *, step: float) -> None:
        self.values = np.ones(groups)
        self.step = step

    def update(self, groups: Ints, losses: Floats) -> NDArray[np.float32]:
        """Update the weights of the groups by the losses of a batch, and return the weights of its images."""
        for group in np.unique(groups):
            self.values[group] *= np.exp(self.step * float(losses[groups == group].mean()))
        self.values *= len(self.values) / self.values.sum()
        return self.values[groups].astype(np.float32)
