"""Compare two heat maps of one picture by Spearman's rank correlation and SSIM."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.evaluation.metrics.intervals import percentiles, resampled_sums
from covid_xray.evaluation.metrics.metrics import ratio
from covid_xray.inference.heatmap import normalise

Floats = NDArray[np.float32]
SIDE = 64  # maps are compared by SSIM as they are drawn, enlarged to SIDE x SIDE


def spearman(first: Floats, second: Floats) -> float:
    """Return the rank correlation of two h x w maps, -1..1, at the smaller size.

    0 when only one map is uniform, NaN when both are.
    """
    from scipy.stats import rankdata

    first, second = _same_size(first, second)
    even = [float(np.ptp(one)) <= 1e-12 for one in (first, second)]
    if any(even):
        return float("nan") if all(even) else 0.0
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def ssim(first: Floats, second: Floats) -> float:
    """Return the structural similarity (Wang and others 2004) of two maps, each scaled to its maximum, -1..1."""
    from skimage.metrics import structural_similarity

    drawn = [normalise(one, height=SIDE, width=SIDE) for one in (first, second)]
    pictures = [np.zeros((SIDE, SIDE), np.float32) if one is None else one for one in drawn]
    return float(structural_similarity(*pictures, data_range=1.0))


def mean_of(
    values: NDArray[np.float64], *, groups: NDArray[np.str_] | None, rounds: int, seed: int
) -> Mapping[str, Any]:
    """Return the mean of N values with its 95 % bootstrap interval over patients; NaN is left out.

    `n` is the number of values that are defined.
    """
    known = np.isfinite(values)
    if not known.any():
        return {"value": 0.0, "ci_low": None, "ci_high": None, "n": 0}
    columns = np.column_stack([np.where(known, values, 0.0), known.astype(np.float64)])
    sums = resampled_sums(columns, groups=groups, rounds=rounds, seed=seed)
    low, high = percentiles(ratio(sums[:, 0], sums[:, 1]))
    return {"value": float(values[known].mean()), "ci_low": low, "ci_high": high, "n": int(known.sum())}


def _same_size(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    if first.shape == second.shape:
        return first, second
    height, width = (min(a, b) for a, b in zip(first.shape, second.shape, strict=True))
    return _resized(first, height, width), _resized(second, height, width)


def _resized(heat: Floats, height: int, width: int) -> Floats:
    return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_AREA))
