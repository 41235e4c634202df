"""Find the feature directions along which sources differ, and project them away for a linear head.

Three kinds. Within a class, its sources differ by the hospital alone. With the lungs hidden, the differences between
(class, source) groups lie outside the lungs. And a picture whose corners are black is the same radiograph. Without the
differences of those means no linear head can separate the groups: nuisance attribute projection (Solomonoff and others
2005), and SAL (Shao and others 2023, arXiv:2203.07893).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.evaluation.audit.interventions import MARGIN, Input, blacken, corners, dilate
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.view import open_lungs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SMALLEST = 15  # images of a group whose mean is worth anything
FLAT = 1e-6  # of the largest: directions below it are rounding


def between_sources(z: Floats, labels: Ints, groups: Ints) -> Floats:
    """Compute for each class the means of its (class, source) groups about their mean: z N x D -> K x D."""
    found = [np.zeros((0, z.shape[1]))]
    for label in np.unique(labels):
        means = group_means(z[labels == label], groups[labels == label])
        found.append(means - means.mean(axis=0) if len(means) else means)
    return np.concatenate(found)


def group_means(z: Floats, groups: Ints) -> Floats:
    """Compute the mean of each group of `SMALLEST` images or more, K x D; the mean picture is 0.

    Of pictures with hidden lungs this is what they tell of class or source, and that something is hidden at all.
    """
    sizes = np.bincount(groups)
    return np.array([z[groups == g].mean(axis=0) for g in np.flatnonzero(sizes >= SMALLEST)]).reshape(-1, z.shape[1])


def away_from(rows: Sequence[Floats], width: int) -> Floats:
    """Compute the D x D projection that maps all of `rows` (each K x D, D = `width`) to 0."""
    together = np.concatenate([np.zeros((0, width)), *rows])
    _, sizes, vectors = np.linalg.svd(together, full_matrices=False)
    taken = vectors[sizes > FLAT * sizes.max(initial=1e-12)]
    return np.asarray(np.eye(width) - taken.T @ taken)


def without_lungs(pixels: NDArray[np.uint8], network: LungNetwork) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Blacken the lungs and a margin, N x h x w uint8; also say for which of N a pair of lungs was found."""
    finder = open_lungs(network)
    found = [finder.find(Radiograph(picture)) for picture in pixels]
    masks = np.stack([lungs.at_size(*pixels.shape[1:]) for lungs in found])
    return blacken(pixels, dilate(masks, share=MARGIN)), np.array([lungs.plausible for lungs in found])


def without_corners(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blacken the four corners, where letters are: N x h x w uint8."""
    nothing = np.zeros(pixels.shape, dtype=bool)
    return blacken(pixels, corners(Input(pixels, nothing, (0, 0, *pixels.shape[1:]), pixels[0])))
