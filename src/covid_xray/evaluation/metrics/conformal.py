"""Calibrated predictions in: from calibration images the quantiles of conformal sets, from test images their coverage.

Split conformal prediction (Vovk; Papadopoulos and others 2002): where test images are exchangeable with the calibration
images, the true class is in the set with the stated probability, whatever the network is worth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom

from covid_xray.errors import InputRefused
from covid_xray.evaluation.predictions import Predictions
from covid_xray.inference.prediction_sets import METHODS, nonconformity, prediction_sets

COVERAGES = (0.9, 0.95)
BAND = 0.95


def rank(count: int, *, coverage: float) -> int:
    """Which of `count` sorted calibration scores is the quantile: ceil((n + 1) coverage), 1 or more.

    Raises:
        InputRefused: there are too few calibration images for the coverage (code `too-few`).
        ValueError: a coverage that is not inside 0..1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"expected a coverage inside 0..1. Received: {coverage}")
    k = int(np.ceil((count + 1) * coverage - 1e-9))
    if k > count:
        least = int(np.ceil(coverage / (1 - coverage) - 1e-9))
        raise InputRefused(
            f"expected at least {least} calibration images for a coverage of {coverage:g}. Received: {count}",
            code="too-few",
        )
    return k


def conformal_quantile(labels: ArrayLike, probabilities: ArrayLike, *, coverage: float, method: str = "lac") -> float:
    """The nonconformity that a class may have at most to be in the set.

    Args:
        labels: N class codes of calibration images.
        probabilities: N x C, calibrated as they will be when the quantile is used.
        coverage: 1 - alpha, inside 0..1.
        method: of `prediction_sets.METHODS`.

    Raises:
        InputRefused: too few calibration images for the coverage.
    """
    codes = np.asarray(labels)
    k = rank(len(codes), coverage=coverage)
    scores = nonconformity(probabilities, method=method)[np.arange(len(codes)), codes]
    return float(np.sort(scores)[k - 1])


def conformal_facts(predictions: Predictions, *, coverage: float = 0.9, method: str = "lac") -> dict[str, Any]:
    """What the bundle holds under `conformal`; `coverage` and `method` are those of its answers.

    Args:
        predictions: calibrated, of calibration images.
        coverage: stored beside 0.9 and 0.95.
        method: lac, aps or raps.

    Raises:
        InputRefused: too few images for one of the coverages.
    """
    levels = sorted({*COVERAGES, coverage})
    labels, p = predictions.labels, predictions.probabilities
    quantiles = {
        name: {f"{level:g}": conformal_quantile(labels, p, coverage=level, method=name) for level in levels}
        for name in METHODS
    }
    return {"method": method, "coverage": coverage, "images": len(labels), "quantiles": quantiles}


def coverage_facts(
    predictions: Predictions, conformal: Mapping[str, Any], *, sources: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """How often the true class is in the set and how large the sets are, for each method and coverage.

    Args:
        predictions: N tested images, calibrated.
        conformal: of the bundle.
        sources: N names, to tell them apart.

    Returns:
        Rows with `method`, `coverage` (as promised), `overall`, `by_class` and `by_source` (name to facts); facts are
        `images`, `covered` (share), `mean_size`, `single` (share of sets of one class), `band` (where the covered share
        of so many exchangeable images lies in 95 of 100 cases, given the size of the calibration part) and `inside`.
        The promise is for the whole only: a class or source outside its band shows where it fails.
    """
    labels, p, classes = predictions.labels, predictions.probabilities, predictions.classes
    names = np.asarray([classes[code] for code in labels], dtype=object)
    places = np.asarray(sources if sources is not None else [], dtype=object)
    rows = []
    for method, levels in conformal["quantiles"].items():
        for level, quantile in levels.items():
            kept = prediction_sets(p, quantile=quantile, method=method)
            hit, size = kept[np.arange(len(labels)), labels], kept.sum(axis=1)
            told: dict[str, Any] = {"coverage": float(level), "calibration": int(conformal["images"])}
            rows.append(
                {
                    "method": method,
                    "coverage": float(level),
                    "overall": _facts(hit, size, **told),
                    "by_class": {c: _facts(hit[names == c], size[names == c], **told) for c in classes if c in names},
                    "by_source": {
                        str(s): _facts(hit[places == s], size[places == s], **told) for s in sorted(set(places))
                    },
                }
            )
    return rows


def band(count: int, *, calibration: int, coverage: float) -> tuple[float, float]:
    """Where the covered share of `count` exchangeable images lies in 95 of 100 cases.

    A binomial whose chance is itself drawn from the beta law of the calibration part: with k = `rank` of n images the
    coverage is Beta(k, n + 1 - k) (Vovk 2012).
    """
    k = rank(calibration, coverage=coverage)
    law = betabinom(count, k, calibration + 1 - k)
    return float(law.ppf((1 - BAND) / 2)) / count, float(law.ppf((1 + BAND) / 2)) / count


def _facts(hit: NDArray[np.bool_], size: NDArray[Any], *, coverage: float, calibration: int) -> dict[str, Any]:
    low, high = band(len(hit), calibration=calibration, coverage=coverage)
    covered = float(hit.mean())
    return {
        "images": len(hit),
        "covered": covered,
        "mean_size": float(size.mean()),
        "single": float((size == 1).mean()),
        "band": [low, high],
        "inside": low <= covered <= high,
    }
