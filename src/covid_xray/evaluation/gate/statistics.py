"""Fit the statistics of the input gate on training images: layout, orientation, likeness and crops, packed for JSON."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.evaluation.gate.random_crops import fit_crop_classifier
from covid_xray.evaluation.gate.sample import Array, Sample
from covid_xray.inference.gate import PART, Gaussian, packed, unpacked
from covid_xray.inference.gate_features import WAYS, greys, layout

TURNED = 300  # training images that are turned and inverted, to tell such pictures
COMPONENTS = 16  # of the embedding; docs/decisions/0007-gate.md has the measurements
FEWEST = 10  # images of a class: below this one mean serves all classes
_TURNS_C = 0.1  # of the logistic regression: the 64 ranks are few and the turns far apart

Facts = dict[str, Any]


def fit_statistics(known: Sample, pieces: Sample | None = None) -> Facts:
    """Fit layout, orientation and likeness of training images, packed; with `pieces` also the crop classifier.

    Thresholds are not included, and `usual` of the likeness is 1; `gate.fit` sets both.
    """
    features = layout(known.thumbnails)
    place = Gaussian(features.mean(axis=0)[None], _precision(features - features.mean(axis=0)))
    return {
        "layout": {"means": packed(place.means), "precision": packed(place.precision)},
        "turns": packed(_turns(known.thumbnails)),
        "likeness": _likeness(known),
        **({PART: fit_crop_classifier(known, pieces)} if pieces is not None else {}),
    }


def _turns(thumbnails: NDArray[np.float32]) -> Array:
    """Fit a classifier of orientation and polarity, W x 65, on rotated and inverted training images.

    A mirrored picture counts as upright: it looks like a heart on the right.
    """
    from sklearn.linear_model import LogisticRegression

    few = thumbnails[:: max(1, len(thumbnails) // TURNED)]
    both = np.concatenate([few, few[:, :, ::-1]])
    features = np.concatenate([greys(np.ascontiguousarray(change(both))) for change in WAYS.values()])
    targets = np.repeat(np.arange(len(WAYS)), len(both))
    fitted = LogisticRegression(C=_TURNS_C, max_iter=1000).fit(features, targets)
    return np.hstack([fitted.coef_, fitted.intercept_[:, None]])


def _likeness(known: Sample) -> Facts:
    """Fit the distribution of embeddings; the basis is rounded first so that the rest agrees with the stored one."""
    from scipy.linalg import eigh

    e = known.embeddings
    spread = e.std(axis=0)
    scale = packed(spread + 0.05 * spread.mean() + 1e-9)
    centre = packed(e.mean(axis=0))
    standard = (e - unpacked(centre)) / unpacked(scale)
    count = max(1, min(COMPONENTS, e.shape[1] // 2, len(e) // 10))
    last = standard.shape[1] - 1
    rows = eigh(standard.T @ standard / len(e), subset_by_index=[last - count + 1, last])[1].T[::-1]
    steps = np.abs(rows).max(axis=1) / 127
    basis = {**packed(np.rint(rows / steps[:, None]), dtype="<i1"), "scale": [float(f"{step:.6g}") for step in steps]}
    coordinates = standard @ unpacked(basis).T
    means, places = _class_means(coordinates, known.labels)
    return {
        "centre": centre,
        "scale": scale,
        "basis": basis,
        "means": packed(means),
        "precision": packed(_precision(coordinates - means[places])),
        "usual": [1.0, 1.0],
    }


def _class_means(coordinates: Array, labels: NDArray[np.str_]) -> tuple[Array, NDArray[np.intp]]:
    """Return the mean of each class, K x k, and each image's class; one mean for all where a class is small."""
    names, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < FEWEST:
        return coordinates.mean(axis=0)[None], np.zeros(len(coordinates), dtype=np.intp)
    return np.stack([coordinates[places == i].mean(axis=0) for i in range(len(names))]), places


def _precision(deviations: Array) -> Array:
    """Return the inverse of the shrunk covariance (Ledoit and Wolf 2004) of N x F deviations from the mean."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(deviations, assume_centered=True)
    sphere = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return np.linalg.inv(covariance + 1e-6 * sphere * np.eye(len(covariance)))
