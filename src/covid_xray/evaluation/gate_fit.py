"""Training images of a run in, the statistics of its input gate out, for `bundle.json` under `gate`.

Thresholds come from images that the statistics have not seen: the training images held out fold by fold (by patient
and copy), and the calibration images, which the network has not seen either. The larger threshold of the two holds.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from covid_xray.bundle import gate as gates
from covid_xray.bundle.gate import Gate, Gaussian, open_gate, packed, unpacked
from covid_xray.bundle.gate_picture import WAYS, greys, layout
from covid_xray.bundle.predictor import Predictor
from covid_xray.data.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.gate_sample import Array, Progress, Sample, sample_of

RATE = 0.05  # of good images that may be refused
LEAST = 100  # training images: below this a rate of a few per cent cannot be told
MOST = 2000  # training images that are looked at: more change no threshold in its second digit
TURNED = 300  # of them are turned and inverted, to tell such pictures
COMPONENTS = 16  # of the embedding; docs/decisions/0006-gate.md has the measurements
FOLDS = 5
_USUAL = 0.95
_TURNS_C = 0.1  # of the logistic regression: the 64 ranks are few and the turns far apart
_GRID = 40

Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Values:
    """Measured values of N images: by check, with `distances` N x 2 of the embedding and `restored`."""

    checks: dict[str, Array]
    distances: Array
    restored: Array


def gate_of_run(
    predictor: Predictor,
    manifest: Manifest,
    split: pd.Series,
    *,
    part: str,
    rate: float = RATE,
    seed: int = 0,
    progress: Progress | None = None,
) -> Facts:
    """Fit the gate of a run's bundle.

    Args:
        predictor: of the run's bundle.
        manifest: holds the run's images.
        split: of the run: image -> part; statistics are made from `train`.
        part: `val` or `calibration`: images the network was not trained on, for the thresholds.
        rate: of good images that may be refused, all checks together.
        seed: which training images are looked at where there are more than 2,000; and the folds.
        progress: called with (images done, images in all).

    Raises:
        InputRefused: too few training images, or none whose embedding is finite.
    """
    parts = manifest.table["image"].map(split).to_numpy()
    train = np.flatnonzero(parts == "train")
    train = np.sort(np.random.default_rng(seed).permutation(train)[:MOST])
    held = np.flatnonzero(parts == part)
    total = len(train) + len(held)
    known = sample_of(predictor, manifest.take(_images(manifest, train)), done=0, total=total, progress=progress)
    fresh = sample_of(
        predictor, manifest.take(_images(manifest, held)), done=len(train), total=total, progress=progress
    )
    return fit_gate(known, fresh, rate=rate, seed=seed)


def fit_gate(known: Sample, fresh: Sample, *, rate: float = RATE, seed: int = 0) -> Facts:
    """The content of `gate` in bundle.json.

    Args:
        known: training images.
        fresh: images that the network was not trained on; may be empty.
        rate: of good images that may be refused, 0..1.
        seed: of the folds.

    Raises:
        InputRefused: too few training images.
    """
    if len(known) < LEAST:
        raise InputRefused(
            f"expected at least {LEAST} training images for the gate. Received: {len(known)}", code="gate-too-few"
        )
    facts = statistics(known)
    folded = held_out(known, seed=seed)
    sets = [folded, *([values_of(_gate(facts), fresh)] if len(fresh) else [])]
    usual = np.max([np.quantile(one.distances, _USUAL, axis=0) for one in sets], axis=0)
    usual = np.maximum(usual, 1e-9)
    facts["likeness"]["usual"] = [float(value) for value in usual]
    sets = [_with_likeness(one, usual) for one in sets]
    thresholds, tail = choose(sets, rate=rate)
    refused = [float(objections(one, thresholds).mean()) for one in sets]
    return {
        "version": gates.VERSION,
        "rate": rate,
        "tail": tail,
        "images": {"train": len(known), "fresh": len(fresh)},
        "refused": {"train, held out": refused[0], "fresh": refused[1] if len(refused) > 1 else None},
        **facts,
        "thresholds": thresholds,
    }


def statistics(known: Sample) -> Facts:
    """Layout, turns and likeness of training images, packed; without thresholds."""
    features = layout(known.thumbnails)
    place = Gaussian(features.mean(axis=0)[None], _precision(features - features.mean(axis=0)))
    return {
        "layout": {"means": packed(place.means), "precision": packed(place.precision)},
        "turns": packed(_turns(known.thumbnails)),
        "likeness": _likeness(known),
    }


def held_out(known: Sample, *, seed: int = 0) -> Values:
    """The values of training images, each under statistics of the four folds it is not in."""
    names, members = np.unique(known.members, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[members] % FOLDS
    used = np.unique(fold)
    parts = [values_of(_gate(statistics(known.take(fold != i))), known.take(fold == i)) for i in used]
    back = np.argsort(np.concatenate([np.flatnonzero(fold == i) for i in used]))
    return Values(
        {name: np.concatenate([part.checks[name] for part in parts])[back] for name in gates.MEASURED},
        np.concatenate([part.distances for part in parts])[back],
        np.concatenate([part.restored for part in parts])[back],
    )


def values_of(gate: Gate, sample: Sample) -> Values:
    """What the gate measures of each image."""
    found = [gate.evidence(seen, features) for seen, features in zip(sample.looks, sample.embeddings, strict=True)]
    return Values(
        {name: np.array([one.values[name] for one in found]) for name in gates.MEASURED},
        gate.likeness.distances(sample.embeddings),
        np.array([one.restored for one in found]),
    )


def choose(sets: Sequence[Values], *, rate: float) -> tuple[Facts, float]:
    """Thresholds, and the tail that each fitted check cuts off: the largest with which no set is refused above `rate`.

    The plain checks (contrast, extremes, aspect) get thresholds that no training image comes near.
    """
    for tail in np.linspace(rate, 0, _GRID):
        thresholds = _at(sets, float(tail))
        if max(objections(one, thresholds).mean() for one in sets) <= rate:
            break
    return thresholds, float(tail)


def objections(values: Values, thresholds: Facts) -> NDArray[np.bool_]:
    """Which images some check objects to, N; as `Gate.judge` would, tags aside."""
    checks = values.checks
    least, most = thresholds["aspect"]
    turned = [checks[name] > thresholds[name] for name in ("polarity", "orientation")]
    found = np.any(turned, axis=0) & (values.restored <= thresholds["layout"])
    for name in ("layout", "likeness", "extremes"):
        found = found | (checks[name] > thresholds[name])
    return (
        found | (checks["contrast"] < thresholds["contrast"]) | (checks["aspect"] < least) | (checks["aspect"] > most)
    )


def _at(sets: Sequence[Values], tail: float) -> Facts:
    def every(name: str) -> Array:
        return np.concatenate([one.checks[name] for one in sets])

    def beyond(name: str) -> float:
        return max(float(np.quantile(one.checks[name], 1 - tail, method="higher")) for one in sets)

    return {
        "contrast": _round(every("contrast").min() / 2),
        "extremes": _round(max(0.9, (1 + every("extremes").max()) / 2)),
        "aspect": [_round(every("aspect").min() / 1.25), _round(every("aspect").max() * 1.25)],
        **{name: _round(max(0.0, beyond(name))) for name in ("polarity", "orientation")},
        **{name: _round(beyond(name)) for name in ("layout", "likeness")},
    }


def _round(value: float) -> float:
    """Rounded up in the fifth digit, so that the image it comes from passes."""
    return float(f"{value * 1.00005:.5g}")


def _turns(thumbnails: NDArray[np.float32]) -> Array:
    """Weights and bias, W x 65, of a classifier into `WAYS`, taught on training images that were turned and inverted.

    Mirrored pictures are "as it is" too: a mirror is no fault that this could tell from a heart on the right.
    """
    from sklearn.linear_model import LogisticRegression

    few = thumbnails[:: max(1, len(thumbnails) // TURNED)]
    both = np.concatenate([few, few[:, :, ::-1]])
    features = np.concatenate([greys(np.ascontiguousarray(change(both))) for change in WAYS.values()])
    targets = np.repeat(np.arange(len(WAYS)), len(both))
    fitted = LogisticRegression(C=_TURNS_C, max_iter=1000).fit(features, targets)
    return np.hstack([fitted.coef_, fitted.intercept_[:, None]])


def _likeness(known: Sample) -> Facts:
    """The distribution of embeddings; the basis is rounded first, and everything else is of the rounded one."""
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
    """Mean of each class, K x k, and each image's place in it; one mean for all where a class has a few images only."""
    names, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < LEAST // 10:
        return coordinates.mean(axis=0)[None], np.zeros(len(coordinates), dtype=np.intp)
    return np.stack([coordinates[places == i].mean(axis=0) for i in range(len(names))]), places


def _precision(deviations: Array) -> Array:
    """Inverse of the covariance, shrunk towards a sphere (Ledoit and Wolf 2004), of N x F deviations from the mean."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(deviations, assume_centered=True)
    sphere = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return np.linalg.inv(covariance + 1e-6 * sphere * np.eye(len(covariance)))


def _gate(facts: Facts) -> Gate:
    """The gate of statistics that have no thresholds yet."""
    nothing = dict.fromkeys(gates.MEASURED, 0.0)
    gate = open_gate({"version": gates.VERSION, **facts, "thresholds": nothing})
    if gate is None:  # facts are never empty here; said for the type checker
        raise InputRefused("expected statistics of a gate. Received: none")
    return gate


def _with_likeness(values: Values, usual: Array) -> Values:
    likeness = (values.distances / usual).max(axis=1)
    return dataclasses.replace(values, checks={**values.checks, "likeness": likeness})


def _images(manifest: Manifest, rows: NDArray[np.intp]) -> list[str]:
    return [str(image) for image in manifest.table["image"].to_numpy()[rows]]
