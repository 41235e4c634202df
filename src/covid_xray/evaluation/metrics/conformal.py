"""Fit conformal prediction sets on calibration images and measure their coverage on test images.

Split conformal prediction (Papadopoulos and others 2002): if test and calibration images are exchangeable, the set
contains the true class with the stated probability, whatever the quality of the network.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom

from covid_xray.bundle.contents import Conformal
from covid_xray.errors import InputRefused
from covid_xray.evaluation.predictions import Predictions
from covid_xray.inference.prediction_sets import METHODS, nonconformity, prediction_sets

COVERAGES = (0.9, 0.95)
BAND = 0.95


def quantile_rank(count: int, *, coverage: float) -> int:
    """Return the rank of the quantile among `count` sorted calibration scores: ceil((n + 1) coverage), 1 or more.

    Raises:
        InputRefused: too few calibration images for the coverage (code `too-few`).
        ValueError: a coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ValueError(f"Invalid coverage: {coverage}. Give a value between 0 and 1.")
    k = int(np.ceil((count + 1) * coverage - 1e-9))
    if k > count:
        least = int(np.ceil(coverage / (1 - coverage) - 1e-9))
        raise InputRefused(
            f"Too few calibration images for a coverage of {coverage:g}: {count}. Give at least {least}.",
            code="too-few",
        )
    return k


def conformal_quantile(labels: ArrayLike, probabilities: ArrayLike, *, coverage: float, method: str = "lac") -> float:
    """Return the largest nonconformity that a class may have to be in the set.

    Args:
        labels: N class codes of calibration images.
        probabilities: N x C, calibrated.
        coverage: 1 - alpha, inside (0, 1).
        method: one of `prediction_sets.METHODS`.

    Raises:
        InputRefused: too few calibration images for the coverage (code `too-few`).
    """
    codes = np.asarray(labels)
    k = quantile_rank(len(codes), coverage=coverage)
    scores = nonconformity(probabilities, method=method)[np.arange(len(codes)), codes]
    return float(np.sort(scores)[k - 1])


def fit_conformal(predictions: Predictions, *, coverage: float = 0.9, method: str = "lac", part: str = "") -> Conformal:
    """Return what the bundle stores under `conformal`: quantiles of every method at 0.9, 0.95 and `coverage`.

    Args:
        predictions: calibrated, on calibration images.
        coverage, method: those that the predictor uses.
        part: name of the images' part.

    Raises:
        InputRefused: too few images for one of the coverages (code `too-few`).
    """
    levels = sorted({*COVERAGES, coverage})
    labels, p = predictions.labels, predictions.probabilities
    quantiles = {
        name: {f"{level:g}": conformal_quantile(labels, p, coverage=level, method=name) for level in levels}
        for name in METHODS
    }
    return Conformal(method, coverage, quantiles, images=len(labels), part=part)


def measure_coverage(
    predictions: Predictions, conformal: Conformal, *, sources: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Measure coverage and size of the sets on test images, for each method and coverage.

    The guarantee holds for all images together; a class or source outside its `band` shows where it fails.

    Args:
        predictions: N tested images, calibrated.
        conformal: of the bundle.
        sources: N names, or `None`.
    """
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    names = np.asarray([classes[code] for code in labels], dtype=object)
    places = np.asarray(sources if sources is not None else [], dtype=object)
    rows = []
    for method, levels in conformal.quantiles.items():
        for level, quantile in levels.items():
            kept = prediction_sets(p, quantile=quantile, method=method)
            hit, size = kept[np.arange(len(labels)), labels], kept.sum(axis=1)
            facts: dict[str, Any] = {"coverage": float(level), "calibration": conformal.images}
            rows.append(
                {
                    "method": method,
                    "coverage": float(level),
                    "overall": _facts(hit, size, **facts),
                    "by_class": {c: _facts(hit[names == c], size[names == c], **facts) for c in classes if c in names},
                    "by_source": {
                        str(s): _facts(hit[places == s], size[places == s], **facts) for s in sorted(set(places))
                    },
                }
            )
    return rows


def coverage_band(count: int, *, calibration: int, coverage: float) -> tuple[float, float]:
    """Return the central 95 % range of the coverage of `count` exchangeable images.

    Coverage given k = `rank` of n calibration images follows Beta(k, n + 1 - k) (Vovk 2012), the count a beta-binomial.
    """
    k = quantile_rank(calibration, coverage=coverage)
    law = betabinom(count, k, calibration + 1 - k)
    return float(law.ppf((1 - BAND) / 2)) / count, float(law.ppf((1 + BAND) / 2)) / count


def _facts(hit: NDArray[np.bool_], size: NDArray[Any], *, coverage: float, calibration: int) -> dict[str, Any]:
    low, high = coverage_band(len(hit), calibration=calibration, coverage=coverage)
    covered = float(hit.mean())
    return {
        "images": len(hit),
        "covered": covered,
        "mean_size": float(size.mean()),
        "single": float((size == 1).mean()),
        "band": [low, high],
        "inside": low <= covered <= high,
    }
